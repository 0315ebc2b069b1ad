"""Where nights and the daemon leave words for those who were not there."""

from pantheon.adapters.night_words import RecordFile, RefusalFile
from pantheon.shell.config import Project

REFUSAL, RECORD = "refusal.json", "daemon.txt"


def refusal_file(project: Project) -> RefusalFile:
    """Return where a night says why it did not start."""
    return RefusalFile(project.state / REFUSAL)


def record_file(project: Project) -> RecordFile:
    """Return what the daemon could not do, for its owner."""
    return RecordFile(project.artifacts / RECORD)
