"""The preview of a long chain stays readable."""

import pytest

from pantheon.engine.enqueue import EnqueueOutcome, EnqueueResult, Preview
from pantheon.shell.cli.enqueue import SHOWN_LEVELS, _tell


def test_levels_beyond_the_first_are_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    """However long the chain, the table is short and its sum right."""
    preview = Preview(flows={"f": 50}, kinds={"k": 50}, packages={"": 50}, levels=(1,) * 50)
    _tell(EnqueueResult("b", "d", 50, "queue/b.jsonl", EnqueueOutcome.PREVIEWED, (), preview))
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines() if line.startswith("level")]
    assert len(rows) == SHOWN_LEVELS + 1
    assert rows[-1] == ["level", f"{SHOWN_LEVELS} to 49", "30"]
    assert sum(int(row[2]) for row in rows) == 50
