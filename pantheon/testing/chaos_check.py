"""What must hold of a night, however often it was killed on the way: read from outside, with nothing of its own state.

Invariants, each counted by ``Findings``:
- every task has exactly one outcome, and no attempt is left running;
- each reviewer was measured with its canaries, and no canary is there twice;
- each accepted task is on the night's branch exactly once, and nothing else is;
- the artifacts of every settled attempt are those that its signed attestation names, byte for byte;
- the night's ledger verifies, with its artifacts, its checkpoint, the witness and the branch;
- fencing tokens rise with each claim, and only an attempt that the store saw running when the process died was
  repeated;
- the user's files, index, configuration and other branches are as they were.
"""

import hashlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.landed import read_landed
from pantheon.adapters.keys import read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.adapters.store import open_store
from pantheon.adapters.witness_file import read_witness
from pantheon.core.canaries import judge_standing
from pantheon.core.canary_record import read_canary
from pantheon.core.delegation import NIGHT_ROLE
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import PantheonError
from pantheon.core.ledger_index import LedgerIndex
from pantheon.core.operation import TASK_TRAILER
from pantheon.core.records import AttemptRecord, EventRecord, NightState, TaskOutcome
from pantheon.core.statement import parse_statement
from pantheon.testing.chaos_night import BRANCH, CANARIES, NIGHT, ChaosNight
from pantheon.testing.user_repository import git

ATTESTATION = "attestation.json"
REVIEWERS = ("review.peerA", "review.peerB")
MOST_EVENTS = 1_000_000
_OURS = ("objects/", "refs/heads/pantheon", "logs/refs/heads/pantheon")
"""Of the user's git directory: what a night may write."""


class Row(NamedTuple):
    """An attempt, flat."""

    node: str
    attempt: int
    token: int
    outcome: str | None
    """None while it runs."""
    state: str
    """What became of the node."""
    folder: str

    @classmethod
    def of(cls, record: AttemptRecord) -> "Row":
        result = record.result
        if result is None:
            return cls(record.node, record.attempt, record.token, None, "running", "")
        return cls(
            record.node, record.attempt, record.token, result.outcome, result.node_state, result.artifacts
        )


@dataclass(frozen=True)
class Findings:
    """What was found wrong, in words, by kind; and what is allowed, counted."""

    lost: tuple[str, ...]
    """Tasks without exactly one outcome, attempts left running."""
    unmeasured: tuple[str, ...]
    """Reviewers without their canaries, and canaries that are in the ledger twice."""
    repeated: tuple[str, ...]
    """Merges that are not on the branch exactly once."""
    torn: tuple[str, ...]
    """Artifacts that their attestation does not name, or names otherwise."""
    unfenced: tuple[str, ...]
    """Claims whose token does not rise, attempts repeated without having been running."""
    touched: tuple[str, ...]
    """What is the user's and has changed."""
    unverifiable: tuple[str, ...]
    """What pantheon verify says against the night."""
    reruns: frozenset[tuple[str, int]]
    """Attempts that were running when the process died, and were repeated, as (node, attempt)."""
    outcomes: Mapping[str, int]
    tree: str
    """Digest of the content of the branch."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that must not be."""
        return (
            *self.lost, *self.unmeasured, *self.repeated, *self.torn, *self.unfenced, *self.touched, *self.unverifiable,
        )  # fmt: skip


