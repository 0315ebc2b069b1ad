"""What the policy lets code in the sandbox read, it reads and cannot write: a virtual environment, for one."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.bubblewrap import ReadOnlyBind

pytestmark = pytest.mark.primitive("bwrap")

LOOK = """
import json, sys
import carried
try:
    with open(carried.__file__, "a") as file:
        file.write("# changed")
    written = True
except OSError:
    written = False
json.dump({"prefix": sys.prefix, "word": carried.WORD, "written": written}, sys.stdout)
"""


@pytest.fixture
def environment() -> Iterator[Path]:
    """A virtual environment with one module in it, and a secret beside it."""
    folder = Path(tempfile.mkdtemp(prefix="pantheon-venv-"))
    folder.chmod(0o755)
    try:
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder / "venv"], check=True)
        packages = next((folder / "venv" / "lib").glob("python3.*")) / "site-packages"
        (packages / "carried.py").write_text("WORD = 'carried'\n")
        (folder / "secret").write_text("canary")
        yield folder / "venv"
    finally:
        shutil.rmtree(folder)


def outside(environment: Path, tree: Path) -> bytes:
    """Return what the program says without a sandbox."""
    command = [environment / "bin" / "python3", tree / "look.py"]
    return subprocess.run(command, capture_output=True, check=True).stdout


async def test_the_repositorys_interpreter_runs_and_cannot_be_changed(
    environment: Path, confined_trees: Callable[..., Any]
) -> None:
    """It comes first on the search path; what lies beside it is not there."""
    reads = (ReadOnlyBind(source=str(environment), target="/opt/project/venv"),)
    sandbox = open_bubblewrap(SystemClock(), reads=reads, search_path=("/opt/project/venv/bin",))
    confined = confined_trees(sandbox, 0)
    (confined.tree / "look.py").write_text(LOOK)
    assert json.loads(outside(environment, confined.tree)) == {
        "prefix": str(environment),
        "word": "carried",
        "written": True,
    }

    found = await confined.run("python3", "/work/look.py")
    assert found.succeeded, found
    assert json.loads(found.stdout) == {"prefix": "/opt/project/venv", "word": "carried", "written": False}, (
        found
    )
    beside = await confined.run("/usr/bin/ls", "/opt/project")
    assert beside.stdout == b"venv\n"


async def test_what_is_not_named_is_not_there(environment: Path, confined_trees: Callable[..., Any]) -> None:
    """The same program without the policy's word."""
    confined = confined_trees(open_bubblewrap(SystemClock()), 0)
    (confined.tree / "look.py").write_text(LOOK)
    found = await confined.run("python3", "/work/look.py")
    assert found.returncode == 1 and b"No module named 'carried'" in found.stderr
