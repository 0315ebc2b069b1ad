"""What was taken back after the night, told in its report beside what landed."""

from collections.abc import Mapping

from pantheon.core.taken_back import TakenBack
from pantheon.core.visible import visible
from pantheon.report.model import Report


def tell_taken_back(report: Report, back: Mapping[str, TakenBack]) -> Report:
    """Return the report with every change marked that was taken back; the outcomes stay what they were."""
    told = {visible(key): one for key, one in back.items()}
    marked = [
        change.model_copy(update={"undone": f"{visible(one.undo)[:12]}: {visible(one.reason)}"})
        if (one := told.get(change.task)) is not None
        else change
        for group in report.landed
        for change in group.changes
    ]
    count = sum(bool(change.undone) for change in marked)
    if not count:
        return report
    places = iter(marked)
    return report.model_copy(
        update={
            "sentence": f"{report.sentence} {count} {'was' if count == 1 else 'were'} taken back since.",
            "landed": tuple(
                group.model_copy(update={"changes": tuple(next(places) for _ in group.changes)})
                for group in report.landed
            ),
        }
    )
