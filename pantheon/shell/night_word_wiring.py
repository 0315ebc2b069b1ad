"""Where nights and the daemon leave words for those who were not there."""

from datetime import datetime

from pantheon.adapters.night_words import RecordFile, RefusalFile
from pantheon.shell.config import Project

REFUSAL, RECORD, LAST_SEEN = "refusal.json", "daemon.txt", "daemon.json"
"""Files in the state, beside the artifacts, and in the state again."""


def refusal_file(project: Project) -> RefusalFile:
    """Return where a night says why it did not start."""
    return RefusalFile(project.state / REFUSAL)


def record_file(project: Project) -> RecordFile:
    """Return what the daemon could not do, for its owner."""
    return RecordFile(project.artifacts / RECORD)


async def read_trouble(project: Project, since: datetime | None) -> str:
    """Return what the daemon could not do last, after a time, with None ever; empty when none ever ran here.

    A file that came with the repository is no word of a daemon.
    """
    if not (project.state / LAST_SEEN).is_file():
        return ""
    return await record_file(project).newest(since)
