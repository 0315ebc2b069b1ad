"""The artifacts of one attempt as they were read, with a list of what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.visible import visible
from pantheon.ports.evidence import Piece
from pantheon.report.diffs import colour_diff, read_diff
from pantheon.report.limits import Limits
from pantheon.report.model import DiffShown, Excerpt
from pantheon.report.reading import count, parse, parse_lines


@dataclass
class View:
    """The pieces of one attempt, with a list of what is wrong with them."""

    folder: str
    pieces: dict[str, Piece]
    limits: Limits
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        bad = {name: piece.problem for name, piece in self.pieces.items() if piece.problem}
        if len(set(bad.values())) == 1 and len(bad) > 1:
            self.problems.append(visible(f"artifacts: {next(iter(bad.values()))}"))
        else:
            self.problems += [visible(f"{name} {problem}") for name, problem in bad.items()]

    def good(self, name: str) -> Piece | None:
        """Return an artifact that could be read."""
        piece = self.pieces.get(name)
        return None if piece is None or piece.problem else piece

    def json(self, name: str) -> Mapping[str, Any]:
        """Return a JSON artifact's object; an empty one, and a problem, for anything else."""
        piece = self.good(name)
        if piece is None:
            return {}
        if len(piece.data) < piece.size_bytes:
            self.problems.append(f"{name} is too large to be read ({piece.size_bytes} bytes)")
            return {}
        value, problem = parse(piece.data)
        if problem:
            self.problems.append(f"{name} {problem}")
        return value

    def lines(self, name: str, limit: int) -> tuple[list[Mapping[str, Any]], str]:
        """Return the first objects of a JSON Lines artifact, and in words how much more there is."""
        piece = self.good(name)
        if piece is None:
            return [], ""
        whole = len(piece.data) >= piece.size_bytes
        found, left, problem = parse_lines(piece.data, whole=whole, limit=limit)
        if problem:
            self.problems.append(f"{name} {problem}")
        if not whole:
            return found, f"more in {name} ({piece.size_bytes:,} bytes in all)"
        return found, f"{left} more in {name}" if left else ""

    def excerpt(self, name: str, limit: int, *, tail: bool = False) -> Excerpt | None:
        """Return at most ``limit`` bytes of a text artifact that is not empty."""
        piece = self.good(name)
        if piece is None or piece.size_bytes == 0:
            return None
        data = piece.data[-limit:] if tail else piece.data[:limit]
        shown = visible(data.decode("utf-8", "replace"))
        kept = len(data)
        if len(shown) > 2 * limit:
            # Written-out controls are longer than the controls: what is shown stays bounded for them too.
            kept = kept * 2 * limit // len(shown)
        return Excerpt(
            text=shown[-2 * limit :] if tail else shown[: 2 * limit],
            artifact=visible(f"{self.folder}/{name}"),
            size_bytes=piece.size_bytes,
            left_out_bytes=piece.size_bytes - kept,
            tail=tail,
        )

    def note_missing(self, metrics: Mapping[str, Any]) -> None:
        """Note what an attempt that ended must have left, and did not."""
        if not self.pieces:
            self.problems.append("no artifacts: the folder is missing or empty")
            return
        wanted = ["input.json", "metrics.json", "attestation.json"]
        if count(metrics.get("calls")):
            wanted += ["llm_prompt.txt", "llm_calls.jsonl"]
        self.problems += [f"{name} is missing" for name in wanted if name not in self.pieces]

    def diff(self) -> DiffShown | None:
        """Return the diff: counted as far as it was read, shown as far as the limits go."""
        shown = self.excerpt("diff.patch", self.limits.diff_bytes)
        if shown is None:
            return None
        piece = self.pieces["diff.patch"]
        facts = read_diff(piece.data.decode("utf-8", "replace"))
        return DiffShown(
            excerpt=shown,
            lines=colour_diff(shown.text),
            paths=facts.paths,
            added=facts.added,
            removed=facts.removed,
            exact=len(piece.data) >= piece.size_bytes,
        )
