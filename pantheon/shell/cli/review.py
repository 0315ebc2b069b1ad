"""``pantheon review``: what the reviewers said, and how far their word goes. Each verb is a module ``review_VERB``."""

from types import MappingProxyType

import click

from pantheon.shell.cli.context import Session, json_option, run_async
from pantheon.shell.cli.lazy import LazyVerbs, show_rows

VERBS = MappingProxyType(
    {
        "show": "Show a task's change and what each reviewer said of it.",
        "calibrate": "Measure the reviewers on known changes, and store whether they qualify.",
    }
)
"""Verb -> its one line in the help; a verb is one line here and a module of its own."""


@click.group("review", cls=LazyVerbs, verbs=VERBS, invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Look at what the reviewers said. Without a command it lists the verdicts of the last night.

    Example: pantheon review show fm-0007
    """
    if ctx.invoked_subcommand is None:
        from pantheon.shell.judging import list_verdicts

        session: Session = ctx.obj
        rows = run_async(lambda: list_verdicts(session.project()))
        show_rows(("task", "reviewer", "verdict", "margin"), rows, as_json=as_json)
