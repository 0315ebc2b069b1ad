"""``pantheon gate``: what the gate decided. Each verb is a module ``gate_VERB``."""

from types import MappingProxyType

import click

from pantheon.shell.cli.context import Session, json_option, run_async
from pantheon.shell.cli.lazy import LazyVerbs, show_rows

VERBS = MappingProxyType({"explain": "Tell why a task's change was accepted, denied or held."})
"""Verb -> its one line in the help."""


@click.group("gate", cls=LazyVerbs, verbs=VERBS, invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Look at what the gate decided. Without a command it lists the tasks of the last night.

    Example: pantheon gate explain fm-0007
    """
    if ctx.invoked_subcommand is None:
        from pantheon.shell.judging import list_outcomes

        session: Session = ctx.obj
        rows = run_async(lambda: list_outcomes(session.project()))
        show_rows(("task", "outcome", "because"), rows, as_json=as_json)