def fingerprint(root: Path) -> Mapping[str, str]:
    """Return path -> digest of every file of a repository that a night must not change."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        inside = name.removeprefix(".git/") if name.startswith(".git/") else ""
        if path.is_dir() or inside.startswith(_OURS):
            continue
        found[name] = f"{path.lstat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return found


def running_attempts(night: ChaosNight) -> set[tuple[str, int]]:
    """Return (node, attempt) of what the store says is running; for a night that is not."""
    if not night.database.exists():
        return set()
    # A copy, because whoever opens the original to read it would do the resumed night's recovery for it.
    with TemporaryDirectory(dir=night.folder) as folder:
        for end in ("", "-wal"):
            file = night.database.with_name(night.database.name + end)
            if file.exists():
                shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / night.database.name)) as store:
            if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone():
                return set()
            return set(
                store.execute(
                    "SELECT key, attempt FROM attempts JOIN nodes ON nodes.id = node_id WHERE ended_at IS NULL"
                )
            )


async def check_night(night: ChaosNight, before: Mapping[str, str]) -> Findings:
    """Return what is wrong with a night that has come to its end.

    Args:
        night: the night; no process works on it.
        before: the fingerprint of the user's repository before it.
    """
    store = await open_store(night.database, SystemClock(), write=False)
    try:
        tasks = {task.key: task.outcome for task in await store.tasks(night=NIGHT)}
        attempts = [Row.of(attempt) for attempt in await store.attempts(NIGHT)]
        events = await store.events(NIGHT, limit=MOST_EVENTS)
        closed = [one.state for one in await store.nights()] == [NightState.CLOSED]
    finally:
        await store.aclose()
    attempts.sort(key=lambda one: one.token)
    after = fingerprint(night.root)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    accepted = [key for key, outcome in tasks.items() if outcome == "accepted"]
    return Findings(
        lost=tuple(_lost(night, tasks, attempts, events, closed=closed)),
        unmeasured=tuple(_canaries(night)),
        repeated=tuple(_repeated(night, accepted)),
        torn=tuple(_torn(night, attempts)),
        unfenced=tuple(_unfenced(attempts, events)),
        touched=tuple(f"{name} of the user's repository has changed" for name in sorted(changed)),
        unverifiable=tuple(_unverifiable(night)),
        reruns=frozenset((one.node, one.attempt) for one in attempts if one.outcome == "interrupted"),
        outcomes=Counter(str(outcome) for outcome in tasks.values()),
        tree=_tree(night),
    )


def _lost(
    night: ChaosNight,
    tasks: Mapping[str, TaskOutcome | None],
    attempts: Sequence[Row],
    events: Sequence[EventRecord],
    *,
    closed: bool,
) -> Iterator[str]:
    if not closed:
        yield "the night is not closed"
    if len(tasks) != night.notes:
        yield f"{len(tasks)} tasks are known of {night.notes}"
    said = Counter(event.subject for event in events if event.name.startswith("task."))
    for key, outcome in tasks.items():
        if outcome is None or said[key] != 1:
            yield f"task {key} has the outcome {outcome}, told {said[key]} times"
    for one in attempts:
        if one.outcome is None:
            yield f"attempt {one.attempt} of {one.node} is left running"


def _repeated(night: ChaosNight, accepted: list[str]) -> Iterator[str]:
    known = git(night.root, "branch", "--list", BRANCH)
    shown = f"--format=%(trailers:key={TASK_TRAILER},valueonly,separator=%x2C)"
    landed = Counter(git(night.root, "log", shown, f"main..{BRANCH}").splitlines() if known else ())
    for key in {*accepted, *landed}:
        if landed[key] != (key in accepted):
            yield f"task {key} has landed {landed[key]} times"
    if said := git(night.root, "fsck", "--no-dangling", "--no-progress"):
        yield f"git fsck: {said}"


def _torn(night: ChaosNight, attempts: Sequence[Row]) -> Iterator[str]:
    keys = _night_keys(night)
    for node, attempt, token, outcome, _, folder in attempts:
        # Cancelled in the moment of its claim, an attempt did nothing and leaves nothing to attest.
        if outcome in (None, "interrupted") or (outcome, folder) == ("cancelled", ""):
            continue
        try:
            place = night.own / "artifacts" / folder
            files = {path.name: path.read_bytes() for path in place.iterdir()}
            envelope = parse_envelope(files.pop(ATTESTATION))
            statement = parse_statement(open_envelope(envelope, keys))
        except (PantheonError, OSError, KeyError) as error:
            yield f"attempt {attempt} of {node}: {type(error).__name__} {error}"
            continue
        named = {subject.name: subject.digest["sha256"] for subject in statement.subject}
        if named != {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}:
            yield f"attempt {attempt} of {node} has other artifacts than were attested"
        told = statement.predicate
        if (told["attempt"], told["fencingToken"], told["outcome"]) != (attempt, token, outcome):
            yield f"attempt {attempt} of {node} is attested as another"


def _unverifiable(night: ChaosNight) -> Iterator[str]:
    verdict = verify_night(
        night.own / "artifacts" / NIGHT,
        read_public_key(night.own / "keys" / "night.pub.pem"),
        witness=read_witness(night.own / "witness" / "checkpoints.jsonl"),
        landed=partial(read_landed, night.root),
    )
    if not verdict.closed:
        yield "the ledger does not close the night"
    for one in verdict.defects:
        yield f"{one.flaw}: {one.where}: {one.what}"


def _canaries(night: ChaosNight) -> Iterator[str]:
    index = _ledger(night)
    found = [read_canary(line, index.delegations) for line in index.canaries]
    for name, count in Counter((one.reviewer, one.task, one.number) for one in found).items():
        if count != 1:
            yield f"canary {name} is there {count} times"
    for reviewer in REVIEWERS:
        standing = judge_standing(CANARIES, reviewer, found)
        if standing.short or standing.accepted:
            yield f"{reviewer} was measured with {standing.measured} canaries and passed {standing.accepted}"


def _night_keys(night: ChaosNight) -> list[bytes]:
    """Return the keys that the user has delegated, one for each process that ran the night."""
    found = [one.key(NIGHT_ROLE) for one in _ledger(night).delegations]
    return [key for key in found if key is not None]


def _ledger(night: ChaosNight) -> LedgerIndex:
    index = LedgerIndex(NIGHT, read_public_key(night.own / "keys" / "night.pub.pem"))
    for line in (night.own / "artifacts" / NIGHT / "ledger.jsonl").read_bytes().splitlines():
        index.take(line)
    return index


def _unfenced(attempts: Sequence[Row], events: Sequence[EventRecord]) -> Iterator[str]:
    tokens = [event.details["token"] for event in events if event.name == "node.running"]
    if any(one >= other for one, other in pairwise(tokens)):
        yield f"fencing tokens do not rise: {tokens}"
    if tokens != [one.token for one in attempts]:
        yield f"{len(tokens)} claims are told of {len(attempts)} attempts"
    ends: dict[str, str] = {}
    for one in attempts:
        if ends.get(one.node, "ready") != "ready":
            yield f"attempt {one.attempt} of {one.node} follows one that ended the node as {ends[one.node]}"
        if one.outcome not in ("succeeded", "interrupted", "cancelled"):
            yield f"attempt {one.attempt} of {one.node} is {one.outcome}"
        ends[one.node] = one.state


def _tree(night: ChaosNight) -> str:
    if not git(night.root, "branch", "--list", BRANCH):
        return ""
    return git(night.root, "rev-parse", f"{BRANCH}^{{tree}}").strip()
