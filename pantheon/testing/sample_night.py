"""A made-up night in a store and in artifacts, for whatever reads nights: reports, figures, exports.

Every text that a model, a tool or the repository could have written comes from one function, so that a test can
make all of them hostile at once.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
    storable_text,
)
from pantheon.core.task import Task, check_relative_path
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.sample_attempt import COMMIT, agent_files, metrics, review
from pantheon.testing.sample_diff import Say, diff

NODES = (
    "plan.validate",
    "doc.frontmatter",
    "doc.rename",
    "checks",
    "review.peerA",
    "review.peerB",
    "gate",
    "merge",
)
BATCH = "0123456789ab"
Put = Callable[[str, str, bytes], None]
FATES = ("accepted", "accepted", "disputed", "accepted", "rejected", "invalid", "accepted", "broken")


def plain(text: str) -> str:
    """Return the text that an honest model would have written."""
    return text


@dataclass
class SampleNight:
    """Plays a night into a store.

    Args:
        store: an empty store.
        clock: the store's clock; the night moves it.
        put: leaves an artifact: folder, name, content.
        say: what becomes of each text from models, tools and the repository.
    """

    store: Store
    clock: FakeClock
    put: Put
    say: Say = plain
    night: str = "20260101-220000"
    _tasks: list[Task] = field(default_factory=list)

    async def play(self, tasks: int = 8, *, close: bool = True, start: bool = True) -> str:
        """Play the night and return its id.

        Args:
            tasks: number of tasks; their fates follow ``FATES``.
            close: whether the night comes to its end.
            start: whether any attempt is made.
        """
        self._tasks = [self._task(number) for number in range(tasks)]
        records = [
            TaskRecord(
                key=f"{BATCH}/{task.id}",
                batch=BATCH,
                line=task.canonical_line().decode(),
                package=task.package,
            )
            for task in self._tasks
        ]
        batch = BatchRecord(
            name=BATCH,
            digest="0" * 64,
            lines=tasks,
            enqueued_at=self.clock.now(),
            path=f"queue/{BATCH}.jsonl",
        )
        await self.store.add_batch(batch, records)
        night = NightRecord(
            id=self.night,
            base_commit="ba5e" + "0" * 36,
            branch=f"pantheon/night-{self.night}",
            started_at=self.clock.now(),
        )
        await self.store.open_night(night, [record.key for record in records])
        for number, task in enumerate(self._tasks):
            await self._plan(task)
            if start:
                await self._work(number, task)
        if close:
            await self.store.close_night(self.night, {})
        return self.night

    def _task(self, number: int) -> Task:
        return Task.model_validate(
            {
                "id": f"note-{number:04}",
                "kind": "docops",
                "package": storable_text(self.say(("docs", "journal")[number % 2]))[:200],
                "goal": storable_text(self.say("Give the note a title, a description and tags"))[:2_000],
                "targets": [self._path(f"docs/2025.07.{number % 28 + 1:02}.note-{number}.md")],
            }
        )

    def cause(self, text: str) -> str:
        """Return a cause that quotes what somebody wrote."""
        return storable_text(self.say(text))

    def _path(self, path: str) -> str:
        """Return a path as ``say`` would have it, as far as a task may have such a target."""
        said = self.say(path)
        try:
            return check_relative_path(said if said == path else f"docs/{storable_text(said)[:200]}/{path}")
        except ValueError:
            return path

    def _key(self, task: Task, node: str) -> str:
        return f"{BATCH}/{task.id}#{node}"

    async def _plan(self, task: Task) -> None:
        nodes = [
            NodeRecord(
                night=self.night, key=self._key(task, node), task=f"{BATCH}/{task.id}", node=node, needs=()
            )
            for node in NODES
        ]
        await self.store.add_nodes(nodes)

    async def _work(self, number: int, task: Task) -> None:
        fate = FATES[number % len(FATES)]
        key = f"{BATCH}/{task.id}"
        if fate == "invalid":
            await self._attempt(task, "plan.validate", "failed", cause=self.cause("it has no text"))
            return await self._stop(
                task, TaskOutcome.FAILED, self.cause("plan.validate: the note has no text")
            )
        await self._attempt(task, "plan.validate", "succeeded", wall_s=0.3)
        if fate == "broken":
            await self._attempt(
                task, "doc.frontmatter", "crashed", cause=self.cause("the server was lost"), agent=True
            )
            return await self._stop(
                task, TaskOutcome.FAILED, self.cause("doc.frontmatter: the server was lost")
            )
        title = self.say(f"How the rate limiter counts, part {number}")
        files = {"diff.patch": diff(task.targets[0], title, self.say).encode("utf-8", "surrogatepass")}
        await self._attempt(
            task, "doc.frontmatter", "succeeded", agent=True, wall_s=9.0, files=files, output={"title": title}
        )
        await self._attempt(task, "doc.rename", "succeeded", wall_s=0.4, files=files)
        await self._attempt(task, "checks", "succeeded", wall_s=0.6, files=files)
        verdicts = {"disputed": ("pass", "fail"), "rejected": ("fail", "fail")}.get(fate, ("pass", "pass"))
        for reviewer, verdict in zip(("review.peerA", "review.peerB"), verdicts, strict=True):
            data = json.dumps(review(self.say, reviewer, verdict, title)).encode()
            await self._attempt(
                task, reviewer, "succeeded", agent=True, wall_s=4.0, files={"review.json": data}
            )
        if "fail" in verdicts:
            said = self.say(f"peerB: title: '{title}' was not preferred to 'Notes' (margin -0.{number}1)")
            reason = storable_text(said)
            await self._attempt(
                task, "gate", "failed", cause=reason, output={"decision": "deny", "reasons": [reason]}
            )
            return await self._stop(task, TaskOutcome.DENIED, f"gate: {reason}")
        await self._attempt(task, "gate", "succeeded", output={"decision": "allow", "reasons": []})
        landed = {"branch": "night", "commit": COMMIT, "previous": None}
        await self._attempt(task, "merge", "succeeded", output=landed, files=files)
        return await self.store.finish_task(self.night, key, TaskOutcome.ACCEPTED, "")

    async def _stop(self, task: Task, outcome: TaskOutcome, cause: str) -> None:
        keys = [node.key for node in await self.store.nodes(self.night)] if len(self._tasks) < 50 else []
        own = [key for key in keys if key.startswith(f"{BATCH}/{task.id}#")]
        await self.store.end_nodes(self.night, own, NodeState.SKIPPED, "a node before it failed")
        await self.store.finish_task(self.night, f"{BATCH}/{task.id}", outcome, cause)

    async def _attempt(
        self,
        task: Task,
        node: str,
        outcome: str,
        *,
        cause: str = "",
        agent: bool = False,
        wall_s: float = 0.1,
        output: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        key = self._key(task, node)
        await self.store.make_ready(self.night, [key])
        lease = await self.store.claim(self.night, key, owner="test", lease_s=60)
        self.clock.advance(wall_s)
        folder = f"{self.night}/{BATCH}-{task.id}/{node}/001"
        measured = metrics(self.say, node, wall_s, agent=agent)
        artifacts = {
            "input.json": b"{}",
            "metrics.json": json.dumps(measured).encode(),
            "attestation.json": b"{}",
        }
        if agent:
            artifacts |= agent_files(self.say)
        if output is not None:
            artifacts["output.json"] = json.dumps(output, indent=2).encode()
        for name, data in {**artifacts, **(files or {})}.items():
            self.put(folder, name, data)
        await self.store.settle(
            lease,
            AttemptResult(
                outcome=AttemptOutcome(outcome),
                node_state=NodeState.SUCCEEDED if outcome == "succeeded" else NodeState.FAILED,
                cause=cause,
                output_commit=COMMIT,
                artifacts=folder,
                metrics={**measured, "output": output or {}},
            ),
        )
