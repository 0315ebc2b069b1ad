"""``pantheon gate``: what the gate decided. Each verb is a module ``gate_VERB``."""

from types import MappingProxyType

import click

from pantheon.shell.cli.lazy import LazyVerbs

VERBS = MappingProxyType({"explain": "Tell why a task's change was accepted, denied or held."})
"""Verb -> its one line in the help."""


@click.group("gate", cls=LazyVerbs, verbs=VERBS)
def command() -> None:
    """Look at what the gate decided.

    Example: pantheon gate explain fm-0007
    """
