"""The command line's front door: a lazy group of commands, and the one place where errors become exit codes.

Invariants:
- ``pantheon --help``, ``--version`` and completion of command names import no command;
- a command's module is ``pantheon.shell.cli.NAME`` and exposes a click command called ``command``; the operator's
  orders share ``pantheon.shell.cli.orders``, which exposes ``COMMANDS``;
- a command returns None or an exit code, and raises ``PantheonError`` for everything that went wrong;
- with ``--json`` an error is one JSON object on stderr.
"""

import difflib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from pantheon import __version__
from pantheon.core.errors import INTERRUPTED, ConfigError, PantheonError
from pantheon.shell.cli.context import Session, parse_settings
from pantheon.shell.cli.lazy import ListedGroup
from pantheon.shell.cli.output import emit, say, to_json
from pantheon.shell.environment import completion_wanted, debug_wanted

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "init": "Lay out agents, flows, policies, queue and artifacts in a repository.",
        "scope": "Print one task line for each file that a glob finds.",
        "enqueue": "Validate task lines, freeze them, sign them.",
        "doctor": "Tell whether tonight is going to work, and how to mend what is missing.",
        "night": "Work the queue now, in the foreground.",
        "daemon": "Wait for the window and run nights in it; install or uninstall the service.",
        "pause": "Start nothing more in the open night; its process waits.",
        "resume": "Take back a pause or a drain.",
        "drain": "Finish what runs in the open night, and leave the rest to the next one.",
        "cancel": "End tasks, a batch or the night without a change.",
        "hold": "Start nothing of these tasks until they are released.",
        "release": "Take back a hold.",
        "requeue": "Take up tasks again that were not accepted.",
        "status": "Tell what is queued, what runs, and how the last night ended.",
        "capacity": "Tell whether tonight's queue fits into the window, and what it may land.",
        "show": "Tell what became of one task, and why.",
        "gate": "Tell why a change was accepted, denied or held.",
        "review": "Look at what the reviewers said of a change.",
        "report": "Write and name the morning report.",
        "publish": "Make a night's branch into pull requests, by day.",
        "outcomes": "Tell what people kept, changed and reverted of what landed.",
        "undo": "Take back a change that landed.",
        "verify": "Verify what a night left, with nothing but its folder and a public key.",
        "server": "Render, start, look at or stop the model server that nights use.",
        "signer": "Hold the keys of a night and sign for it, as a service.",
        "models": "List, fetch and verify the models of the catalogue.",
    }
)
"""Command -> its one line in the help; in the order of a day."""

ORDERS = frozenset({"pause", "resume", "drain", "cancel", "hold", "release"})
"""Commands that share one module."""

BROKEN_PIPE = 141


class LazyGroup(ListedGroup):
    """A group that imports a command when it is called, not before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, listed=COMMANDS, **kwargs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in ORDERS:
            shared: click.Command = importlib.import_module("pantheon.shell.cli.orders").COMMANDS[cmd_name]
            return shared
        command: click.Command = importlib.import_module(f"pantheon.shell.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            raise click.UsageError(
                f"no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog="Exit codes: 0 done, 1 some tasks failed, 2 usage or input, 3 preflight refused, "
    "4 infrastructure, 5 window or budget ended with work left, 6 gate blocked, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="pantheon")
@click.option(
    "-C", "folder", type=click.Path(path_type=Path), default=".", help="Work as if started in this folder."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of pantheon.toml, e.g. night.lease_s=90.",
)
@click.pass_context
def cli(ctx: click.Context, folder: Path, settings: tuple[str, ...]) -> None:
    """The night shift for a repository: local models, signed queue, two reviewers, one report."""
    if ctx.invoked_subcommand is None:
        emit(ctx.get_help())
    try:
        found = folder.resolve(strict=True).is_dir()
    except (OSError, ValueError):
        found = False
    if not found:
        named = f"-C {folder}" if str(folder) != "." else "the current folder"
        raise click.UsageError(f"{named}: there is no such folder")
    ctx.obj = Session(start=folder, overrides=parse_settings(settings), command_line=ctx.obj or ())


def run(arguments: Sequence[str], *, command_line: Sequence[str] = ()) -> int:
    """Run one command line and return its exit code. Never raises.

    Args:
        arguments: the words after ``pantheon``.
        command_line: the words that this process was started with, the interpreter's first, where all of it is this
            command line and a command may replace it.
    """
    as_json = "--json" in arguments[: list(arguments).index("--") if "--" in arguments else None]
    try:
        with cli.make_context("pantheon", list(arguments), obj=tuple(command_line)) as context:
            result = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        return _refuse_usage(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except PantheonError as error:
        return _tell((error,), as_json)
    except BaseExceptionGroup as group:
        return _sort_out(group, as_json)
    except Exception as error:  # noqa: BLE001 (the last line of defence: a person gets a sentence, not a traceback)
        return _confess(error, as_json)
    return result if isinstance(result, int) else 0


def _sort_out(group: BaseExceptionGroup[Any], as_json: bool) -> int:
    leaves = tuple(_leaves(group))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        say("interrupted")
        return INTERRUPTED
    deliberate = tuple(leaf for leaf in leaves if isinstance(leaf, PantheonError))
    return _tell(deliberate, as_json) if len(deliberate) == len(leaves) else _confess(group, as_json)


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def _refuse_usage(error: click.ClickException, as_json: bool) -> int:
    message = error.format_message()
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "pantheon"
    return _tell((ConfigError(message, hint=f"See: {where} --help"),), as_json)


def _tell(errors: Sequence[PantheonError], as_json: bool) -> int:
    for error in dict.fromkeys(errors):
        if debug_wanted():
            say("".join(traceback.format_exception(error)), "dim")
        if as_json:
            say(to_json({"error": error.as_dict()}))
            continue
        say(f"pantheon: {error.message}", "bad")
        for problem in getattr(error, "problems", ()):
            say(f"  {problem}")
        if error.hint:
            say(f"  {error.hint}")
    return max(error.exit_code for error in errors)


def _confess(error: BaseException, as_json: bool) -> int:
    trace = "".join(traceback.format_exception(error))
    if debug_wanted():
        say(trace, "dim")
        hint = ""
    else:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="pantheon-",
            suffix=".traceback",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as file:
            file.write(trace)
        hint = f"The traceback is in {file.name}; PANTHEON_DEBUG=1 shows it here."
    fault = PantheonError(
        f"unexpected {type(error).__name__}: {error}. This is a bug in Pantheon.", hint=hint
    )
    return _tell((fault,), as_json)


def main() -> None:
    """Run ``sys.argv`` and end the process with the command's exit code."""
    if completion_wanted():
        cli.main(prog_name="pantheon")
    sys.exit(run(sys.argv[1:], command_line=sys.orig_argv))
