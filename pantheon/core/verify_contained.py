"""Whether every process of a night proved that it could not leave the machine, before it worked.

A process has its own delegation, and a delegation that is renewed is followed by the same proof again: so each
delegation needs one proven containment statement before the first record of work.
"""

from pantheon.core.contained import against_contained, read_contained
from pantheon.core.statement import (
    ATTEMPT_PREDICATE,
    CANARY_PREDICATE,
    DECISION_PREDICATE,
    MERGE_PREDICATE,
    NIGHT_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
    Statement,
)
from pantheon.core.verify import Faults, Flaw

WORK = frozenset(
    {
        ATTEMPT_PREDICATE,
        CANARY_PREDICATE,
        DECISION_PREDICATE,
        MERGE_PREDICATE,
        NIGHT_PREDICATE,
        REVIEW_PREDICATE,
        TEST_RESULT_PREDICATE,
    }
)
"""Predicates that need containment before them."""


class ContainmentWatch:
    """Follows one ledger.

    Args:
        faults: where defects are noted.
    """

    def __init__(self, faults: Faults) -> None:
        self.sandboxes: dict[str, None] = {}
        """What code of the repository ran in, as attested, in order and once each."""
        self.models: dict[str, None] = {}
        """Models that answered, as attested, in order and once each."""
        self._faults = faults
        self._proven = False
        self._told = False

    def begin(self) -> None:
        """Note a delegation."""
        self._proven = self._told = False

    def read(self, where: str, night: str, statement: Statement) -> None:
        """Read a containment statement.

        Args:
            where: the record.
            night: the night's id.
            statement: as signed.

        Raises:
            VerificationError: it is malformed.
        """
        said = read_contained(statement, night)
        self.sandboxes[said.sandbox.kind.value] = None
        self.models[f"{said.model.name} {said.model.digest}"] = None
        if reasons := against_contained(said):
            self._faults.add(Flaw.UNCONTAINED, where, "; ".join(reasons))
        else:
            self._proven = True

    def work(self, where: str, kind: str) -> None:
        """Note a record; one of work without a proof before it is a defect, once for each delegation."""
        if kind in WORK and not self._proven and not self._told:
            self._told = True
            told = "work goes on from here, and nothing before it proves that this process was contained"
            self._faults.add(Flaw.UNCONTAINED, where, told)
