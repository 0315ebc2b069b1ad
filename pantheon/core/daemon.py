"""What the daemon does next: a decision from what it knows, without a clock of its own.

Invariants:
- nothing is started outside the window, after its last start, while a night runs, or once the daemon was told to stop;
- a night that has to end is asked first, then cancelled, then killed, each after its time;
- a night that failed is not started again at once: a refusal waits for a change or an hour, a crash
  for a growing pause;
- work that an operator has told to wait (``pantheon drain``) waits for his word or for the next window.

Source: DESIGN.md, sections 4 and 7; docs/daemon.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from pantheon.core.errors import INTERRUPTED
from pantheon.core.window import Span

REFUSED_PAUSE_S = 3_600.0
"""After exit code 2 or 3 a person has to do something; the model that was missing may be there an hour later."""
FIRST_PAUSE_S, LAST_PAUSE_S = 60.0, 3_600.0
"""After a crash or a fault of the machine; doubles with each one in a row."""
ORDINARY_ENDS = frozenset({0, 1, 5, 6})
"""Exit codes of a night that came to its end."""
REFUSED_ENDS = frozenset({2, 3})


class Urgency(IntEnum):
    """What a running night has been told so far."""

    NONE = 0
    ASKED = 1
    CANCELLED = 2
    KILLED = 3


@dataclass(frozen=True)
class Work:
    """What a night would find."""

    tasks: int = 0
    """Tasks that wait and are not held."""
    unread: int = 0
    """Batches in the queue's folder that the store does not know yet."""
    open_night: str = ""
    """The night that would be resumed; empty for none."""
    to_land: int = 0
    """Allowed changes of open nights that wait for the merge window."""
    told_to_wait: bool = False
    """Whether the operator has paused or drained the open night."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.unread or self.open_night or self.to_land)

    def can_be_done(self, *, may_land: bool, land_only: bool) -> bool:
        """Tell whether a night would find something to do.

        Args:
            may_land: whether merges may start.
            land_only: whether only merges may start.
        """
        if may_land and self.to_land:
            return True
        return not land_only and bool(self.tasks or self.unread or self.open_night)

    def __str__(self) -> str:
        parts = []
        if self.open_night:
            parts.append(f"night {self.open_night} is open")
        if self.tasks:
            parts.append(f"{self.tasks} task{' waits' if self.tasks == 1 else 's wait'}")
        if self.unread:
            parts.append(f"{self.unread} new batch{'' if self.unread == 1 else 'es'}")
        if self.to_land:
            parts.append(
                f"{self.to_land} allowed change{' waits' if self.to_land == 1 else 's wait'} to land"
            )
        return ", ".join(parts) or "nothing waits"


@dataclass(frozen=True)
class Running:
    """The night that runs now."""

    ends_at: datetime | None
    """When it has to be over; None for no end."""
    told: Urgency = Urgency.NONE
    told_s: float = 0.0
    """Seconds since it was told so."""


@dataclass(frozen=True)
class Rest:
    """Why nothing is started although there is work."""

    until: datetime | None
    """None: until something changes, or the next window opens."""
    why: str
    failures: int = 0
    """Crashes in a row."""
    span: Span | None = None
    """The window in which this was decided; another one ends the rest."""


@dataclass(frozen=True)
class Patience:
    """How long a night that has to end is given, in seconds."""

    drain_s: float = 180.0
    """To finish what runs, once it was asked."""
    cancel_s: float = 45.0
    """To settle what was cancelled, before it is killed."""


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on."""

    now: datetime
    span: Span | None
    """The window that is open or opens next; None: always open."""
    last_start_s: float = 0.0
    """Seconds before the end of the span at which nothing new starts."""
    may_land: bool = True
    """Whether the merge window is open, or there is none."""
    land_only: bool = False
    """Whether the span is the merge window's, outside that of the nights."""
    work: Work | None = None
    """None: nobody has looked since something changed."""
    running: Running | None = None
    rest: Rest | None = None
    stopping: bool = False
    impatient: bool = False
    """Whether the daemon was told to stop a second time."""
    patience: Patience = Patience()


