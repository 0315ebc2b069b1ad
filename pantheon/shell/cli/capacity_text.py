"""The capacity outlook in words and tables."""

from pantheon.core.capacity_figures import Basis, Outlook, ResourceLoad
from pantheon.report.capacity_plot import plot_text
from pantheon.report.figures import say_seconds
from pantheon.shell.cli.output import emit, emit_rows, say

BASIS = {Basis.MEASURED: "measured", Basis.EXPECTED: "expected by the flow", Basis.GUESSED: "guess"}


def tell(outlook: Outlook) -> None:
    """Write an outlook for a person: data on stdout, remarks on stderr."""
    emit(outlook.sentence[0].upper() + outlook.sentence[1:] + ".")
    if outlook.tasks and not outlook.nights_measured:
        say(f"{_nothing(outlook)}: durations are expected by the flows or guessed, and marked so.", "warn")
    for line in plot_text(outlook):
        emit(line)
    if outlook.resources:
        emit_rows(
            (
                "resource",
                "slots",
                "lambda/h",
                "mu/h",
                "rho",
                "must wait",
                "mean wait",
                "p95 wait",
                "hours",
                "if linear",
                "if no gain",
                "measured at once",
            ),
            [
                (
                    one.resource,
                    one.slots,
                    _rate(one.queue.arrivals_per_s * 3600),
                    _rate(one.queue.served_per_s * 3600),
                    f"{one.queue.load:.2f}",
                    f"{one.queue.waits:.0%}",
                    _wait(one.queue.wait_s),
                    _wait(one.queue.wait_p95_s),
                    _amount(one.hours),
                    _amount(one.hours_low),
                    _amount(one.hours_high),
                    _measured_at(one),
                )
                for one in outlook.resources
            ],
        )
    if outlook.work:
        emit_rows(
            ("work", "nodes", "mean", "95 %", "mu/h", "accepted", "from"),
            [
                (
                    one.work,
                    one.nodes,
                    say_seconds(one.mean_s),
                    ""
                    if one.low_s is None or one.high_s is None
                    else f"{say_seconds(one.low_s)} to {say_seconds(one.high_s)}",
                    _rate(one.per_hour),
                    ""
                    if one.accepted is None or one.accepted.share is None
                    else f"{one.accepted.share:.0%} ({one.accepted.low:.0%} to {one.accepted.high:.0%})",
                    f"{BASIS[one.basis]}"
                    + (f", {one.measured_attempts} attempts" if one.measured_attempts else "")
                    + (
                        f", times {one.stretch:.2g} with all slots in use"
                        if f"{one.stretch:.2f}" != "1.00"
                        else ""
                    ),
                )
                for one in outlook.work
            ],
        )
    _tell_expected(outlook)
    _tell_learning(outlook)
    _tell_batching(outlook)


def _nothing(outlook: Outlook) -> str:
    if not outlook.barren_nights:
        return "Nothing was measured yet"
    nights = "the one night" if outlook.barren_nights == 1 else f"the {outlook.barren_nights} nights"
    return f"Nothing was measured yet (in {nights} so far nothing ended on its own account)"


def _amount(hours: float) -> str:
    return f"{hours:.2g}" if hours < 9.95 else f"{hours:.0f}"


def _measured_at(load: ResourceLoad) -> str:
    """Return at how many at once a resource was measured, and what each further one adds to an attempt."""
    scaling = load.scaling
    if not scaling.attempts:
        return "never"
    low, high = (f"{end:.1f}".removesuffix(".0") for end in (scaling.low, scaling.high))
    at_once = low if low == high else f"{low} to {high}"
    if scaling.slowing is None or scaling.rms is None:
        return at_once
    return f"{at_once}, each adds {scaling.slowing:.0%} (off by {scaling.rms:.0%} on average)"


def _rate(per_hour: float) -> str:
    return f"{per_hour:.0f}" if per_hour >= 100 else f"{per_hour:.3g}"


def _wait(seconds: float | None) -> str:
    return "without end" if seconds is None else say_seconds(seconds)


def _tell_expected(outlook: Outlook) -> None:
    if outlook.accepted is None or outlook.accepted_low is None or outlook.accepted_high is None:
        if outlook.tasks:
            emit("Expected to land: not known; no task like these was judged yet.")
        return
    emit(
        f"Expected to land: {outlook.accepted:.1f} of {outlook.tasks} "
        f"({outlook.accepted_low:.1f} to {outlook.accepted_high:.1f})."
    )


def _tell_learning(outlook: Outlook) -> None:
    if outlook.learning is None or outlook.next_pass_rate is None:
        emit("Learning curve: needs three nights with different numbers of examples before them.")
        return
    curve = outlook.learning.curve
    emit(
        f"Learning curve over {outlook.learning.points} nights: {curve.p0:.0%} at first, towards {curve.pmax:.0%}; "
        f"tonight {outlook.next_pass_rate:.0%} after {outlook.learned} examples "
        f"(off by {outlook.learning.rms:.0%} on average)."
    )


def _tell_batching(outlook: Outlook) -> None:
    if outlook.call is None:
        emit("Batching: too few or too similar calls were measured to take them apart.")
        return
    emit_rows(
        ("share a prefix", "seconds a call", "saved"),
        [(one.batch, f"{one.seconds:.2f}", f"{one.saved:.0%}") for one in outlook.batching],
    )
