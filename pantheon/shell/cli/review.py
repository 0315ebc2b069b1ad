"""``pantheon review``: what the reviewers said, and how far their word goes. Each verb is a module ``review_VERB``."""

from types import MappingProxyType

import click

from pantheon.shell.cli.lazy import LazyVerbs

VERBS = MappingProxyType(
    {
        "show": "Show a task's change and what each reviewer said of it.",
        "calibrate": "Measure the reviewers on known changes, and store whether they qualify.",
    }
)
"""Verb -> its one line in the help; a verb is one line here and a module of its own."""


@click.group("review", cls=LazyVerbs, verbs=VERBS)
def command() -> None:
    """Look at what the reviewers said.

    Example: pantheon review show fm-0007
    """
