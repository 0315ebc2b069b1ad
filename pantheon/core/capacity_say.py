"""The plain sentence of a capacity outlook.

Invariants:
- it is about the resource that is used most, and says of which hours it speaks;
- an interval that no measurement narrows is said, with the reason.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from pantheon.core.capacity_figures import Gain, ResourceLoad
from pantheon.core.capacity_window import Part, Tonight

SAME_SHARE = 0.02
"""Share by which the ends of an interval must differ to be said."""


class Need(NamedTuple):
    """Hours that a queue needs."""

    likely: float
    low: float
    high: float

    @property
    def is_open(self) -> bool:
        """Whether its ends are far enough apart to be told."""
        return self.high > self.low * (1 + SAME_SHARE)


class Reach(NamedTuple):
    """What becomes of a queue that may be longer than the night."""

    nights: int
    not_reached: int


def reach_of(need: Need, tasks: int, tonight: Tonight) -> Reach:
    """Return how many nights a queue takes, and how many of its tasks tonight does not come to."""
    if not tasks:
        return Reach(0, 0)
    over_s = need.likely * 3600 - tonight.starting_s
    if over_s <= 0:
        return Reach(1, 0)
    # A task is not reached until it is done: what the night breaks off is begun again.
    reached = math.floor(tasks * tonight.starting_s / (need.likely * 3600))
    return Reach(1 + math.ceil(over_s / tonight.later_s), max(tasks - reached, 1))


def say_tonight(tonight: Tonight) -> str:
    """Return which hours they are, after "of"."""
    length = say_span(tonight.length_s / 3600)
    match tonight.part:
        case Part.LEFT:
            return f"the {length} that are left of tonight's window"
        case Part.NEXT:
            assert tonight.opens_at is not None
            return f"the {length} window that opens {tonight.opens_at:%a %H:%M}"
        case Part.ALWAYS:
            return f"the {length} that a night may take"
        case Part.ASKED:
            return f"the {length} window"


def say_outlook(
    tasks: int,
    need: Need,
    reach: Reach,
    tonight: Tonight,
    load: Sequence[ResourceLoad],
    *,
    guessed: bool,
    nights: int,
) -> str:
    """Return the sentence, without its full stop.

    Args:
        tasks: that wait.
        need: hours for them.
        reach: what becomes of them.
        tonight: the hours that there are.
        load: the highest first.
        guessed: whether any duration is no measurement.
        nights: that measured anything.
    """
    if not tasks:
        return "nothing waits for a night, so tonight's load is 0"
    unmeasured = [one for one in load if one.gain is not Gain.MEASURED]
    doubtful = max(unmeasured, key=lambda one: one.hours_high, default=None)
    text = f"tonight's queue needs {_hours(need, doubtful)} of {say_tonight(tonight)}"
    if load:
        text += f"; rho {_load(load[0])} for {load[0].resource}"
    text += _say_end(tasks, need, reach, tonight, doubtful)
    if doubtful is not None and (need.is_open or doubtful is load[0]):
        text += f"; {_why_unsure(doubtful)}"
    if guessed:
        text += (
            " (partly by guesses: not all of this work was measured yet)"
            if nights
            else " (by guesses: nothing was measured yet)"
        )
    return text


def _say_end(tasks: int, need: Need, reach: Reach, tonight: Tonight, doubtful: ResourceLoad | None) -> str:
    """Return whether the queue is finished tonight; nothing where it surely is."""
    if need.likely * 3600 <= tonight.starting_s:
        return "; it may not be finished" if need.high * 3600 > tonight.starting_s else ""
    text = "; it will not be finished: "
    if need.low * 3600 <= tonight.starting_s:
        unknown = doubtful is not None and doubtful.gain is Gain.UNKNOWN
        text = "; it may not be finished: " + ("at worst " if unknown else "most likely ")
    text += f"about {reach.not_reached} of {tasks} tasks are not reached and all of it takes {reach.nights} nights"
    if tonight.starting_s < tonight.length_s:
        text += f" (nothing starts in the last {say_span((tonight.length_s - tonight.starting_s) / 3600)})"
    return text


def say_span(hours: float) -> str:
    """Return hours for a person: ``11 s``, ``37 min``, ``2 h 50 min``, ``8 h``."""
    if hours * 3600 < 59.5:
        return f"{hours * 3600:.0f} s"
    minutes = round(hours * 60)
    whole, rest = divmod(minutes, 60)
    return f"{rest} min" if not whole else f"{whole} h" if not rest else f"{whole} h {rest} min"


def say_need(hours: float) -> str:
    """Return needed hours for a person, to two digits: ``11 s``, ``37 min``, ``5.2 h``, ``150 h``."""
    if round(hours * 60) < 60:
        return say_span(hours)
    return f"{max(hours, 1.0):.2g} h" if hours < 9.95 else f"{hours:.0f} h"


def _hours(need: Need, doubtful: ResourceLoad | None) -> str:
    if not need.is_open:
        return say_need(need.likely)
    if doubtful is not None and doubtful.gain is Gain.UNKNOWN:
        return f"{say_need(need.low)} to {say_need(need.high)}"
    return f"about {say_need(need.likely)} ({say_need(need.low)} to {say_need(need.high)})"


def _load(busiest: ResourceLoad) -> str:
    likely, low, high = busiest.queue.load, busiest.load_low, busiest.load_high
    if high <= low * (1 + SAME_SHARE):
        return f"{likely:.2f}"
    if busiest.gain is Gain.UNKNOWN:
        return f"{low:.2f} to {high:.2f}"
    return f"{likely:.2f} ({low:.2f} to {high:.2f})"


def _why_unsure(load: ResourceLoad) -> str:
    scaling = load.scaling
    if not scaling.attempts:
        return f"what {load.slots} slots of {load.resource} gain over one was never measured"
    if not scaling.covers(load.slots) and load.slots < scaling.low:
        had = _slots("least", scaling.low, load.resource)
        return f"{had}, what {load.slots} do was not measured"
    return f"{_slots('most', scaling.high, load.resource)}, what {load.slots} gain was not measured"


def _slots(end: str, in_use: float, resource: str) -> str:
    number = f"{in_use:.1f}".removesuffix(".0")
    return f"nights had at {end} {number} slot{'' if number == '1' else 's'} of {resource} in use"
