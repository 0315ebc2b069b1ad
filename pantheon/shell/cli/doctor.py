"""``pantheon doctor``: is tonight going to work, and what mends what is missing?"""

import asyncio
from collections import Counter

import click

from pantheon.core.errors import PantheonError, PreflightError
from pantheon.shell.brought_state import brought_problems
from pantheon.shell.checks import Finding, Grade, ask, machine_questions
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import Tone, emit_json, emit_marked, say
from pantheon.shell.config import FILE
from pantheon.shell.containment_checks import containment_findings
from pantheon.shell.containment_wiring import contain, known_services
from pantheon.shell.environment import environment
from pantheon.shell.project_checks import project_questions

TONES: dict[Grade, Tone] = {Grade.OK: "good", Grade.WARN: "warn", Grade.FAIL: "bad"}


@click.command("doctor")
@click.option(
    "--containment", is_flag=True, help="Only prove, from inside, that a night cannot leave the machine."
)
@json_option
@session_option
def command(session: Session, containment: bool, as_json: bool) -> int:
    """Tell whether tonight is going to work, and how to mend what is missing.

    Exit code 3 when something would keep the night from starting.
    """
    if containment:
        return prove(session, as_json)
    findings = run_async(lambda: examine(session))
    counts = Counter(finding.grade for finding in findings)
    if as_json:
        emit_json({"ready": not counts[Grade.FAIL], "checks": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            _tell(finding)
        say(f"{counts[Grade.OK]} ok, {counts[Grade.WARN]} to look at, {counts[Grade.FAIL]} in the way")
    return PreflightError.exit_code if counts[Grade.FAIL] else 0


def prove(session: Session, as_json: bool) -> int:
    """Do what a night does first, and tell what was seen. Raises ``PreflightError`` where a night would not start."""
    statement = contain(session.project(), session.command_line)
    if as_json:
        emit_json(statement.as_predicate())
        return 0
    for finding in containment_findings(statement.observed, services=known_services()):
        _tell(finding)
    say(f"contained: {statement.observed.mode}")
    return 0


async def examine(session: Session) -> tuple[Finding, ...]:
    """Ask everything that can be asked; without a sound configuration that is the machine only."""
    machine = await ask(machine_questions(environment()))
    try:
        project = session.project(brought=True)
    except PantheonError as error:
        return (*machine, Finding("config", Grade.FAIL, error.message, error.hint))
    config = Finding("config", Grade.OK, str(project.root / FILE))
    for why, mend in await asyncio.to_thread(lambda: tuple(brought_problems(project))):
        return (*machine, config, Finding("repository", Grade.FAIL, why, mend))
    return (*machine, config, *await ask(project_questions(project, session.user_paths())))


def _tell(finding: Finding) -> None:
    emit_marked(finding.grade, TONES[finding.grade], f"{finding.check:11}  {finding.message}", finding.mend)
