"""A repository with what nights would have landed, made by plain git in a blink, for commands of the day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pantheon.core.records import NightRecord
from pantheon.testing.user_repository import git, make_repository


@dataclass(frozen=True)
class LandedRepository:
    """A user's repository whose ``main`` is checked out."""

    root: Path

    @classmethod
    def make(cls, root: Path, files: Mapping[str, bytes]) -> "LandedRepository":
        """Make it with one commit that holds the files."""
        return cls(make_repository(root, files))

    def git(self, *args: str) -> str:
        """Run git as the user, without the last line's end."""
        return git(self.root, *args).rstrip("\n")

    def night(self, night: str = "n1", *, base: str = "main") -> NightRecord:
        """Open a night's branch at a revision."""
        commit = self.git("rev-parse", base)
        self.git("branch", f"pantheon/night-{night}", commit)
        began = datetime(2026, 1, 1, 22, tzinfo=UTC)
        return NightRecord(id=night, base_commit=commit, branch=f"pantheon/night-{night}", started_at=began)

    def land(self, night: NightRecord, task: str, files: Mapping[str, bytes | None]) -> str:
        """Land a change on a night's branch: path -> content, None takes it away. Returns the commit."""
        lines = f"Pantheon-Task: {task}\nPantheon-Night: {night.id}\nPantheon-Candidate: {'0' * 40}"
        return self.commit(night.branch, f"docops: {task}\n\n{lines}", files)

    def commit(self, branch: str, message: str, files: Mapping[str, bytes | None]) -> str:
        """Commit on a branch as the user; ``main`` is checked out afterwards."""
        self.git("switch", "-q", branch)
        for path, data in files.items():
            place = self.root / path
            if data is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        commit = self.git("rev-parse", "HEAD")
        self.git("switch", "-q", "main")
        return commit