@dataclass(frozen=True)
class Wait:
    """Do nothing until something happens."""

    status: str
    until: datetime | None = None


@dataclass(frozen=True)
class Look:
    """Find out what work there is."""


@dataclass(frozen=True)
class Start:
    """Run a night."""

    last_start: datetime | None
    """Nothing new starts after it."""
    ends_at: datetime | None
    """It has to be over then."""
    why: str
    land_only: bool = False
    """Whether it starts nothing but merges."""


@dataclass(frozen=True)
class Press:
    """Tell the running night to end."""

    urgency: Urgency
    why: str


@dataclass(frozen=True)
class Leave:
    """End the daemon."""


Action = Wait | Look | Start | Press | Leave


def decide_next(at: Situation) -> Action:
    """Return what the daemon does next."""
    if at.running is not None:
        return _decide_running(at, at.running)
    if at.stopping:
        return Leave()
    if at.span is not None and at.now not in at.span:
        return Wait("waiting for the window", until=at.span.opens_at)
    last_start = None if at.span is None else at.span.closes_at - timedelta(seconds=at.last_start_s)
    if at.span is not None and last_start is not None and at.now >= last_start:
        return Wait("too late to start anything in this window", until=at.span.closes_at)
    if at.work is None:
        return Look()
    ends_at = None if at.span is None else at.span.closes_at
    if not at.work.can_be_done(may_land=at.may_land, land_only=at.land_only):
        return Wait(f"nothing to do{_later(at, at.work)}", until=ends_at)
    if at.rest is not None and at.rest.span == at.span and (at.rest.until is None or at.rest.until > at.now):
        return Wait(f"{at.work}, but {at.rest.why}", until=at.rest.until or ends_at)
    return Start(last_start=last_start, ends_at=ends_at, why=str(at.work), land_only=at.land_only)


def _later(at: Situation, work: Work) -> str:
    if at.land_only or not work:
        return ""
    return f" now: {work}"


def _decide_running(at: Situation, running: Running) -> Action:
    over = running.ends_at is not None and at.now >= running.ends_at
    if not (at.stopping or over or running.told):
        return Wait("a night runs", until=running.ends_at)
    why = "the daemon stops" if at.stopping else "the window has ended"
    if running.told is Urgency.NONE:
        return Press(Urgency.ASKED, why)
    if running.told is Urgency.ASKED and (at.impatient or running.told_s >= at.patience.drain_s):
        return Press(Urgency.CANCELLED, why)
    if running.told is Urgency.CANCELLED and running.told_s >= at.patience.cancel_s:
        return Press(Urgency.KILLED, why)
    return Wait(f"{why}; the night is finishing what runs")


def judge_end(
    code: int,
    work: Work,
    *,
    found: Work,
    before: Rest | None,
    now: datetime,
    span: Span | None,
    asked: bool,
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
    """
    if asked or not work or _is_over(span, now):
        return None
    if code in ORDINARY_ENDS:
        if work != found:
            return None
        return Rest(until=now + timedelta(seconds=FIRST_PAUSE_S), why="the last night left it so", span=span)
    if code in REFUSED_ENDS:
        return Rest(
            until=now + timedelta(seconds=REFUSED_PAUSE_S),
            why=f"the last night was refused (exit code {code}); see its message, then change something",
            span=span,
        )
    if code == INTERRUPTED:
        return Rest(
            until=None, why="the operator has stopped the night; say: pantheon resume, or wait", span=span
        )
    failures = 1 if before is None or before.span != span else before.failures + 1
    pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LAST_PAUSE_S)
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return Rest(
        until=now + timedelta(seconds=pause_s),
        why=f"the last night {how}; it is tried again",
        failures=failures,
        span=span,
    )


def after_change(rest: Rest | None, work: Work) -> Rest | None:
    """Return what is left of a rest once something changed in the queue, the store or the configuration.

    A refusal may be mended, an operator may have taken his word back; a crash says nothing about the queue.
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
