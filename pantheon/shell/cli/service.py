"""``pantheon daemon install | uninstall``: put the service in place and take it away; shown first, then done."""

import sys
from pathlib import Path
from typing import Any

import click

from pantheon.shell.cli.context import Session, dry_run_option, json_option, session_option
from pantheon.shell.cli.output import confirm, emit, emit_json, say
from pantheon.shell.service_wiring import (
    Proposal,
    Scope,
    carry_out,
    installed,
    propose,
    refuse_without_root,
    removal_commands,
    remove,
    system_scope,
    user_scope,
)

SOMETHING_LEFT = 1

user_option = click.option(
    "--user", "for_user", is_flag=True, help="A service of this user, not of the system."
)
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    help="Fill this tree instead of the running system, and run nothing.",
)
program_option = click.option(
    "--program",
    metavar="PATH",
    help="The pantheon that the service runs; by default this very installation.",
)
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


@click.command("install")
@user_option
@root_option
@program_option
@yes_option
@dry_run_option
@json_option
@session_option
def install(
    session: Session,
    for_user: bool,
    root: Path,
    program: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put the service for this repository in place: show every file and command, then do it when told to.

    Doing it again changes nothing, or brings the files up to date. A file that somebody else wrote or changed is named,
    and then nothing is written. Nothing is started or enabled; what is left to do is shown.

    Example: pantheon daemon install --user
    """
    scope = _scope(for_user, root)
    proposal = propose(session.project(), scope, program=program)
    if not as_json:
        _show(proposal)
    done, remark = False, ""
    if proposal.foreign or _agreed("Write these files and run these commands?", yes, dry_run):
        refuse_without_root(scope)
        remark, done = carry_out(proposal), True
    if as_json:
        emit_json(_told(proposal, done=done, remark=remark))
        return
    if remark:
        say(remark, "warn")
    if done:
        say("Done. What is left to do:", "good")
        for step in proposal.installation.next_steps:
            say(f"  {step}")


@click.command("uninstall")
@user_option
@root_option
@yes_option
@dry_run_option
@json_option
@session_option
def uninstall(session: Session, for_user: bool, root: Path, yes: bool, dry_run: bool, as_json: bool) -> int:  # noqa: ARG001 (no repository is needed)
    """Stop the service and remove what install wrote, and only that; a file that was changed is named and left.

    Ends with 1 when something was left. Example: pantheon daemon uninstall --user
    """
    scope = _scope(for_user, root)
    names = [str(scope.root / name) for name in installed(scope).digests]
    before, after = removal_commands(scope)
    result = None
    if names:
        if not as_json:
            emit(
                "\n".join(
                    [*(f"run     {' '.join(one)}" for one in before), *(f"remove  {name}" for name in names)]
                )
            )
            emit("\n".join(f"run     {' '.join(one)}" for one in after))
        if _agreed("Remove these files?", yes, dry_run):
            refuse_without_root(scope)
            result = remove(scope)
    left = [] if result is None else [str(scope.root / name) for name in result.left]
    removed = [] if result is None else [str(scope.root / name) for name in result.removed]
    if as_json:
        emit_json(
            {
                "scope": scope.name,
                "files": names,
                "done": result is not None,
                "removed": removed,
                "left": left,
            }
        )
    elif not names:
        say("Nothing is installed here.")
    elif result is not None:
        for name in left:
            say(f"{name} was changed after it was installed; it is left", "warn")
        say(result.remark or f"{len(removed)} files removed")
    return SOMETHING_LEFT if left else 0


def _scope(for_user: bool, root: Path) -> Scope:
    if for_user and root != Path("/"):
        raise click.UsageError("say --user or --root, not both")
    return user_scope() if for_user else system_scope(root.absolute())


def _agreed(question: str, yes: bool, dry_run: bool) -> bool:
    """Return whether it is to be done: told by --yes, or by whoever is asked."""
    if dry_run or yes:
        return yes and not dry_run
    if not sys.stdin.isatty():
        raise click.UsageError("nothing was done: nobody is there to be asked; say --yes, or --dry-run")
    return confirm(question)


def _show(proposal: Proposal) -> None:
    """Print each file with its whole content, and each command."""
    for name, data in proposal.installation.files.items():
        emit(f"{proposal.standings[name]}  {proposal.scope.root / name}")
        emit("\n".join(f"    {line}" for line in data.decode("utf-8", "replace").splitlines()))
    for words in proposal.installation.commands:
        emit(f"run  {' '.join(words)}")


def _told(proposal: Proposal, *, done: bool, remark: str) -> dict[str, Any]:
    planned = proposal.installation
    return {
        "scope": proposal.scope.name,
        "repository": proposal.repository,
        "files": [
            {
                "path": str(proposal.scope.root / name),
                "standing": how,
                "content": planned.files[name].decode(),
            }
            for name, how in proposal.standings.items()
        ],
        "commands": [list(words) for words in planned.commands],
        "next": list(planned.next_steps),
        "done": done,
        "remark": remark,
    }
