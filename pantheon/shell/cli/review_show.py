"""``pantheon review show TASK``: the change, and what each reviewer said of it."""

import click

from pantheon.core.taken_back import TakenBack
from pantheon.report.judgement import Judgement, VerdictShown
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import Tone, emit, emit_json, emit_rows, emit_toned
from pantheon.shell.judging import judge

_TONES: dict[str, Tone] = {"add": "good", "del": "bad", "hunk": "warn", "meta": "dim", "same": "plain"}


@click.command("show")
@click.argument("task")
@click.option("--no-diff", is_flag=True, help="Leave the diff out.")
@json_option
@session_option
def command(session: Session, task: str, no_diff: bool, as_json: bool) -> None:
    """Show the change of TASK and what each reviewer said of it, comparison by comparison.

    Example: pantheon review show fm-0007
    """
    found = run_async(lambda: judge(session.project(), task))
    if as_json:
        diff = "" if found.diff is None or no_diff else found.diff.excerpt.text
        shown = found.model_dump(
            mode="json", include={"task", "night", "outcome", "reviews", "diff_from", "problems"}
        )
        emit_json({**shown, "diff": diff})
        return
    if not no_diff:
        _tell_diff(found)
    emit(f"{found.task}: {found.outcome}")
    if found.taken_back is not None:
        emit(f"  {say_taken_back(found.taken_back)}")
    for one in found.reviews:
        emit("")
        tell_verdict(one)
    if not found.reviews:
        emit("  no reviewer has given a verdict")
    for problem in found.problems:
        emit(f"  evidence: {problem}")


def say_taken_back(back: TakenBack) -> str:
    """Return in words how a change was taken back."""
    return f"taken back by {back.undo[:12]} ({back.by}): {' '.join(back.reason.split())}"


def tell_verdict(one: VerdictShown) -> None:
    """Write one reviewer's verdict with its reasons and comparisons."""
    margin = "no margin" if one.margin is None else f"margin {one.margin:+.2f}"
    if one.strength is not None and one.confident is not None:
        margin += f", strength {one.strength:+.2f} where {one.confident:.2f} was needed"
    emit_toned(
        f"{one.reviewer} {one.version}: {one.verdict}, {margin}", "good" if one.verdict == "pass" else "bad"
    )
    if one.shown:
        emit(f"  was shown {one.shown}")
    for reason in one.reasons:
        emit(f"  because: {reason}")
    emit_rows(
        ("question", "margin", "floor", "mass", "fits", "places", "proposal", "decoy"),
        [
            (
                question.id,
                _number(question.margin),
                _number(question.floor),
                _number(question.label_mass),
                {True: "yes", False: "no", None: "?"}[question.fits],
                ", ".join(question.places),
                question.proposal,
                question.decoy,
            )
            for question in one.questions
        ],
    )
    if one.questions_left_out:
        emit(f"  and {one.questions_left_out} more comparisons in {one.folder}/review.json")


def _tell_diff(found: Judgement) -> None:
    if found.diff is None:
        emit("there is no diff")
    else:
        for lines in found.diff.lines:
            emit_toned(lines.text, _TONES[lines.kind])
        if found.diff.excerpt.left_out_bytes:
            emit(f"… {found.diff.excerpt.left_out_bytes} more bytes in {found.diff_from}")
    emit("")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
