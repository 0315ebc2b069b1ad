"""``pantheon scope``: one task line for each file that a glob finds."""

import click

from pantheon.core.visible import visible_line
from pantheon.shell.cli.context import Session, session_option
from pantheon.shell.cli.output import emit_line, say


@click.command("scope")
@click.argument("kind")
@click.argument("globs", nargs=-1, required=True, metavar="GLOB...")
@click.option("--goal", help="What should be true afterwards; the kind docops brings its own.")
@click.option("--package", help="The tasks' package; by default each file's first folder.")
@click.option("--accept", multiple=True, help="An acceptance test, as a sentence; may be repeated.")
@click.option(
    "--exclude", "excluded", multiple=True, metavar="GLOB", help="Leave these out; may be repeated."
)
@session_option
def command(
    session: Session,
    kind: str,
    globs: tuple[str, ...],
    goal: str | None,
    package: str | None,
    accept: tuple[str, ...],
    excluded: tuple[str, ...],
) -> None:
    """Print one task line (JSON) for each file that a GLOB finds.

    A glob is a pattern as in .gitignore, over the files that git tracks or would track; quote it.
    Pantheon's own folders are left out. Whatever matches and cannot be a target is named on stderr.
    """
    from pantheon.core.errors import ConfigError
    from pantheon.core.scope import GOALS, match_paths, scope_tasks, why_unfit
    from pantheon.shell.wiring import listing

    wanted = goal or GOALS.get(kind)
    if wanted is None:
        raise ConfigError(f"the kind {kind!r} has no goal of its own", hint="Say one with --goal TEXT.")
    project = session.project()
    own = [f"/{folder}/" for folder in project.config.folders.model_dump().values()]
    listed = listing.list_work_tree(project.root)
    kinds = {file.path: file.kind for file in listed}
    matched = match_paths(kinds, globs, excluded)
    targets = []
    for path in matched:
        if not match_paths((path,), own, ()):
            reason = {"link": "a symbolic link", "other": "not a file", "missing": "not on disk"}.get(
                kinds[path]
            )
            if (why := reason or why_unfit(path)) is None:
                targets.append(path)
            else:
                say(f"left out: {visible_line(path)}: {why}", "warn")
    if kept := len(matched) - len(match_paths(matched, ("*",), own)):
        say(f"left out: {kept} files in Pantheon's own folders", "warn")
    if not targets:
        raise ConfigError(
            f"no file matches {' '.join(globs)}",
            hint="A glob is a pattern as in .gitignore; quote it: 'docs/**/*.md'",
        )
    lines = scope_tasks(targets, kind=kind, goal=wanted, package=package, accept=accept)
    for line in lines:
        emit_line(line)
    say(f"{len(lines)} tasks")
