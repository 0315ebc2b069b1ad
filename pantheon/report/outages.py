"""What the report tells of a model server that was lost: how long the night waited for it, and why."""

from collections.abc import Sequence
from datetime import datetime

from pantheon.core.outages import Outage, idle_for_server_s
from pantheon.core.visible import visible
from pantheon.report.figures import say_seconds
from pantheon.report.model import Need, Report


def tell_outages(report: Report, outages: Sequence[Outage], now: datetime) -> Report:
    """Return the report with the time the night had no server, and a word about it to whoever looks after one.

    Args:
        report: the report without.
        outages: of the night, in order.
        now: the end of an outage that still lasts in an open night.
    """
    if not outages:
        return report
    until = report.night.closed_at or now
    idle_s = idle_for_server_s(outages, until)
    times = "once" if len(outages) == 1 else f"{len(outages)} times"
    last = outages[-1]
    need = Need(
        urgency="today",
        title=f"The model server was lost {times}, for {say_seconds(idle_s)} in all",
        why=f"Last: {visible(last.why)}"
        + (". It was started again as often as it may be" if last.gone else "")
        + ". No task failed of it; what was not reached is left.",
        commands=("pantheon server status", "pantheon doctor"),
    )
    night = report.night.model_copy(update={"idle_server_s": round(idle_s, 3), "outages": len(outages)})
    return report.model_copy(update={"night": night, "needs": (*report.needs, need)})
