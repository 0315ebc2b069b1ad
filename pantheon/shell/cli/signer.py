"""``pantheon signer``: the process that holds the keys. A night starts one of its own; a service may run one."""

import os
import pwd
from pathlib import Path

import click

from pantheon.core.errors import ConfigError
from pantheon.shell.cli.context import Session, run_async, session_option
from pantheon.shell.cli.output import say
from pantheon.shell.signer_wiring import serve_signer


@click.command("signer")
@click.option(
    "--socket", "path", type=click.Path(path_type=Path), required=True, help="Unix socket to answer on."
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="The user's private key; by default the service manager's credential night.ed25519, else the user's own.",
)
@click.option("--user", metavar="NAME", help="The user that may ask; by default the one that runs this.")
@click.option("--outside", type=click.Path(path_type=Path), hidden=True)
@click.option("--child", is_flag=True, hidden=True)
@click.option("--parent", type=int, hidden=True)
@session_option
def command(
    session: Session,
    path: Path,
    key: Path | None,
    user: str | None,
    outside: Path | None,
    child: bool,
    parent: int | None,
) -> None:
    """Hold the keys of one night at a time, and sign what its rules allow, until it is told to end.

    The keys of a night exist in this process's memory alone; they are dropped when the night ends or leaves.

    Example: pantheon signer --socket /run/pantheon-signer/signer.sock --user pantheon-runner
    """
    run_async(
        lambda: serve_signer(
            path.absolute(),
            key,
            session.user_paths(),
            uid=_uid(user),
            tell=say,
            outside=outside,
            child_of=os.getppid() if child else None,
            parent=parent,
        )
    )


def _uid(name: str | None) -> int:
    if name is None:
        return os.geteuid()
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise ConfigError(f"--user {name}: there is no such user") from error
