"""What the daemon makes of a night that ended: whether the next one has to wait, how long, and what ends that.

Invariants:
- a refusal waits for a change or an hour, unless it is only that the model server does not answer yet: that one,
  like a crash, is tried again after a growing pause;
- what is decided outside every window binds none.

Source: DESIGN.md, sections 4 and 7; docs/daemon.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pantheon.core.daemon import Rest, Work
from pantheon.core.errors import INTERRUPTED, ServerAwayError
from pantheon.core.window import Span

REFUSED_PAUSE_S = 3_600.0
"""After exit code 2 or 3 a person has to do something; the model that was missing may be there an hour later."""
FIRST_PAUSE_S, LAST_PAUSE_S = 60.0, 3_600.0
"""After a crash or a fault of the machine; doubles with each one in a row."""
ORDINARY_ENDS = frozenset({0, 1, 5, 6})
"""Exit codes of a night that came to its end."""
REFUSED_ENDS = frozenset({2, 3})
LAST_LOADING_PAUSE_S = 480.0
"""Longest pause while the model server does not answer: one that loads its weights is ready within minutes."""


@dataclass(frozen=True)
class Refusal:
    """Why a night did not start, in its own words."""

    code: str
    """``PantheonError.code``."""
    message: str
    hint: str = ""

    @property
    def is_server_away(self) -> bool:
        """Whether nothing is wrong but that the model server does not answer."""
        return self.code == ServerAwayError.code

    def __str__(self) -> str:
        return (
            " ".join(f"{self.message}. {self.hint}".split()) if self.hint else " ".join(self.message.split())
        )


def judge_end(
    code: int,
    work: Work,
    *,
    found: Work,
    before: Rest | None,
    now: datetime,
    span: Span | None,
    asked: bool,
    refusal: Refusal | None = None,
) -> Rest | None:
    """Return why the next night has to wait, after one ended; None when it need not.

    Args:
        code: the night's exit code; negative for the signal that killed it.
        work: what is there after it.
        found: what was there when it started.
        before: the rest that was in force when it started.
        now: the time, aware.
        span: the window now.
        asked: whether the daemon told the night to end.
        refusal: what a refused night said; None when it said nothing.
    """
    if asked or not work or _is_over(span, now):
        return None
    if code in ORDINARY_ENDS:
        if work != found:
            return None
        # It waits for something that no night brings about; whatever changes ends this sooner.
        until = now + timedelta(seconds=REFUSED_PAUSE_S)
        return Rest(until=until, why="the last night left it so", span=span)
    if code in REFUSED_ENDS:
        return _rest_refused(code, refusal, before=before, now=now, span=span)
    if code == INTERRUPTED:
        return Rest(
            until=None, why="the operator has stopped the night; say: pantheon resume, or wait", span=span
        )
    failures = _in_a_row(before, span, for_server=False)
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return Rest(
        until=now + _growing(failures, LAST_PAUSE_S),
        why=f"the last night {how}; it is tried again",
        failures=failures,
        span=span,
    )


def tell_end(code: int, refusal: Refusal | None) -> str:
    """Return how a night ended that did not work as it should; empty for an ordinary end."""
    if code in ORDINARY_ENDS or code == INTERRUPTED:
        return ""
    if code in REFUSED_ENDS:
        said = refusal or "it did not say why; pantheon doctor does"
        return f"a night was refused (exit code {code}): {said}"
    return f"a night was killed by signal {-code}" if code < 0 else f"a night failed with exit code {code}"


def _rest_refused(
    code: int, refusal: Refusal | None, *, before: Rest | None, now: datetime, span: Span | None
) -> Rest:
    if refusal is not None and refusal.is_server_away:
        failures = _in_a_row(before, span, for_server=True)
        return Rest(
            until=now + _growing(failures, LAST_LOADING_PAUSE_S),
            why="the model server does not answer yet; it is tried again",
            failures=failures,
            span=span,
            for_server=True,
        )
    said = f": {' '.join(refusal.message.split())}" if refusal is not None else "; see its message"
    return Rest(
        until=now + timedelta(seconds=REFUSED_PAUSE_S),
        why=f"the last night was refused (exit code {code}){said}; then change something",
        span=span,
    )


def _in_a_row(before: Rest | None, span: Span | None, *, for_server: bool) -> int:
    again = before is not None and before.span == span and before.for_server == for_server
    return before.failures + 1 if before is not None and again else 1


def _growing(failures: int, most_s: float) -> timedelta:
    return timedelta(seconds=min(FIRST_PAUSE_S * 2 ** (failures - 1), most_s))


def after_change(rest: Rest | None, work: Work) -> Rest | None:
    """Return what is left of a rest once something changed in the queue, the store or the configuration.

    A refusal may be mended, an operator may have taken his word back; a crash, or a server that loads, has nothing to
    do with the queue.
    """
    if rest is None or rest.failures or work.told_to_wait:
        return rest
    return None


def wait_for_operator(rest: Rest | None, work: Work, *, now: datetime, span: Span | None) -> Rest | None:
    """Return a rest for work that an operator has told to wait before this daemon saw it, else ``rest``.

    It ends with the window: in the next one the night goes on.
    """
    if rest is not None or not work.told_to_wait or _is_over(span, now):
        return rest
    return Rest(until=None, why="the operator has stopped the night; say: pantheon resume", span=span)


def _is_over(span: Span | None, now: datetime) -> bool:
    """Tell whether no window is open: what is decided then must not bind the next one."""
    return span is not None and now not in span
