"""One attempt's artifacts, read into what the report shows of them.

Invariants:
- nothing here raises for what an artifact holds: it becomes a problem in words;
- what the store says of an attempt counts before what its artifacts say.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pantheon.core.checkpoint import MAX_NOTE_BYTES, Checkpoint, note_text, parse_checkpoint
from pantheon.core.errors import VerificationError
from pantheon.core.figures import AttemptFacts
from pantheon.core.records import AttemptOutcome, AttemptRecord, NodeRecord
from pantheon.core.visible import visible
from pantheon.ports.evidence import EvidenceReader, Portion
from pantheon.report.calls import read_model_calls, read_review, read_tool_calls
from pantheon.report.limits import Limits
from pantheon.report.model import AttemptShown
from pantheon.report.reading import amount, count, items, mapping, moment, number, text
from pantheon.report.view import View

COUNTED_DIFF_BYTES = 200_000
"""Of a diff, what is read to count its lines and files, however little of it is shown."""
UNENDED = frozenset({None, AttemptOutcome.INTERRUPTED})


def attempt_folder(attempt: AttemptRecord, node: NodeRecord | None, task: str) -> str:
    """Return an attempt's folder: as the store has it, else where it is by convention."""
    if attempt.result is not None and attempt.result.artifacts:
        return attempt.result.artifacts
    name = node.node if node is not None else attempt.node.rpartition("#")[2]
    return f"{attempt.night}/{task.replace('/', '-')}/{name}/{attempt.attempt:03}"


async def read_attempt(
    reader: EvidenceReader, attempt: AttemptRecord, node: NodeRecord | None, task: str, limits: Limits
) -> AttemptShown:
    """Read one attempt's evidence.

    Args:
        reader: the artifacts.
        attempt: as the store has it.
        node: its node; None when the store does not know it.
        task: key of its task.
        limits: how much to show.
    """
    folder = attempt_folder(attempt, node, task)
    pieces = await reader.read_attempt(folder, _portions(limits))
    view = View(folder, dict(pieces), limits)
    metrics = dict(view.json("metrics.json"))
    if attempt.result is not None:
        metrics.update(attempt.result.metrics)
    review = read_review(view)
    tool_calls, tools_left = read_tool_calls(view)
    model_calls, calls_left = read_model_calls(view)
    outcome = attempt.result.outcome if attempt.result is not None else None
    if outcome not in UNENDED:
        view.note_missing(metrics)
    diff = view.diff()
    inside = folder.startswith(f"{attempt.night}/") and ".." not in folder.split("/")
    return AttemptShown(
        facts=_facts(attempt, node, task, outcome, metrics),
        ended=text(metrics.get("ended"), 100),
        cause=text(attempt.result.cause if attempt.result is not None else "", limits.text_chars),
        folder=visible(folder),
        link="./" + quote(folder.removeprefix(f"{attempt.night}/")) + "/" if inside and pieces else "",
        output_commit=text(attempt.result.output_commit if attempt.result is not None else "", 64),
        files=tuple(name for name, piece in pieces.items() if not piece.problem),
        problems=tuple(view.problems),
        signed="attestation.json" in pieces,
        output=view.excerpt("output.json", limits.output_bytes),
        prompt=view.excerpt("llm_prompt.txt", limits.prompt_bytes),
        tool_calls=tool_calls,
        tool_calls_left_out=tools_left,
        model_calls=model_calls,
        model_calls_left_out=calls_left,
        review=review,
        stdout=view.excerpt("stdout.log", limits.log_bytes, tail=True),
        stderr=view.excerpt("stderr.log", limits.log_bytes, tail=True),
        diff=diff,
        conflict=view.excerpt("conflict.patch", limits.diff_bytes),
    )


async def read_checkpoint(reader: EvidenceReader, night: str) -> Checkpoint | None:
    """Return the checkpoint of a night's ledger; None when there is none that can be read."""
    found = (await reader.read_attempt(night, {"checkpoint": Portion(MAX_NOTE_BYTES)})).get("checkpoint")
    if found is None or found.problem:
        return None
    try:
        return parse_checkpoint(note_text(found.data))
    except VerificationError:
        return None


def _portions(limits: Limits) -> Mapping[str, Portion]:
    return {
        "input.json": Portion(1),
        "llm_prompt.txt": Portion(limits.prompt_bytes),
        "llm_calls.jsonl": Portion(limits.lines_bytes),
        "tool_calls.jsonl": Portion(limits.lines_bytes),
        "output.json": Portion(limits.output_bytes),
        "stdout.log": Portion(limits.log_bytes, tail=True),
        "stderr.log": Portion(limits.log_bytes, tail=True),
        "diff.patch": Portion(max(limits.diff_bytes, COUNTED_DIFF_BYTES)),
        "conflict.patch": Portion(limits.diff_bytes),
        "review.json": Portion(limits.json_bytes),
        "metrics.json": Portion(limits.json_bytes),
        "attestation.json": Portion(1),
    }


def _facts(
    attempt: AttemptRecord,
    node: NodeRecord | None,
    task: str,
    outcome: AttemptOutcome | None,
    metrics: Mapping[str, Any],
) -> AttemptFacts:
    agent, _, version = text(metrics.get("agent"), 200).partition("@")
    wall_s = number(metrics.get("wall_s"))
    ended_at = attempt.ended_at or moment(metrics.get("ended_at"))
    if (wall_s is None or wall_s < 0) and attempt.ended_at is not None:
        wall_s = max((attempt.ended_at - attempt.started_at).total_seconds(), 0.0)
    prompt, cached = count(metrics.get("prompt_tokens")), count(metrics.get("cached_tokens"))
    computed = metrics.get("computed_tokens")
    errors = [mapping(one) for one in items(metrics.get("tool_errors"))[:1_000]]
    return AttemptFacts(
        task=task,
        node=visible(node.node if node is not None else attempt.node.rpartition("#")[2]),
        attempt=attempt.attempt,
        outcome=outcome,
        started_at=attempt.started_at,
        ended_at=ended_at,
        wall_s=wall_s,
        agent=agent,
        version=version,
        calls=count(metrics.get("calls")),
        prompt_tokens=prompt,
        cached_tokens=cached,
        computed_tokens=max(prompt - cached, 0) if computed is None else count(computed),
        completion_tokens=count(metrics.get("completion_tokens")),
        model_s=amount(metrics.get("model_s")),
        tool_errors=tuple((text(e.get("tool"), 60) or "?", text(e.get("code"), 60) or "?") for e in errors),
    )
