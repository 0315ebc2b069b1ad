"""The seam to a model server that Pantheon runs itself; servers that others run have none."""

from typing import Protocol


class ModelServer(Protocol):
    """A server whose process is ours to start again."""

    async def mend(self, *, hung: bool) -> None:
        """Start the server again when its process has ended; do nothing while it lives.

        Args:
            hung: it lives, but has not answered for long: end it first.

        Raises:
            ModelGoneError: it was started again as often as it may be.
            ModelError: it did not start this time.

        Cancellation:
            No process is left but one that is known.
        """
        ...
