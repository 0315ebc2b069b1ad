"""The sandbox under attack: the same probe outside, as the control, and inside, as root's and as another user's."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.sandbox import SandboxLimits, SandboxResult
from pantheon.ports.sandbox import Sandbox
from pantheon.testing.sandbox_as import SandboxAs

PROBES = Path(__file__).parent / "probes"
PYTHON = "/usr/bin/python3"
"""The system's own, which every user and every sandbox has."""
OTHER_USER = 60_321
CANARY = "canary-2f9c41d7"


class Confined:
    """A sandbox, a candidate tree, and probes that run outside or inside."""

    def __init__(self, sandbox: Sandbox, tree: Path, user: int) -> None:
        self.sandbox = sandbox
        self.tree = tree
        self.free = tree.parent / "free"
        self.user = user

    async def run(self, *argv: str, **limits: Any) -> SandboxResult:
        """Run a program inside."""
        return await self.sandbox.run(argv, self.tree, SandboxLimits(**{"wall_s": 20, **limits}))

    async def inside(self, probe: str, *args: str, **limits: Any) -> dict[str, Any]:
        """Run a probe inside; returns what it found out."""
        shutil.copy(PROBES / f"{probe}.py", self.tree)
        result = await self.run(PYTHON, "-I", f"/work/{probe}.py", *args, **limits)
        assert result.returncode == 0 and result.killed is None, result
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def outside(self, probe: str, *args: str, user: int = OTHER_USER, **options: Any) -> dict[str, Any]:
        """Run a probe without a sandbox, in ``free``; as another user, for what it tries works."""
        self.free.mkdir(exist_ok=True)
        os.chown(self.free, user, user)
        # What root mounts or renames on trial must not stay on the machine.
        apart = ["unshare", "--mount", "--uts", "--ipc", "--propagation", "private"] if user == 0 else []
        done = subprocess.run(
            [*apart, PYTHON, "-I", "-", *args], input=(PROBES / f"{probe}.py").read_bytes(), cwd=self.free,
            capture_output=True, timeout=30, check=False, user=user, group=user, extra_groups=[], **options,
        )  # fmt: skip
        assert done.returncode == 0, done
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextlib.contextmanager
def candidate_tree(user: int) -> Iterator[Path]:
    """Make a tree that belongs to a user and that he can reach; pytest's own folders are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="pantheon-attack-")).resolve()
    try:
        folder.chmod(0o755)
        tree = folder / "tree"
        tree.mkdir()
        os.chown(tree, user, user)
        yield tree
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["root", "ordinary user"])
async def confined(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Confined]:
    """A sandbox whose caller has a canary in its environment: as root, and as another user."""
    monkeypatch.setenv("PANTHEON_CANARY", CANARY)
    if request.param == "root":
        assert os.geteuid() == 0, (
            "these attacks are run by root, who becomes an ordinary user for half of them"
        )
        with candidate_tree(0) as tree:
            yield Confined(open_bubblewrap(SystemClock()), tree, 0)
        return
    with candidate_tree(OTHER_USER) as tree:
        sandbox = await SandboxAs.start(OTHER_USER)
        try:
            yield Confined(sandbox, tree, OTHER_USER)
        finally:
            await sandbox.aclose()


@pytest.fixture
def confined_trees() -> Iterator[Callable[[Sandbox, int], Confined]]:
    """Makes a ``Confined`` of a sandbox and a user id, with a tree of its own."""
    with contextlib.ExitStack() as stack:
        yield lambda sandbox, user: Confined(sandbox, stack.enter_context(candidate_tree(user)), user)
