"""Code in the sandbox takes no more than its limits: processes, memory, files, disk, time, output."""

import asyncio
import os
import resource
import time

import pytest

from pantheon.core.sandbox import MIB, KillReason

pytestmark = pytest.mark.primitive("bwrap")

FORK_BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
PYTHON = "/usr/bin/python3"
HANGS_S = 20


@pytest.mark.parametrize("what", ["processes", "threads"])
async def test_processes_and_threads_have_a_number(confined, what: str) -> None:
    """As many as the limit says, root's own runs included; outside a hundred are no trouble."""
    assert confined.outside("greed", what, "100") == {"got": 100, "why": "had enough"}
    found = await confined.inside("greed", what, "100", processes=32)
    assert 16 <= found["got"] < 32 and found["why"] in ("EAGAIN", "RuntimeError")


async def test_a_fork_bomb_is_over_in_time_and_harms_nobody(confined) -> None:
    """It is held to its number, killed at its deadline, and a program beside it answers meanwhile."""
    name = f"bomb-{time.monotonic_ns()}.py"
    (confined.tree / name).write_text(FORK_BOMB)
    async with asyncio.TaskGroup() as group:
        bomb = group.create_task(
            confined.run(PYTHON, "-I", f"/work/{name}", processes=64, wall_s=2), name="bomb"
        )
        await asyncio.sleep(0.5)
        beside = await asyncio.create_subprocess_exec("/usr/bin/true")
        async with asyncio.timeout(HANGS_S):
            assert await beside.wait() == 0
        most = 0
        while not bomb.done():
            most = max(most, processes_with(name))
            await asyncio.sleep(0.02)
    assert 0 < most <= 64 + 4
    assert bomb.result().killed is KillReason.DEADLINE
    assert bomb.result().duration_s < HANGS_S
    assert processes_with(name) == 0


async def test_memory_has_a_size(confined) -> None:
    """Two GiB are refused where one quarter is allowed, and given outside."""
    assert confined.outside("greed", "memory", str(2048 * MIB))["why"] == "had enough"
    found = await confined.inside("greed", "memory", str(2048 * MIB), memory_bytes=512 * MIB)
    assert found["got"] < 512 * MIB and found["why"] in ("ENOMEM", "MemoryError")


async def test_descriptors_have_a_number(confined) -> None:
    """Outside as many as asked for."""
    assert confined.outside("greed", "descriptors", "300")["why"] == "had enough"
    found = await confined.inside("greed", "descriptors", "300", open_files=64)
    assert found["got"] < 64 and found["why"] == "EMFILE"


async def test_a_file_has_a_size(confined) -> None:
    """Also one in the tree."""
    assert confined.outside("greed", "big", str(24 * MIB))["why"] == "had enough"
    assert await confined.inside("greed", "/work/big", str(24 * MIB), file_bytes=8 * MIB) == {
        "got": 8 * MIB,
        "why": "EFBIG",
    }


@pytest.mark.parametrize("place", ["/tmp/big", "/dev/shm/big"])
async def test_the_private_folders_have_a_size(confined, place: str) -> None:
    """They are memory, so they end where their size ends."""
    found = await confined.inside("greed", place, str(24 * MIB), tmp_bytes=8 * MIB)
    assert found["got"] <= 8 * MIB and found["why"] == "ENOSPC"


@pytest.mark.parametrize("place", ["/big", "/dev/big", "/etc/big", "/work/.git/big", "/proc/big"])
async def test_nothing_else_can_be_filled(confined, place: str) -> None:
    """The sandbox's own root is memory too, and can be written by nobody."""
    found = await confined.inside("greed", place, str(MIB))
    assert found["got"] == 0 and found["why"] in ("EROFS", "EACCES", "ENOENT", "EPERM")


async def test_a_program_that_fills_the_disk_is_ended(confined) -> None:
    """Many files, each below its limit, or one without a name: what counts is what vanishes from the disk.

    It takes five times its limit, for others give back what they had of the same disk meanwhile.
    """
    (confined.tree / "fill.py").write_text(
        "import os, time\n"
        "for number in range(64):\n"
        "    file = open('f', 'wb', 0)\n"
        "    os.unlink('f')\n"
        "    globals()[f'kept{number}'] = file\n"
        "    file.write(b'x' * (4 << 20))\n"
        "time.sleep(20)\n"
    )
    result = await confined.run(PYTHON, "-I", "/work/fill.py", disk_bytes=48 * MIB, wall_s=15)
    assert result.killed is KillReason.DISK
    free = await confined.run(PYTHON, "-I", "/work/fill.py", disk_bytes=1024 * MIB, wall_s=1)
    assert free.killed is KillReason.DEADLINE


async def test_an_endless_loop_is_over_in_time(confined) -> None:
    """By the deadline, and by the limit on the processor if that is lower."""
    async with asyncio.timeout(HANGS_S):
        result = await confined.run("/bin/sh", "-c", "while :; do :; done", wall_s=1)
    assert result.timed_out and result.killed is KillReason.DEADLINE
    # How long a second of the processor takes depends on who else wants one.
    result = await confined.run("/bin/sh", "-c", "while :; do :; done", cpu_s=1, wall_s=60)
    assert result.killed is None and result.signal in (9, 24)


@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True: os.write(1, b'y' * 65536)",
        "import os\nwhile True: os.write(2, b'\\n' * 65536)",
        "import os\nwhile True: os.write(1, bytes(65536))",
        "import os\nwhile True: os.write(1, b'\\xff\\xfe\\x80' * 20000)",
    ],
    ids=["no newline", "standard error", "NULs", "no UTF-8"],
)
async def test_a_flood_of_output_is_cut(confined, program: str) -> None:
    """One GiB and more is cut at the cap and said to be cut; this process does not grow by it."""
    (confined.tree / "flood.py").write_text(program)
    assert await heard_outside(program, 4 * MIB) == 4 * MIB, (
        "the control: who does not stop reading hears it all"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await confined.run(PYTHON, "-I", "/work/flood.py", output_bytes=MIB, wall_s=HANGS_S)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert result.killed is KillReason.OUTPUT
    assert max(len(result.stdout), len(result.stderr)) == MIB
    assert (result.stdout_truncated, result.stderr_truncated).count(True) == 1
    assert grown < 64 * MIB
    assert not result.succeeded


async def heard_outside(program: str, wanted: int) -> int:
    """Read so many bytes of a program that runs without a sandbox; returns how many there were."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-I", "-c", program, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            return len(await process.stdout.readexactly(wanted))
    finally:
        process.kill()
        await process.wait()


async def test_output_of_exactly_the_cap_is_whole(confined) -> None:
    """Nothing is said to be missing when nothing is; bytes come as they were written."""
    result = await confined.run("/usr/bin/head", "-c", "65536", "/dev/zero", output_bytes=65_536)
    assert result.succeeded and result.stdout == bytes(65_536)
    result = await confined.run("/usr/bin/printf", r"\377\000\033[2J", output_bytes=10)
    assert result.succeeded and result.stdout == b"\xff\x00\x1b[2J"


def processes_with(word: str) -> int:
    """Return how many processes of this machine have a word in their command line."""
    count = 0
    for number in os.listdir("/proc"):
        if number.isdigit() and int(number) != os.getpid():
            try:
                with open(f"/proc/{number}/cmdline", "rb") as file:
                    count += word.encode() in file.read()
            except OSError:
                continue
    return count
