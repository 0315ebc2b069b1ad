"""The files of a calibration: results line by line as they come, and the qualifications at its end."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from pantheon.adapters.own_files import open_log, read_small, replace_small
from pantheon.adapters.threads import run_to_end
from pantheon.core.calibration import CaseResult
from pantheon.core.errors import ArtifactError
from pantheon.core.qualification import Qualification
from pantheon.core.strict_json import parse_json

MAX_BYTES = 256 * 1024 * 1024
"""Most that the results of one calibration may come to."""


class ResultFile:
    """The results so far of one calibration, one JSON object a line.

    Args:
        path: the file; made with its folder when the first result comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def read(self) -> dict[str, CaseResult]:
        """Return case -> result of what is there; a line that an interruption cut short is passed over.

        Raises:
            ArtifactError: the file cannot be read.
        """
        return await run_to_end(self._read)

    async def add(self, result: CaseResult) -> None:
        """Add one result, durably. Raises ``ArtifactError``."""
        line = json.dumps(result.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
        try:
            await run_to_end(lambda: self._append(line))
        except OSError as error:
            raise ArtifactError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        handle = open_log(self.path)
        try:
            size = os.fstat(handle).st_size
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            os.write(handle, line if whole else b"\n" + line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _read(self) -> dict[str, CaseResult]:
        found: dict[str, CaseResult] = {}
        try:
            lines = read_small(self.path, MAX_BYTES).splitlines()
        except FileNotFoundError:
            return found
        except OSError as error:
            raise ArtifactError(f"{self.path}: cannot be read: {error.strerror}") from error
        for line in lines:
            with contextlib.suppress(ValueError, ValidationError):
                result = CaseResult.model_validate(parse_json(line))
                found[result.case] = result
        return found


def write_qualifications(path: Path, found: Sequence[Qualification]) -> None:
    """Write a file of qualifications, whole or not at all. Raises ``ArtifactError``."""
    listed = [one.model_dump(mode="json") for one in found]
    data = json.dumps({"qualifications": listed}, ensure_ascii=False, indent=2).encode() + b"\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_small(path, data)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror}") from error
