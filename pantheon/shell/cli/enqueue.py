"""``pantheon enqueue``: validate task lines, freeze them, sign them; all or nothing."""

from typing import TYPE_CHECKING

import click

from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.output import emit_json, emit_rows, say

if TYPE_CHECKING:
    from pantheon.engine.enqueue import EnqueueResult

SHOWN_LEVELS = 20
"""A long chain has as many levels as tasks; JSON has them all."""


@click.command("enqueue")
@click.argument("file", metavar="FILE|-")
@click.option("--label", default="", help="Queue the same lines another time, under this label.")
@dry_run_option
@json_option
@session_option
def command(session: Session, file: str, label: str, as_json: bool, dry_run: bool) -> None:
    """Validate the task lines of FILE (- for standard input), freeze them, sign them.

    One wrong line and nothing is queued; every problem is named as file:line: field: what is wrong.
    Enqueueing the same lines again changes nothing, finishes what was interrupted, and signs again what was
    frozen under other flows, agents, policies or another model.
    """
    from pantheon.core.batch import check_label
    from pantheon.shell import queue_wiring
    from pantheon.shell.wiring import load_content

    check_label(label)
    project = session.project()
    source = file if file == "-" else str(session.start / file)
    with queue_wiring.enqueue_request(
        project, load_content(project), source, shown="stdin" if file == "-" else file, label=label
    ) as request:
        if dry_run:
            result = run_async(lambda: queue_wiring.preview(project, request))
        else:
            result = run_async(lambda: queue_wiring.enqueue(project, session.user_paths(), request))
    if as_json:
        emit_json(_as_data(result))
    else:
        _tell(result)


def _as_data(result: "EnqueueResult") -> dict[str, object]:
    preview = result.preview
    return {
        "batch": result.batch,
        "digest": result.digest,
        "path": result.path,
        "tasks": result.tasks,
        "outcome": result.outcome,
        "drift": result.drift,
        "flows": preview.flows,
        "kinds": preview.kinds,
        "packages": preview.packages,
        "levels": preview.levels,
    }


def _tell(result: "EnqueueResult") -> None:
    tasks = f"{result.tasks} task{'' if result.tasks == 1 else 's'}"
    if result.outcome == "previewed":
        preview = result.preview
        rows = [(what, name, count)
                for what, counts in (("flow", preview.flows), ("kind", preview.kinds),
                                     ("package", preview.packages))
                for name, count in sorted(counts.items())]  # fmt: skip
        rows += [("level", str(level), count) for level, count in enumerate(preview.levels[:SHOWN_LEVELS])]
        if deeper := preview.levels[SHOWN_LEVELS:]:
            rows.append(("level", f"{SHOWN_LEVELS} to {len(preview.levels) - 1}", sum(deeper)))
        emit_rows(("what", "name", "tasks"), rows)
        say(f"{tasks} would be frozen as {result.path}; nothing was written")
        return
    emit_rows(("batch", "tasks", "outcome"), [(result.batch, result.tasks, result.outcome)])
    for change in result.drift:
        say(f"  {change}")
    say(
        {
            "created": f"{tasks} frozen and signed in {result.path}",
            "completed": f"{tasks} in {result.path}: an enqueue that was interrupted is finished now",
            "renewed": f"{tasks} in {result.path} signed again with what is in force now",
            "unchanged": f"nothing to do: {result.path} holds these {tasks} already; "
            "--label TEXT queues them another time",
        }[result.outcome]
    )
