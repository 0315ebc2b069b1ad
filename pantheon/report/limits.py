"""How much of each artifact a report shows, so that a thousand tasks still make one readable file."""

from pantheon.core.model import Frozen

ATTEMPTS_IN_FULL = 100
"""Nights up to this many attempts show the full portions."""


class Limits(Frozen):
    """Ceilings for one item each."""

    prompt_bytes: int = 24_000
    log_bytes: int = 4_000
    diff_bytes: int = 24_000
    output_bytes: int = 6_000
    json_bytes: int = 400_000
    """Of ``review.json``, ``input.json`` and ``metrics.json``: parsed whole or not at all."""
    lines_bytes: int = 4_000_000
    """Of the JSON Lines artifacts: what is parsed of them."""
    tool_calls: int = 40
    model_calls: int = 60
    questions: int = 40
    text_chars: int = 2_000
    """Of one argument, answer, reason or question."""

    @classmethod
    def for_attempts(cls, attempts: int) -> "Limits":
        """Return the limits for a night of this size; they shrink so that the report's size stays the same."""
        full = cls()
        share = min(1.0, ATTEMPTS_IN_FULL / max(attempts, 1))
        return cls(
            prompt_bytes=max(int(full.prompt_bytes * share), 300),
            log_bytes=max(int(full.log_bytes * share), 200),
            diff_bytes=max(int(full.diff_bytes * share), 400),
            output_bytes=max(int(full.output_bytes * share), 200),
            json_bytes=full.json_bytes,
            lines_bytes=max(int(full.lines_bytes * share), 40_000),
            tool_calls=max(int(full.tool_calls * share), 3),
            model_calls=max(int(full.model_calls * share), 3),
            questions=max(int(full.questions * share), 4),
            text_chars=max(int(full.text_chars * share), 120),
        )
