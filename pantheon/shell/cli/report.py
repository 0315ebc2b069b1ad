"""``pantheon report``: write and name the morning report."""

import click

from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, say
from pantheon.shell.config import Project
from pantheon.shell.reporting import WrittenReport, write_report
from pantheon.shell.wiring import look_into_store


@click.command("report")
@click.argument("night", required=False)
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
@json_option
@session_option
def command(session: Session, night: str | None, open_it: bool, as_json: bool) -> None:
    """Write the report of NIGHT anew and print its path.

    NIGHT is a night's id or the beginning of one; without it, the last night. The report is made from the store and
    the artifacts each time, so it can be asked for while the night runs, or after artifacts came back.
    """
    project = session.project()
    written = run_async(lambda: _write(project, night))
    if as_json:
        emit_json(
            {
                "night": written.night,
                "sentence": written.sentence,
                "html": written.html,
                "json": written.json,
            }
        )
    else:
        say(written.sentence)
        emit(str(written.html))
    if open_it and click.launch(written.html.as_uri()) != 0:
        say(f"No browser could be started. Open it yourself: {written.html.as_uri()}", "warn")


async def _write(project: Project, night: str | None) -> WrittenReport:
    async with look_into_store(project) as store:
        return await write_report(project, store, night)
