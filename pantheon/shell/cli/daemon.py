"""``pantheon daemon``: wait for the night's window and run nights in it."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from pantheon.core.daemon import Patience
from pantheon.core.errors import INTERRUPTED
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, say, to_json
from pantheon.shell.cli.service import install, uninstall
from pantheon.shell.config import Project
from pantheon.shell.daemon import Daemon
from pantheon.shell.daemon_wiring import open_daemon

CANCEL_S, KILL_S = 45, 15
"""Of the time to stop: seconds to settle what was cancelled, and to die."""
_TONES = {"trouble": "warn", "missed": "warn", "refused": "warn"}


@click.group("daemon", invoke_without_command=True)
@click.option(
    "--stop-within",
    "stop_s",
    type=click.IntRange(90, 3_600),
    default=240,
    show_default=True,
    metavar="SECONDS",
    help="Time to stop: what runs may finish in all of it but the last minute.",
)
@json_option
@session_option
@click.pass_context
def command(ctx: click.Context, session: Session, stop_s: int, as_json: bool) -> int | None:
    """Wait for the window of policies/night.toml and run nights in it, in the foreground.

    SIGTERM or Ctrl-C drains the night and leaves, a second one cancels it; SIGHUP reads the policy again. Under
    systemd it tells when it is ready, what it does, and that it is alive. Ends with 0 after SIGTERM.

    Example: pantheon daemon
    """
    if ctx.invoked_subcommand is not None:
        return None
    project = session.project()
    settings = tuple(f"{key}={value}" for key, value in session.overrides.items())
    patience = Patience(drain_s=float(stop_s - CANCEL_S - KILL_S), cancel_s=float(CANCEL_S))
    return run_async(lambda: serve(project, settings, patience, as_json=as_json))


async def serve(project: Project, settings: tuple[str, ...], patience: Patience, *, as_json: bool) -> int:
    """Run the daemon until a signal ends it; returns the exit code.

    Args:
        project: the configured repository.
        settings: ``KEY=VALUE`` for its nights.
        patience: how long a night that has to end is given.
        as_json: whether events are JSON lines on stdout instead of sentences on stderr.
    """

    def tell(event: str, sentence: str) -> None:
        if as_json:
            emit(to_json({"event": event, "message": sentence}))
            sys.stdout.flush()
        else:
            say(sentence, "warn" if event in _TONES else "plain")

    async with open_daemon(project, settings=settings, patience=patience, tell=tell) as daemon:
        with _signals(daemon) as interrupted:
            await daemon.run()
    return INTERRUPTED if interrupted() else 0


@contextmanager
def _signals(daemon: Daemon) -> Iterator[Callable[[], bool]]:
    """Let signals reach the daemon; yields what tells whether it was Ctrl-C that ended it."""
    loop = asyncio.get_running_loop()
    seen: set[signal.Signals] = set()

    def stop(one: signal.Signals) -> None:
        seen.add(one)
        daemon.stop()

    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stop, one)
    try:
        yield lambda: signal.SIGINT in seen and signal.SIGTERM not in seen
    finally:
        for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)


command.add_command(install)
command.add_command(uninstall)
