"""The shipped units are what systemd expects."""

import shutil
import subprocess
from pathlib import Path

UNITS = Path(__file__).parents[2] / "systemd"


def test_units_verify_with_empty_output(tmp_path: Path) -> None:
    """systemd has nothing to say about the service and its timer."""
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "install systemd to check the units"
    for unit in UNITS.iterdir():
        shutil.copy(unit, tmp_path / unit.name.replace("@", "@srv-notes"))
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 2
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
