"""A noun with verbs of its own: a group that imports a verb when it is called, not before."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from pantheon.shell.cli.output import emit_json, emit_rows, say


class ListedGroup(click.Group):
    """A group that tells its commands without importing one.

    Args:
        listed: command -> its one line in the help.
    """

    def __init__(self, *args: Any, listed: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.listed)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (as above)
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.listed.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(n, help=text) for n, text in self.listed.items() if n.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


class LazyVerbs(ListedGroup):
    """A group of commands, each in a module ``pantheon.shell.cli.NOUN_VERB`` that exposes ``command``.

    Args:
        verbs: verb -> its one line in the help.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, listed=verbs, **kwargs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (as above)
        if cmd_name not in self.listed:
            return None
        module = importlib.import_module(f"pantheon.shell.cli.{self.name}_{cmd_name}")
        command: click.Command = module.command
        return command


def show_rows(headers: Sequence[str], rows: Sequence[Sequence[object]], *, as_json: bool) -> None:
    """Write what a bare noun lists: a table, or JSON with the headers as keys."""
    if as_json:
        emit_json([dict(zip(headers, row, strict=True)) for row in rows])
    elif rows:
        emit_rows(headers, rows)
    else:
        say("There is nothing to list yet.")
