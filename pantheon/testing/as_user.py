"""The command line as another user of the machine has it, where the interpreter lies out of that user's reach.

Root makes a mount namespace in which interpreter, packages and this repository can be entered by everybody, at the
paths where they are, and becomes the user there. What is mounted is gone with the process.
"""

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pantheon


class OtherUser:
    """Somebody who is not root, with a home of his own.

    Args:
        uid: user and group id.
        top: a folder that everybody can enter; his home and his things are made in it.
    """

    def __init__(self, uid: int, top: Path) -> None:
        self.uid = uid
        self.top = top
        self.home = top / "home"
        self.home.mkdir(exist_ok=True)
        os.chown(self.home, uid, uid)
        self._script = self._mounts() + (
            f'exec setpriv --reuid {uid} --regid {uid} --clear-groups --inh-caps=-all "$@"'
        )

    def command(self, *words: str) -> list[str]:
        """Return the words that run a program as him."""
        return ["unshare", "-m", "sh", "-ec", self._script, "sh", *words]

    def pantheon(self, *words: str) -> list[str]:
        """Return the words that run the command line as him."""
        return self.command(sys.executable, "-m", "pantheon", *words)

    def environment(self, **more: str) -> Mapping[str, str]:
        """Return what he has in his environment."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            **more,
        }

    def run(
        self, words: Sequence[str], cwd: Path, *, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command line as him, and wait for its end."""
        return subprocess.run(
            self.pantheon(*words), cwd=cwd, env=self.environment(**variables), input=stdin, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    def _mounts(self) -> str:
        """Return the commands that bring what is out of reach into it."""
        lines = ["mount --make-rprivate /"]
        needed = dict.fromkeys(
            map(Path, (sys.base_prefix, sys.prefix, str(Path(pantheon.__file__).parents[1])))
        )
        closed = {place: first for place in needed if (first := _first_closed(place)) is not None}
        for number, place in enumerate(closed):
            aside = self.top / f"aside{number}"
            aside.mkdir()
            lines.append(f"mount --rbind {shlex.quote(str(place))} {shlex.quote(str(aside))}")
        lines += [
            f"mount -t tmpfs -o mode=0755 none {shlex.quote(str(first))}"
            for first in dict.fromkeys(closed.values())
        ]
        for number, place in enumerate(closed):
            name = shlex.quote(str(place))
            lines.append(
                f"mkdir -p {name}; mount --rbind {shlex.quote(str(self.top / f'aside{number}'))} {name}"
            )
        return "\n".join(lines) + "\n"


def _first_closed(place: Path) -> Path | None:
    """Return the first folder on the way to a place that others cannot enter."""
    for folder in (*reversed(place.parents), place):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None
