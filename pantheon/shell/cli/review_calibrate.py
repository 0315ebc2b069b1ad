"""``pantheon review calibrate``: how good are the reviewers, and do they qualify?"""

from typing import get_args

import click

from pantheon.core.calibration import Calibration
from pantheon.core.figures import Rate
from pantheon.core.qualification import Qualification
from pantheon.core.ranking import Area
from pantheon.shell.calibration_wiring import SHORT, WHOLE, Calibrated, run_calibration
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_rows, progress, say
from pantheon.shell.known_changes import Source

NOT_QUALIFIED = 3


@click.command("calibrate")
@click.option(
    "--flow", "flow_name", default="docops", metavar="NAME", help="Whose checks and reviewers to measure."
)
@click.option(
    "--from",
    "source",
    type=click.Choice(get_args(Source)),
    default="both",
    show_default=True,
    help="Where known-good changes come from: notes as they are, or commits by people that were left standing.",
)
@click.option("--short", is_flag=True, help="Try 20 cases: shows that it works, and qualifies nobody.")
@json_option
@session_option
def command(session: Session, flow_name: str, source: Source, short: bool, as_json: bool) -> int:
    """Measure the reviewers on changes that are known to be good or bad, and store whether they qualify.

    Takes long; interrupted, it goes on where it was. Ends with 3 when a reviewer does not qualify: then nothing that
    needs its word can merge.

    Example: pantheon review calibrate --short --json
    """
    project, user = session.project(), session.user_paths()
    amount = SHORT if short else WHOLE
    with progress("cases") as show:
        found = run_async(
            lambda: run_calibration(
                project, user, flow_name=flow_name, amount=amount, source=source, say=say, show=show
            )
        )
    if as_json:
        emit_json(
            {
                "figures": found.figures,
                "qualifications": found.qualifications,
                "results": str(found.results),
                "written": None if found.written is None else str(found.written),
            }
        )
    else:
        _tell(found)
    if found.written is None:
        return 0
    return NOT_QUALIFIED if any(one.wanting for one in found.qualifications) else 0


def _tell(found: Calibrated) -> None:
    figures = found.figures
    emit(
        f"{figures.cases} known changes of {figures.subjects} notes ({figures.from_history} from history), "
        f"{figures.model_s:.0f} s of model time"
    )
    emit("")
    emit_rows(
        ("known-bad changes that land", ""),
        (
            ("checks alone, reviewers that approve of all", _share(figures.checks_alone)),
            ("checks and reviewers", _share(figures.false_accepts)),
            ("the same, thresholds fitted on other notes", _share(figures.held_out_accepts)),
            ("one wrong detail in a text that fits", _share(figures.narrow_accepts)),
        ),
    )
    emit("")
    emit_rows(
        ("known-good changes that do not", ""),
        (
            ("checks and reviewers", _share(figures.false_rejects)),
            ("the same, thresholds fitted on other notes", _share(figures.held_out_rejects)),
        ),
    )
    emit("")
    _tell_reviewers(figures)
    emit("")
    emit_rows(
        ("kind", "cases", "past the checks", "past all"),
        [(one.kind, one.cases, one.past_checks, one.past_all) for one in figures.kinds],
    )
    emit("")
    for one in found.qualifications:
        emit(_verdict(one))
    say(f"Every case is in {found.results}")


def _tell_reviewers(figures: Calibration) -> None:
    emit_rows(
        (
            "reviewer",
            "ROC area",
            "threshold",
            "false accepts",
            "false rejects",
            "calls",
            "computed",
            "cached",
        ),
        [
            (
                one.reviewer,
                _area(one.area),
                f"{one.confident:.2f}",
                _share(one.false_accepts),
                _share(one.false_rejects),
                one.calls,
                one.computed_tokens,
                one.cached_tokens,
            )
            for one in figures.reviewers
        ],
    )
    emit("" if figures.kappa is None else f"Cohen's kappa {figures.kappa:.2f}")
    rows = [
        (kind, *(_area(one.areas[kind]) if kind in one.areas else "-" for one in figures.reviewers))
        for kind in sorted({kind for one in figures.reviewers for kind in one.areas})
    ]
    emit("")
    emit_rows(("ROC area on", *(one.reviewer for one in figures.reviewers)), rows)


def _verdict(one: Qualification) -> str:
    if one.wanting:
        return f"{one.reviewer} does not qualify: {'; '.join(one.wanting)}"
    return f"{one.reviewer} qualifies for {one.flow} with this model"


def _share(rate: Rate) -> str:
    if rate.share is None:
        return "none tried"
    return f"{rate.hits} of {rate.total} ({rate.share:.1%}, {rate.low:.1%} to {rate.high:.1%})"


def _area(area: Area) -> str:
    return "-" if area.value is None else f"{area.value:.2f} ({area.low:.2f} to {area.high:.2f})"
