"""The seam to who answers: the model behind a client."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class IdentifiedModel(Protocol):
    """A client that can tell which model it is answered by."""

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        """Return the model's name, and a digest of what its server says of it; from then on it must be that one.

        Raises:
            LocalityError: the server passes questions on to a cloud.
            ModelError: as ``ModelClient.model_name``.
        """
        ...
