"""``pantheon init``: lay out a repository for its first night, and never replace a file."""

import click

from pantheon.shell.cli.context import Session, dry_run_option, json_option, session_option
from pantheon.shell.cli.output import emit_json, emit_rows, say


@click.command("init")
@dry_run_option
@json_option
@session_option
def command(session: Session, as_json: bool, dry_run: bool) -> None:
    """Lay out agents, flows, policies, queue and artifacts in this repository.

    Files that exist are kept, also when they differ from what Pantheon ships; those are named.
    Running it again creates what is missing and nothing else.
    """
    from pantheon.shell.wiring import lay_out_repository

    root, placed = lay_out_repository(session.start, session.overrides, dry_run=dry_run)
    if as_json:
        files = [{"path": one.path, "placement": one.placement} for one in placed]
        emit_json({"root": root, "dry_run": dry_run, "files": files})
        return
    created = [one for one in placed if one.placement == "created"]
    emit_rows(("placement", "path"), [(one.placement, one.path) for one in created])
    for one in placed:
        if one.placement == "different":
            say(f"{one.path} differs from what this version ships; yours is kept", "warn")
    if not created:
        say(f"{root} is laid out already; nothing to create")
    elif dry_run:
        say(f"{len(created)} files would be created in {root}")
    else:
        say(
            f"{len(created)} files created in {root}. Next: pantheon scope docops 'docs/**/*.md' > tasks.jsonl"
        )
