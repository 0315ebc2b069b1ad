"""The night works exactly the lines that were signed, and names every batch that is not."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pantheon.adapters.queue_files import FileQueue
from pantheon.core.batch import Pins
from pantheon.core.errors import PreflightError
from pantheon.engine.enqueue import EnqueueRequest, EnqueueServices, run_enqueue
from pantheon.engine.preflight import refuse_problems, verify_queue
from pantheon.testing.clock import FakeClock
from pantheon.testing.signing import FakeSigner
from pantheon.testing.store import FakeStore


async def enqueue(folder: Path, goal: str, signer: FakeSigner | None = None, label: str = "") -> str:
    clock = FakeClock()

    @asynccontextmanager
    async def services() -> AsyncIterator[EnqueueServices]:
        yield EnqueueServices(store=FakeStore(clock), signer=signer or FakeSigner())

    request = EnqueueRequest(
        name="f", lines=[json.dumps({"kind": "k", "goal": goal}).encode()], label=label, base_commit="",
        pins=Pins(), version="1", route=lambda _: "f", target_problem=lambda _: None,
    )  # fmt: skip
    result = await run_enqueue(request, queue=FileQueue(folder), open_services=services, clock=clock)
    return result.batch


def lines(folder: Path, name: str) -> Path:
    return folder / f"{name}.jsonl"


def envelope(folder: Path, name: str) -> Path:
    return folder / f"{name}.attestation.json"


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


Attack = Callable[[Path, str, str], object]
ATTACKS: dict[str, Attack] = {
    "a letter changed": lambda f, a, b: edit(lines(f, a), lambda data: data.replace(b"one", b"One")),
    "a line added": lambda f, a, b: edit(lines(f, a), lambda data: data + data),
    "a blank line added": lambda f, a, b: edit(lines(f, a), lambda data: data + b"\n"),
    "all lines gone": lambda f, a, b: edit(lines(f, a), lambda data: b""),
    "the file gone": lambda f, a, b: lines(f, a).unlink(),
    "the lines of another batch": lambda f, a, b: shutil.copy(lines(f, b), lines(f, a)),
    "the attestation of another batch": lambda f, a, b: shutil.copy(envelope(f, b), envelope(f, a)),
    "both files of another batch": lambda f, a, b: (
        shutil.copy(lines(f, b), lines(f, a)), shutil.copy(envelope(f, b), envelope(f, a))
    ),
    "no attestation in the file": lambda f, a, b: envelope(f, a).write_bytes(b""),
    "an attestation without signature": lambda f, a, b: edit(
        envelope(f, a), lambda data: json.dumps({**json.loads(data), "signatures": []}).encode()
    ),
    "an attestation in another spelling of base64": lambda f, a, b: edit(
        envelope(f, a),
        lambda data: json.dumps({**json.loads(data), "payload": json.loads(data)["payload"] + "\n"}).encode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_altered_batch_is_named_and_the_others_are_sound(tmp_path: Path, attack: str) -> None:
    """Each attack on one batch is found, names that batch, and touches no other."""
    first, second = await enqueue(tmp_path, "one"), await enqueue(tmp_path, "two")
    queue, keys = FileQueue(tmp_path), [FakeSigner().public_key]
    claims, problems = await verify_queue(queue, keys)
    assert {claim.name for claim in claims} == {first, second}
    assert problems == ()
    ATTACKS[attack](tmp_path, first, second)
    claims, problems = await verify_queue(queue, keys)
    assert [claim.name for claim in claims] == [second]
    assert [problem.batch for problem in problems] == [first]
    with pytest.raises(PreflightError, match=first) as caught:
        refuse_problems(problems)
    assert caught.value.exit_code == 3


async def test_every_altered_batch_is_named_at_once(tmp_path: Path) -> None:
    """Two attacks, two names."""
    names = [await enqueue(tmp_path, "one"), await enqueue(tmp_path, "two"), await enqueue(tmp_path, "three")]
    for name in names[:2]:
        lines(tmp_path, name).write_bytes(b"{}\n")
    _, problems = await verify_queue(FileQueue(tmp_path), [FakeSigner().public_key])
    assert {problem.batch for problem in problems} == set(names[:2])


async def test_a_batch_of_another_key_is_not_ours(tmp_path: Path) -> None:
    """Whoever can write the folder cannot thereby queue."""
    theirs = await enqueue(tmp_path, "one", FakeSigner(2))
    claims, problems = await verify_queue(FileQueue(tmp_path), [FakeSigner(1).public_key])
    assert claims == ()
    assert [problem.batch for problem in problems] == [theirs]


async def test_a_renamed_batch_is_not_a_second_time(tmp_path: Path) -> None:
    """Copying both files under another name does not queue the lines again."""
    name = await enqueue(tmp_path, "one")
    other = "0" * 12
    shutil.copy(lines(tmp_path, name), lines(tmp_path, other))
    shutil.copy(envelope(tmp_path, name), envelope(tmp_path, other))
    claims, problems = await verify_queue(FileQueue(tmp_path), [FakeSigner().public_key])
    assert [claim.name for claim in claims] == [name]
    assert [problem.batch for problem in problems] == [other]
