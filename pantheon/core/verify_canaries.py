"""Whether the records of a night's canaries are what they say, each once."""

from pantheon.core.canary_record import parse_canary
from pantheon.core.statement import Statement
from pantheon.core.verify import Faults, Flaw


class CanaryWatch:
    """Follows one ledger.

    Args:
        faults: where defects are noted.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._known: set[tuple[str, str, int]] = set()

    def read(self, where: str, statement: Statement) -> None:
        """Read the record of a canary.

        Args:
            where: the record.
            statement: as signed.

        Raises:
            VerificationError: it is no record of a canary.
        """
        found = parse_canary(statement)
        name = (found.reviewer, found.task, found.number)
        if name in self._known:
            told = f"canary {found.number} of {found.task} before {found.reviewer} is recorded already"
            self._faults.add(Flaw.DUPLICATE, where, told)
        self._known.add(name)
