"""``pantheon capacity``: whether tonight's queue fits into the window, and what it is expected to land."""

from collections.abc import Mapping
from pathlib import Path

import click

from pantheon.shell.cli.context import Session, json_option, run_async, session_option


@click.command(
    "capacity",
    epilog="Example: pantheon capacity --window 6 --slots model=2 --svg capacity.svg",
)
@click.option(
    "--window",
    "window_h",
    type=float,
    metavar="HOURS",
    help="Length of the window; else what is left of the policy's, or its next one.",
)
@click.option(
    "--slots",
    "slots",
    multiple=True,
    metavar="RESOURCE=N",
    help="As if a resource had N slots; may be repeated.",
)
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture, one SVG, to this file."
)
@json_option
@session_option
def command(
    session: Session, window_h: float | None, slots: tuple[str, ...], svg: Path | None, as_json: bool
) -> None:
    """Tell whether tonight's queue fits into the window.

    Rates are those of earlier nights; what was never measured is taken from the flows, or guessed, and says so.
    """
    from pantheon.core.capacity_window import as_asked
    from pantheon.report.capacity_plot import plot_svg
    from pantheon.shell.capacity_wiring import known_resources, policy_tonight, read_outlook, write_picture
    from pantheon.shell.cli.capacity_text import tell
    from pantheon.shell.cli.output import emit_json, say

    asked = dict(_slot(one) for one in slots)
    if window_h is not None and not 0 < window_h <= 168:
        raise click.UsageError("--window: more than 0 and at most 168 hours")
    project = session.project()
    if asked and (unknown := sorted(asked.keys() - (known := known_resources(project)))):
        raise click.UsageError(
            f"--slots {unknown[0]}: no such resource; there are {', '.join(sorted(known))}"
        )
    held: Mapping[str, int] = {**project.config.slots, **asked}
    tonight = as_asked(window_h * 3600) if window_h is not None else policy_tonight(project)
    outlook = run_async(lambda: read_outlook(project, slots=held, tonight=tonight))
    if as_json:
        emit_json(outlook)
    else:
        tell(outlook)
    if svg is not None:
        write_picture(svg, plot_svg(outlook))
        say(f"The picture is in {svg}")


def _slot(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if (
        not name
        or not number.isascii()
        or not number.isdigit()
        or len(number) > 4
        or not 1 <= int(number) <= 1024
    ):
        raise click.UsageError(f"--slots {text}: say RESOURCE=N, with N from 1 to 1024")
    return name, int(number)
