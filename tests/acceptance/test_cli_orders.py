"""The operator's orders over a real store: recorded once, with their reason, and never on a guess."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pantheon.core.records import (
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.ports.store import Store
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project
from pantheon.shell.wiring import open_project_store

BATCH = "a1b2c3d4e5f6"
ONE, TWO = f"{BATCH}/fm-1", f"{BATCH}/fm-2"


def in_store(project: Project, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Do something with the project's store."""

    async def main() -> Any:
        async with open_project_store(project, write=True) as store:
            return await work(store)

    return asyncio.run(main())


async def queue(store: Store) -> None:
    tasks = [
        TaskRecord(key=key, batch=BATCH, line=json.dumps({"id": key[-4:], "kind": "docops", "goal": "g"}))
        for key in (ONE, TWO)
    ]
    now = datetime(2026, 1, 2, tzinfo=UTC)
    await store.add_batch(
        BatchRecord(name=BATCH, digest="a" * 64, lines=2, enqueued_at=now, path="queue/x.jsonl"), tasks
    )


async def open_night(store: Store) -> None:
    await queue(store)
    night = NightRecord(
        id="n1", base_commit="c" * 40, branch="b", started_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    await store.open_night(night, [ONE, TWO])
    await store.add_nodes([NodeRecord(night="n1", key=f"{one}#a", task=one, node="a") for one in (ONE, TWO)])


def order(project: Project, *words: str) -> int:
    return run(["-C", str(project.root), *words])


def test_a_pause_is_recorded_once_with_its_reason(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said twice it stands once; both times the command succeeds and says what it came to."""
    in_store(project, open_night)
    assert order(project, "pause", "--reason", "lunch") == 0
    assert "pause night n1" in capsys.readouterr().out
    assert order(project, "pause", "--reason", "lunch") == 0
    assert "stands so already" in capsys.readouterr().out
    [kept] = in_store(project, lambda store: store.orders("n1"))
    assert (kept.verb, kept.reason) == ("pause", "lunch")
    assert kept.by


def test_without_an_open_night_there_is_nothing_to_pause(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order to nothing is a usage error, before and after the first batch."""
    assert order(project, "pause", "--reason", "x") == 2
    assert "nothing was enqueued" in capsys.readouterr().err
    in_store(project, queue)
    assert order(project, "drain", "--reason", "x") == 2
    assert "no night is open" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["pause", "drain", "cancel", "hold", "requeue"])
def test_a_reason_is_asked_for(project: Project, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What takes something away from the night says why."""
    in_store(project, queue)
    assert order(project, verb) == 2
    assert "--reason" in capsys.readouterr().err


def test_a_reason_has_words_in_it(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Blanks are no reason; nothing is recorded."""
    in_store(project, open_night)
    assert order(project, "pause", "--reason", "  ") == 2
    assert "say why" in capsys.readouterr().err
    assert in_store(project, lambda store: store.orders("n1")) == ()


def test_held_tasks_wait_until_they_are_released(project: Project) -> None:
    """By day a hold keeps a task out of the next night; the beginning of its name is enough."""
    in_store(project, queue)
    assert order(project, "hold", "fm-1", "--reason", "look") == 0
    pending = in_store(project, lambda store: store.tasks(pending=True))
    assert [task.key for task in pending] == [TWO]
    assert order(project, "release", ONE) == 0
    assert len(in_store(project, lambda store: store.tasks(pending=True))) == 2


def test_names_that_fit_several_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is guessed and nothing is done, not even to the one that was clear."""
    in_store(project, queue)
    assert order(project, "cancel", "fm-1", "fm", "--reason", "x") == 2
    assert "fits several tasks" in capsys.readouterr().err
    assert len(in_store(project, lambda store: store.tasks(pending=True))) == 2


def test_a_batch_is_cancelled_by_day(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """What no night has taken is cancelled at once; a dry run only says so."""
    in_store(project, queue)
    assert order(project, "cancel", "--batch", "a1b2", "--reason", "no", "--dry-run") == 0
    assert f"would cancel batch {BATCH}" in capsys.readouterr().out
    assert len(in_store(project, lambda store: store.tasks(pending=True))) == 2
    assert order(project, "cancel", "--batch", "a1b2", "--reason", "no", "--json") == 0
    given = json.loads(capsys.readouterr().out)
    assert given == {
        "dry_run": False,
        "orders": [{"verb": "cancel", "subject": f"batch {BATCH}", "changed": True, "detail": ""}],
    }
    assert in_store(project, lambda store: store.tasks(pending=True)) == ()


@pytest.mark.parametrize(
    "words", [("cancel",), ("hold", "fm-1", "--batch", "a1"), ("cancel", "fm-1", "--night")]
)
def test_an_order_names_one_sort_of_subject(project: Project, words: tuple[str, ...]) -> None:
    """Nothing, or two sorts at once, is a usage error."""
    in_store(project, queue)
    assert order(project, *words, "--reason", "x") == 2


def test_a_failed_task_is_requeued(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """In an open night from the node that failed; a task that is under way is refused with the store's reason."""

    async def fail(store: Store) -> None:
        await open_night(store)
        await store.end_nodes("n1", [f"{ONE}#a"], NodeState.CANCELLED, "stop")
        await store.finish_task("n1", ONE, TaskOutcome.CANCELLED, "stop")

    in_store(project, fail)
    assert order(project, "requeue", "fm-1", "--reason", "mended") == 0
    assert f"requeue {ONE}: a" in capsys.readouterr().out
    assert order(project, "requeue", "fm-2", "--reason", "mended") == 2
    assert TWO in capsys.readouterr().err


def test_all_that_was_not_accepted_is_requeued_at_once(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--failed`` takes every such task of the last night and no other; said again it finds nothing."""

    async def fail(store: Store) -> None:
        await open_night(store)
        await store.end_nodes("n1", [f"{ONE}#a", f"{TWO}#a"], NodeState.CANCELLED, "stop")
        await store.finish_task("n1", ONE, TaskOutcome.CANCELLED, "stop")
        await store.finish_task("n1", TWO, TaskOutcome.CANCELLED, "stop")
        await store.close_night("n1", {})

    in_store(project, fail)
    assert order(project, "requeue", "--failed", "fm-1", "--reason", "x") == 2
    assert order(project, "requeue", "--failed", "--reason", "mended", "--dry-run") == 0
    assert capsys.readouterr().out.count("would requeue") == 2
    assert order(project, "requeue", "--failed", "--reason", "mended") == 0
    assert capsys.readouterr().out.count("waits for the next night") == 2
    assert len(in_store(project, lambda store: store.tasks(pending=True))) == 2
    assert order(project, "requeue", "--failed", "--reason", "mended", "--json") == 0
    assert json.loads(capsys.readouterr().out)["orders"] == []
