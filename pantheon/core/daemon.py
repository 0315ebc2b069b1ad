"""What the daemon does next: a decision from what it knows, without a clock of its own.

Invariants:
- nothing is started outside the window, after its last start, while a night runs, or once the daemon was told to stop;
- a night that has to end is asked first, then cancelled, then killed, each after its time;
- a night that failed is not started again before its rest is over (``core.daemon_judgement``);
- work that an operator has told to wait (``pantheon drain``) waits for his word or for the next window.

Source: DESIGN.md, sections 4 and 7; docs/daemon.md.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

from pantheon.core.left_over import Left, due_before, split_due
from pantheon.core.window import Span


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
    left: tuple[Left, ...] = ()
    """What closed nights have not reached, beside ``tasks``."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.unread or self.open_night or self.to_land or self.left)

    def due(self, before: datetime) -> "Work":
        """Return the work with what nights have left that began ``before``, and with the rest of it as not due."""
        tasks, left = split_due(self.left, before)
        return replace(self, tasks=self.tasks + tasks, left=left)

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
        return self.describe()

    def describe(self, *, windows: bool = True) -> str:
        """Return what waits, in words.

        Args:
            windows: whether what is not due waits for a window; without one it waits for a day to be over.
        """
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
        if left := sum(one.tasks for one in self.left):
            until = "for the next window" if windows else "until a day after that night began"
            parts.append(f"{left} that a night has not reached wait{'s' * (left == 1)} {until}")
        return ", ".join(parts) or "nothing waits"


@dataclass(frozen=True)
class Running:
    """The night that runs now."""

    ends_at: datetime | None
    """When it has to be over; None for no end."""
    told: Urgency = Urgency.NONE
    told_s: float = 0.0
    """Seconds since it was told so."""
    drains_at: datetime | None = None
    """When it has to stop starting anything, where that is sooner than it was told when it began; None for never."""


@dataclass(frozen=True)
class Rest:
    """Why nothing is started although there is work."""

    until: datetime | None
    """None: until something changes, or the next window opens."""
    why: str
    failures: int = 0
    """Crashes in a row, or times in a row that the model server did not answer."""
    for_server: bool = False
    """Whether the model server is all that is missing."""
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
    left_before: datetime | None = None
    """It takes up what nights have left that began before this."""


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
    before = due_before(at.span, at.now)
    work = at.work.due(before)
    told = work.describe(windows=at.span is not None)
    if not work.can_be_done(may_land=at.may_land, land_only=at.land_only):
        later = f" now: {told}" if work and not at.land_only else ""
        return Wait(f"nothing to do{later}", until=ends_at)
    if at.rest is not None and at.rest.span == at.span and (at.rest.until is None or at.rest.until > at.now):
        return Wait(f"{told}, but {at.rest.why}", until=at.rest.until or ends_at)
    return Start(
        last_start=last_start,
        ends_at=ends_at,
        why=told,
        land_only=at.land_only,
        left_before=before,
    )


def _decide_running(at: Situation, running: Running) -> Action:
    over = running.ends_at is not None and at.now >= running.ends_at
    drained = running.drains_at is not None and at.now >= running.drains_at
    if not (at.stopping or over or drained or running.told):
        return Wait("a night runs", until=running.ends_at)
    why = "the window has ended" if over else "the window ends sooner than it did"
    why = "the daemon stops" if at.stopping else why
    if running.told is Urgency.NONE:
        return Press(Urgency.ASKED, why)
    if running.told is Urgency.ASKED and not (at.stopping or over):
        # What runs has the rest of the window to be finished in.
        return Wait(f"{why}; the night is finishing what runs", until=running.ends_at)
    if running.told is Urgency.ASKED and (at.impatient or running.told_s >= at.patience.drain_s):
        return Press(Urgency.CANCELLED, why)
    if running.told is Urgency.CANCELLED and running.told_s >= at.patience.cancel_s:
        return Press(Urgency.KILLED, why)
    return Wait(f"{why}; the night is finishing what runs")
