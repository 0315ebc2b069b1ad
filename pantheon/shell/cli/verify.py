"""``pantheon verify``: anybody's question: is this what the night really did?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pantheon.core.dsse import key_id
from pantheon.core.verify import NightVerdict
from pantheon.shell.cli.context import Session, json_option, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_marked, emit_rows, progress
from pantheon.shell.verify_wiring import is_large, read_key, verify_nights

DEFECTS = 1
SANDBOXES = {"bubblewrap": "a sandbox (bubblewrap)", "none": "no sandbox, as the policy of that night said"}
"""Kind of a sandbox, as attested -> in words."""


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The public key of whoever ran the night (PEM); by default your own.",
)
@click.option(
    "--witness",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A witness file: tells whether an earlier state was put back.",
)
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The repository: tells whether its branch holds what the night landed.",
)
@json_option
@session_option
def command(
    session: Session,
    path: Path,
    key: Path | None,
    witness: Path | None,
    repository: Path | None,
    as_json: bool,
) -> int:
    """Verify the night in PATH, or every night in it, with nothing but that folder and a public key.

    Each defect is told by its name and place. Ends with 0 when everything is sound, 1 when it is not, 2 when it
    could not be looked at.

    Example: pantheon verify artifacts/20261121-220000
    """
    trusted = read_key(key, session.user_paths())
    if is_large(path):
        with progress("verifying") as show:
            verdicts = verify_nights(path, trusted, witness=witness, repository=repository, progress=show)
    else:
        verdicts = verify_nights(
            path, trusted, witness=witness, repository=repository, progress=lambda _done, _total, _what: None
        )
    sound = all(one.sound for one in verdicts)
    if as_json:
        shown = [_as_json(one) for one in verdicts]
        emit_json({"sound": sound, "key": key_id(trusted), "nights": shown})
    else:
        _tell(verdicts)
    return 0 if sound else DEFECTS


def _as_json(one: NightVerdict) -> dict[str, Any]:
    return {**one.model_dump(mode="json"), "sound": one.sound}


def _tell(verdicts: Sequence[NightVerdict]) -> None:
    for one in verdicts:
        name = f"night {one.night}" if one.night else "a night without a name"
        if one.sound:
            emit_marked("ok", "good", f"{name} is sound{'' if one.closed else ' so far; it is not closed'}")
        else:
            emit_marked("!!", "bad", f"{name} has {len(one.defects) + one.defects_left_out} defects")
        emit(f"   {one.records} records, {one.attempts} attempts, {one.files} files")
        if one.checkpoint is not None:
            emit(f"   checkpoint: {one.checkpoint.size} records, root {one.checkpoint.root}")
        if one.outcomes:
            emit("   tasks: " + ", ".join(f"{count} {name}" for name, count in sorted(one.outcomes.items())))
        for model in one.models:
            emit(f"   model: {model}")
        for sandbox in one.sandboxes:
            emit(f"   code of the repository ran in: {SANDBOXES[sandbox]}")
        for what in one.checked:
            emit(f"   looked at: {what}")
        for note in one.notes:
            emit(f"   note: {note}")
        emit_rows(
            ("defect", "where", "what"), [(defect.flaw, defect.where, defect.what) for defect in one.defects]
        )
