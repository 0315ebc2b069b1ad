"""``pantheon publish``: make a night's branch into pull requests, by day."""

import sys
from pathlib import Path

import click

from pantheon.core.errors import ConfigError
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.giving import operator
from pantheon.shell.cli.output import confirm, emit, emit_json, emit_rows, say
from pantheon.shell.publishing import Published, Wish, publish


@click.command("publish")
@click.argument("night", required=False)
@click.option(
    "--to",
    type=click.Choice(["gh", "glab", "bundle"]),
    help="Make it: pull requests, or a bundle with patches.",
)
@click.option("--remote", default="origin", metavar="NAME", help="The remote to push to.")
@click.option(
    "--target", metavar="BRANCH", help="The branch they are for; by default the one that is checked out."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A new folder for texts and bundle.",
)
@click.option("--one", is_flag=True, help="Everything in one pull request.")
@click.option(
    "--key", type=click.Path(path_type=Path), metavar="FILE", help="The public key of whoever ran the night."
)
@click.option(
    "--accept-distrusted",
    default="",
    metavar="REASON",
    help="Publish what rests on a disqualified reviewer too; why, for the record.",
)
@click.option("--yes", is_flag=True, help="Push without a question.")
@dry_run_option
@json_option
@session_option
def command(
    session: Session,
    night: str | None,
    to: str | None,
    remote: str,
    target: str | None,
    out: Path | None,
    one: bool,
    key: Path | None,
    accept_distrusted: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the branch of NIGHT (the last one) into pull requests, one for each package.

    Without --to it only tells what it would make. It verifies the night first, and asks before anything is pushed.

    Example: pantheon publish, then pantheon publish --to gh
    """

    def agree(question: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise ConfigError(
                "nobody is there to agree to a push", hint="Run it on a terminal, or say --yes."
            )
        return confirm(question)

    wish = Wish(
        night=night,
        to=None if dry_run or to is None else to,  # type: ignore[arg-type]  # click has checked it
        remote=remote,
        target=target,
        out=out,
        one=one,
        key=key,
        accept_distrusted=accept_distrusted.strip(),
        by=operator(),
    )
    project = session.project()
    done = run_async(lambda: publish(project, session.user_paths(), wish, agree))
    if as_json:
        emit_json({**vars(done), "requests": [vars(request) for request in done.requests]})
    else:
        _tell(done)


def _tell(done: Published) -> None:
    if done.remark:
        say(done.remark, "warn")
    if not done.requests:
        emit(f"Night {done.night} has nothing to publish.")
        return
    emit_rows(
        ("branch", "changes", "title", "where"),
        [(one.branch, len(one.tasks), one.title, one.where or "not made") for one in done.requests],
    )
    if done.to is None:
        say("Nothing was made. Make them with: pantheon publish --to gh, glab or bundle")
