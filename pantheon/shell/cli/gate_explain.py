"""``pantheon gate explain TASK``: why a change was accepted, denied or held."""

import shlex

import click

from pantheon.report.judgement import Judgement
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_marked, emit_toned, say
from pantheon.shell.cli.review_show import say_taken_back, tell_verdict
from pantheon.shell.judging import judge

_DECISIONS = {"allow": "The gate allowed it.", "deny": "The gate denied it.", "hold": "The gate holds it."}


@click.command("explain")
@click.argument("task")
@json_option
@session_option
def command(session: Session, task: str, as_json: bool) -> None:
    """Tell why the change of TASK was accepted, denied or held: checks, reviewers, decision, what was missing.

    Example: pantheon gate explain fm-0007
    """
    project = session.project()
    found = run_async(lambda: judge(project, task))
    if as_json:
        emit_json(found)
        return
    _tell(found)
    if found.decision is not None and found.decision.decision == "hold" and found.diff_from:
        place = shlex.quote(f"{project.config.folders.artifacts}/{found.diff_from}")
        say(f"No night lands it. To take it by hand: git apply --index {place}")


def _tell(found: Judgement) -> None:
    emit(f"{found.task}: {found.outcome}")
    emit(f"  {_verdict_of_the_gate(found)}")
    if found.cause:
        emit(f"  because: {found.cause}")
    if found.change is not None:
        emit(f"  base {found.change.base}  head {found.change.head}  tree {found.change.tree}")
        if found.change.merged:
            emit(f"  tree that would land {found.change.merged}")
    if found.landed:
        emit(f"  landed as {found.landed}")
    if found.taken_back is not None:
        emit(f"  {say_taken_back(found.taken_back)}")
    emit("")
    for check in found.checks:
        emit_marked(
            "ok" if check.passed else "!!", "good" if check.passed else "bad", check.name, check.reason
        )
    if not found.checks:
        emit("no checks have looked at it")
    for one in found.reviews:
        emit("")
        tell_verdict(one)
    if not found.reviews:
        emit("no reviewer has given a verdict")
    _tell_rest(found)


def _verdict_of_the_gate(found: Judgement) -> str:
    if found.decision is None:
        return "It has not come to the gate." if found.night else "No night has taken it."
    said = _DECISIONS.get(found.decision.decision, f"The gate said {found.decision.decision!r}.")
    explanation = found.decision.explanation
    return f"{said} {explanation}" if explanation else said


def _tell_rest(found: Judgement) -> None:
    reasons = () if found.decision is None else found.decision.reasons
    for title, lines in (
        ("against it:", reasons),
        (
            "not done:",
            [
                f"{node.node}: {node.state}" + (f": {node.cause}" if node.cause else "")
                for node in found.missing
            ],
        ),
        ("evidence that is missing or unreadable:", found.problems),
    ):
        if lines:
            emit("")
            emit_toned(title, "warn")
            for line in lines:
                emit(f"  {line}")
