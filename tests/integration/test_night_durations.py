"""A second night plans with what the nodes of the first one took."""

from pathlib import Path

import pytest

from pantheon.engine import night as engine_night
from pantheon.testing.night import NoteScript, opened, proposal
from pantheon.testing.user_repository import make_repository

NOTE = proposal(
    "report index", "A Composite Index for the Monthly Report",
    "The query plan of the monthly report shows a sequential scan; a composite index on customer and date helps.",
    "index", "query-plan", "report",
)  # fmt: skip
TEXT = (
    b"indexes\n\nThe monthly report needs a composite index on customer and date; "
    b"the query plan shows a sequential scan.\n"
)


@pytest.mark.parametrize(("largest", "learns"), [(engine_night.LEARNED_FROM, True), (0, False)])
async def test_durations_are_learned_from_the_last_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int, learns: bool
) -> None:
    """The longest path of the first night is guessed, that of the second measured; unless the first was too large."""
    monkeypatch.setattr(engine_night, "LEARNED_FROM", largest)
    files = {f"docs/2026.01.0{day}.md": TEXT for day in (1, 2)}
    root = make_repository(tmp_path / "user", files)
    async with opened(root, tmp_path / "night", NoteScript({"indexes": NOTE})) as bench:
        first, second = files
        await bench.night([first], night="n1")
        await bench.night([second], night="n2", batch="c" * 12)
        expected = []
        for night in ("n1", "n2"):
            (planned,) = [e for e in await bench.store.events(night) if e.name == "night.planned"]
            expected.append(planned.details["critical_s"])
    assert expected[0] > 20
    assert (expected[1] < expected[0] / 4) is learns
