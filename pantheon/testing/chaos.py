"""``python -m pantheon.testing.chaos``: kill -9 at random instants, many times, and count what it broke.

Each night runs in a process of its own that is killed after a random time, alone or with all of its children (as the
kernel does for a unit under systemd), and started again until it ends. The processes are forked from one that has
imported everything, so that most of the time is spent in nights and not in starting Python.
"""

import argparse
import asyncio
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from pantheon.testing.chaos_check import Findings, check_night, fingerprint, running_attempts
from pantheon.testing.chaos_fork import KILLED, Death, run_forked, run_until_ended
from pantheon.testing.chaos_night import ChaosNight

MOST_KILLS = 4
"""Of one night: an attempt that is interrupted more often is quarantined, which is another promise."""
Say = Callable[[str], None]


@dataclass
class Tally:
    """What many nights came to."""

    kills: int = 0
    nights: int = 0
    reruns: int = 0
    lost: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unfenced: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    unverifiable: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    """Nights whose branch holds other content than that of an undisturbed one."""

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [
            *self.lost, *self.unmeasured, *self.repeated, *self.torn, *self.unfenced, *self.touched,
            *self.unverifiable, *self.differing,
        ]  # fmt: skip

    def add(self, night: int, found: Findings, calm: Findings) -> None:
        """Count one night."""
        self.nights += 1
        self.reruns += len(found.reruns)
        for name in ("lost", "unmeasured", "repeated", "torn", "unfenced", "touched", "unverifiable"):
            getattr(self, name).extend(f"night {night}: {one}" for one in getattr(found, name))
        if (found.tree, found.outcomes) != (calm.tree, calm.outcomes):
            self.differing.append(f"night {night}: {dict(found.outcomes)} with the content {found.tree}")

    def table(self) -> str:
        """Return the figures for people."""
        rows = {
            "kill -9": self.kills,
            "nights": self.nights,
            "tasks lost": len(self.lost),
            "canaries lost or repeated": len(self.unmeasured),
            "merges repeated": len(self.repeated),
            "artifacts torn": len(self.torn),
            "fences broken, attempts crashed": len(self.unfenced),
            "user's files touched": len(self.touched),
            "ledgers that do not verify": len(self.unverifiable),
            "nights with other content": len(self.differing),
            "attempts repeated (allowed)": self.reruns,
        }
        return "\n".join(f"{name:<32} {value:>6}" for name, value in rows.items())


def run_chaos(folder: Path, *, kills: int, seed: int, say: Say, notes: int = 2) -> Tally:
    """Run nights until enough of them were killed often enough.

    Args:
        folder: for the nights; each is removed when nothing is wrong with it.
        kills: how many kill -9 to make.
        seed: of the instants.
        say: told after each night.
        notes: tasks of a night.
    """
    chance = random.Random(seed)
    calm = ChaosNight(folder / "calm", notes)
    calm.make()
    before = fingerprint(calm.root)
    began = time.monotonic()
    run_until_ended(calm)
    usual_s = time.monotonic() - began
    undisturbed = asyncio.run(check_night(calm, before))
    tally = Tally()
    while tally.kills < kills:
        number = tally.nights + 1
        known = len(tally.problems)
        night = ChaosNight(folder / f"{number:04}", notes)
        night.make()
        before = fingerprint(night.root)
        seen = _disturb(night, chance, usual_s, min(MOST_KILLS, kills - tally.kills), tally)
        run_until_ended(night)
        found = asyncio.run(check_night(night, before))
        tally.add(number, found, undisturbed)
        if seen != found.reruns:
            tally.unfenced.append(f"night {number}: repeated {found.reruns}, of which {seen} were running")
        if len(tally.problems) == known:
            shutil.rmtree(night.folder)
        say(f"{tally.kills} of {kills} kills, {tally.nights} nights, {len(tally.problems)} problems")
    return tally


def _disturb(
    night: ChaosNight, chance: random.Random, usual_s: float, kills: int, tally: Tally
) -> frozenset[tuple[str, int]]:
    """Kill a night at random instants; returns the attempts that were running then."""
    seen: set[tuple[str, int]] = set()
    left_s = usual_s
    for _ in range(kills):
        after_s = chance.uniform(0.0, left_s)
        # What was worked before a kill stays, so the rest is shorter; it takes a while to find that out, though.
        left_s = max(left_s - after_s, usual_s / 4)
        if run_forked(night, Death(after_s=after_s, group=chance.random() < 0.5)) != KILLED:
            break
        tally.kills += 1
        seen |= running_attempts(night)
    return frozenset(seen)


def main() -> int:
    """Kill, count, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--notes", type=int, default=2, help="tasks of a night")
    parser.add_argument("--json", action="store_true", help="figures and problems as JSON")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    sys.stderr.write(f"seed {seed}\n")
    began = time.monotonic()
    ending = "\r" if sys.stderr.isatty() else "\n"

    def say(text: str) -> None:
        sys.stderr.write(f"{text}, {time.monotonic() - began:.0f} s{ending}")
        sys.stderr.flush()

    folder = Path(mkdtemp(prefix="chaos-"))
    tally = run_chaos(folder, kills=asked.kills, seed=seed, say=say, notes=asked.notes)
    if tally.problems:
        sys.stderr.write(f"the nights in question are in {folder}\n")
    else:
        shutil.rmtree(folder)
    if asked.json:
        told = {**asdict(tally), "seed": seed, "problems": tally.problems}
        sys.stdout.write(json.dumps(told, sort_keys=True) + "\n")
    else:
        lines = [tally.table(), f"{'seed':<32} {seed:>6}", *tally.problems]
        sys.stdout.write("\n".join(lines) + "\n")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
