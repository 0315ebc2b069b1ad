"""What the night's own parts log, through the same door to stderr as everything a person reads.

A sentence with its values on a terminal, one JSON line otherwise (a journal, a file). Nothing goes to stdout.
"""

import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from pantheon.core.visible import visible_line
from pantheon.shell.cli.output import say, to_json


class DoorLogger:
    """What structlog writes to."""

    def msg(self, text: str) -> None:
        """Write one finished line."""
        say(text, "dim")

    debug = info = warning = error = critical = exception = msg


def configure_logs() -> None:
    """Send every log line of this process through the door."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _render,
        ],
        logger_factory=lambda *_: DoorLogger(),
        cache_logger_on_first_use=False,
    )


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    if not sys.stderr.isatty():
        return to_json({key: value if _is_plain(value) else str(value) for key, value in event.items()})
    name, level = event.pop("event", ""), event.pop("level", "")
    values = " ".join(f"{key}={visible_line(str(value))}" for key, value in event.items())
    return f"{level}: {visible_line(str(name))} {values}".rstrip()


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
