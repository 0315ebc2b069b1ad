"""The short form of `make chaos`: kill -9 at random instants, resumed until the nights have ended."""

import json
import re
import subprocess
import sys

import pytest

from pantheon.testing.chaos import Tally
from pantheon.testing.chaos_check import Findings

KILLS = 20


def test_random_kills_break_nothing() -> None:
    """Twenty kills at random instants lose no task, repeat no merge, tear no artifact, and leave the same content."""
    done = subprocess.run(
        [sys.executable, "-m", "pantheon.testing.chaos", "--kills", str(KILLS), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    seed = re.search(r"seed \d+", done.stderr)
    assert done.returncode == 0, f"{seed}\n{done.stdout}\n{done.stderr[-4_000:]}"
    told = json.loads(done.stdout)
    assert told["kills"] == KILLS
    assert told["problems"] == []


def findings(**more: object) -> Findings:
    return Findings(
        **{
            "lost": (), "unmeasured": (), "repeated": (), "torn": (), "unfenced": (), "touched": (), "unverifiable": (),
            "reruns": frozenset({("t#n", 1)}), "outcomes": {"accepted": 2}, "tree": "aa", **more,
        }  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["lost", "unmeasured", "repeated", "torn", "unfenced", "touched", "unverifiable"]
)
def test_every_kind_of_damage_is_counted(kind: str) -> None:
    """One finding of any kind is a problem, told with the number of its night."""
    tally = Tally()
    tally.add(7, findings(**{kind: ("something is wrong",)}), findings())
    assert tally.problems == ["night 7: something is wrong"]
    assert (tally.nights, tally.reruns) == (1, 1)


@pytest.mark.parametrize("other", [{"tree": "bb"}, {"outcomes": {"accepted": 1, "failed": 1}}])
def test_another_end_is_a_problem(other: dict[str, object]) -> None:
    """A night that ends with other content or other outcomes than an undisturbed one is not as good."""
    tally = Tally()
    tally.add(1, findings(**other), findings())
    assert len(tally.differing) == 1
    assert tally.problems == tally.differing
