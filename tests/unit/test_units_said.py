"""What the shipped units and the plan of an installation leave to systemd and to a person."""

from pathlib import Path

from pantheon.core.units import Served, plan_system
from pantheon.shell.cli.night_text import GATE_BLOCKED, SOME_FAILED, WORK_LEFT

SHIPPED = Path(__file__).parents[2] / "systemd"
DRAINED = 130


def test_no_ordinary_morning_is_a_failed_unit() -> None:
    """Every exit code of a night that came to its end, whatever it made of its tasks."""
    lines = (SHIPPED / "pantheon-night@.service").read_text().splitlines()
    [codes] = [line.partition("=")[2] for line in lines if line.startswith("SuccessExitStatus=")]
    assert {int(code) for code in codes.split()} == {SOME_FAILED, WORK_LEFT, GATE_BLOCKED, DRAINED}


def test_what_an_installation_into_a_tree_has_not_run_is_left_to_do() -> None:
    """The users of the services, and the folders that belong to them; systemd itself reads units when it boots."""
    shipped = {one.name: one.read_bytes() for one in SHIPPED.iterdir() if one.is_file()}
    plan = plan_system(shipped, Served("/srv/notes", ("/opt/pantheon/bin/pantheon",), ("/srv/notes/.git",)))
    said = "\n".join(plan.next_steps)
    assert plan.commands[:2]
    assert all(" ".join(words) in said for words in plan.commands if words[0] != "systemctl")
