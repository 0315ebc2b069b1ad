"""``pantheon models``: list, fetch and verify the models of the catalogue. A bare noun lists."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pantheon.core.errors import PreflightError
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.output import emit_json, emit_rows, progress, say

if TYPE_CHECKING:
    from pantheon.core.catalogue import Catalogue, ModelEntry

MIB = 1024 * 1024


@click.group("models", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, fetch and verify the models of the catalogue (policies/models.toml)."""
    if ctx.invoked_subcommand is None:
        list_models(ctx.obj, as_json)


@command.command("list")
@json_option
@session_option
def list_command(session: Session, as_json: bool) -> None:
    """List the models: which one is used here, and which ones have been fetched."""
    list_models(session, as_json)


@command.command("pull")
@click.argument("name", required=False)
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take the bytes from this file; needs no network.",
)
@dry_run_option
@json_option
@session_option
def pull_command(session: Session, name: str | None, file: Path | None, dry_run: bool, as_json: bool) -> None:
    """Fetch a model and compare its size and SHA-256; one that is there is only verified.

    Without NAME the model that is configured here. What an interruption leaves is used the next time.
    """
    from pantheon.core.catalogue import FileSource
    from pantheon.shell.model_wiring import model_folder

    _, entry = _choose(session, name)
    folder = model_folder(session.user_paths())
    if dry_run:
        found = folder.look(entry)
        _tell_plan(entry, found.problem, file, as_json)
        return
    only = FileSource(kind="file", path=str(file.resolve())) if file else None
    with progress(entry.name, bytes_unit=True) as show:
        path = run_async(lambda: folder.pull(entry, progress=show, notice=say, only=only))
    if as_json:
        emit_json({"name": entry.name, "path": path, "sha256": entry.sha256, "size_bytes": entry.size_bytes})
    else:
        say(f"{entry.name} is there and verified", "good")
        emit_rows(("model", "path"), [(entry.name, path)])


@command.command("verify")
@click.argument("name", required=False)
@json_option
@session_option
def verify_command(session: Session, name: str | None, as_json: bool) -> None:
    """Read a fetched model whole and compare its SHA-256. Exit code 3 when it cannot be used.

    Without NAME the model that is configured here.
    """
    from pantheon.shell.model_wiring import model_folder

    _, entry = _choose(session, name)
    folder = model_folder(session.user_paths())
    with progress(entry.name, bytes_unit=True) as show:
        found = run_async(lambda: folder.verify(entry, show))
    if found.problem:
        raise PreflightError(
            f"{entry.name}: {found.problem}", hint=f"Fetch it with: pantheon models pull {entry.name}"
        )
    if as_json:
        emit_json(
            {"name": entry.name, "path": found.path, "sha256": entry.sha256, "size_bytes": entry.size_bytes}
        )
    else:
        emit_rows(("model", "path", "sha256"), [(entry.name, found.path, entry.sha256)])


def list_models(session: Session, as_json: bool) -> None:
    """Say what the catalogue holds. Raises ``ConfigError``."""
    from pantheon.shell.model_wiring import model_folder

    catalogue, chosen = _choose(session, None)
    user = session.user_paths()
    folder = model_folder(user)
    looked = [(entry, folder.look(entry)) for entry in catalogue.model]
    if as_json:
        models = [
            {
                **entry.model_dump(mode="json"),
                "chosen": entry is chosen,
                "path": found.path,
                "present": not found.problem,
                "problem": found.problem,
            }
            for entry, found in looked
        ]
        emit_json({"folder": user.models, "default": catalogue.default, "models": models})
        return
    emit_rows(
        ("model", "used here", "size", "licence", "state"),
        [
            (
                entry.name,
                "yes" if entry is chosen else "",
                f"{entry.size_bytes // MIB} MiB",
                entry.licence,
                found.problem or "fetched",
            )
            for entry, found in looked
        ],
    )


def _choose(session: Session, name: str | None) -> "tuple[Catalogue, ModelEntry]":
    from pantheon.shell.model_wiring import find_catalogue, find_project

    project = find_project(session.start, dict(session.overrides))
    catalogue = find_catalogue(project)
    configured = project.config.model if project is not None else None
    return catalogue, catalogue.entry(name or configured)


def _tell_plan(entry: "ModelEntry", problem: str, file: Path | None, as_json: bool) -> None:
    sources = [{"kind": "file", "path": file}] if file else [s.model_dump(mode="json") for s in entry.sources]
    if as_json:
        emit_json(
            {"name": entry.name, "fetch": bool(problem), "size_bytes": entry.size_bytes, "sources": sources}
        )
    elif not problem:
        say(f"{entry.name} is there already; it would be verified")
    else:
        kinds = ", then ".join(str(source["kind"]) for source in sources)
        say(f"{entry.size_bytes // MIB} MiB would be fetched from: {kinds}")
