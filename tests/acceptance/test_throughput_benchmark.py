"""What keeps a throughput measurement honest, without the real vLLM that it needs."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "throughput"
NOBODY = 2**30
"""No process group has this number."""


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The benchmark's names, as its command has them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = runpy.run_path(str(FOLDER / "night.py"))
    for name in ("frozen_night", "others"):
        monkeypatch.delitem(sys.modules, name)
    return names


def test_others_are_who_is_neither_the_measurement_nor_its_server(night: dict[str, Any]) -> None:
    """A busy program counts as another one until it is named as the server; our own work never does."""
    mark = night["mark"]
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        strange, own, before_s = mark(NOBODY), mark(busy.pid), cpu_s(busy.pid)
        # As long as it takes: the machine may have little time for the busy one.
        while cpu_s(busy.pid) - before_s < 0.4:
            sum(n * n for n in range(100_000))
        now, now_own = mark(NOBODY), mark(busy.pid)
        share = (cpu_s(busy.pid) - before_s) / (now_own.at_s - own.at_s)
    finally:
        busy.kill()
        busy.wait()
    others, mine = now.others_since(strange), now_own.others_since(own)
    assert others > share / 2
    assert mine < others - share / 2


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_loud_measurement_is_made_again(night: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to three times, until the machine was quiet; the quietest counts, not the fastest."""
    took = iter([0.5, 0.3, 0.4, 0.9, 0.05])

    class Then:
        def others_since(self, _: object) -> float:
            return next(took)

    bench = night["Bench"](None, type("S", (), {"group": 1}), 1, Path(), ceilings=False, constrained=False)
    monkeypatch.setattr(night["Bench"], "_empty_cache", lambda _: None)
    monkeypatch.setitem(night["Bench"]._in_quiet.__globals__, "mark", lambda _: Then())
    made = iter(range(9))
    assert bench._in_quiet(lambda: next(made)) == (1, 0.3)
    assert bench._in_quiet(lambda: next(made)) == (4, 0.05)


def test_the_table_has_medians(night: dict[str, Any]) -> None:
    """Shares are those of the medians; the first row is what the others are compared with."""

    def row(at_once: int, spans: list[float], ceilings: list[float]) -> Any:
        found = night["Row"](at_once)
        found.nights = [night["Night"](4, 40, 0, 100, span, 2 * span, span / 10, 1.0) for span in spans]
        found.ceilings = [night["Ceiling"](rate, 1.0, 0.02) for rate in ceilings]
        return found

    lines = night["table"]([row(1, [10.0], [10.0]), row(8, [2.0, 4.0, 2.5], [50.0, 44.0, 10.0])]).splitlines()
    assert lines[2].startswith("| 1 | 1 | 4 | 100 | 10.0 | 10.0 | 100% | 1.00 |")
    assert lines[3].startswith("| 8 | 3 | 4 | 100 | 40.0 (25.0 to 50.0) | 44.0 | 91% | 4.00 |")
    assert lines[3].endswith("| 5.0% | 2% |")
