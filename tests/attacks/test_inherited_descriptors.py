"""What a night is handed as input, output and error: files, pipes and terminals, and nothing else."""

import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("netns", "userns", "seccomp")

DOCTOR = (sys.executable, "-m", "pantheon", "doctor", "--containment")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_repository(tmp_path_factory.mktemp("inherited") / "user", {"docs/a.md": b"text\n"})
    subprocess.run([sys.executable, "-m", "pantheon", "init"], cwd=root, check=True, env=variables(root))
    return root


def variables(root: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(root.parent), "LC_ALL": "C.UTF-8"}


def prove(repository: Path, **given: int) -> "subprocess.CompletedProcess[bytes]":
    """Have containment proven by a process that was handed these descriptors."""
    handed = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **given}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        DOCTOR, cwd=repository, env=variables(repository), timeout=60, check=False, **handed
    )


@pytest.fixture(params=["/dev/null", "a file", "a pipe", "a terminal"])
def ordinary(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    more = []
    if request.param == "/dev/null":
        one = os.open("/dev/null", os.O_RDONLY)
    elif request.param == "a file":
        one = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    else:
        one, other = os.pipe() if request.param == "a pipe" else reversed(pty.openpty())
        more = [other]
    yield one
    for descriptor in (one, *more):
        os.close(descriptor)


def test_what_everybody_has_is_fine(repository: Path, ordinary: int) -> None:
    """The control: with nothing, a file, a pipe or a terminal as input it is proven."""
    done = prove(repository, stdin=ordinary)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/urandom", "/dev/full"])
def test_a_device_is_refused(repository: Path, place: str) -> None:
    """Named by its place among the three and its numbers."""
    descriptor = os.open(place, os.O_RDWR)
    number = os.fstat(descriptor).st_rdev
    try:
        done = prove(repository, stdin=descriptor)
        assert done.returncode == 3
        assert f"0 device {os.major(number)}:{os.minor(number)}".encode() in done.stderr
    finally:
        os.close(descriptor)


def test_a_device_as_output_is_refused(repository: Path) -> None:
    """Output to a device that is no terminal counts as well."""
    descriptor = os.open("/dev/zero", os.O_RDWR)
    try:
        done = prove(repository, stdout=descriptor)
        assert (done.returncode, b"1 device 1:5" in done.stderr) == (3, True), done.stderr
    finally:
        os.close(descriptor)


def test_a_unix_socket_as_input_is_refused_and_as_output_is_a_journal(repository: Path) -> None:
    """Who holds the other end could hand a socket of the world outside in; a service manager takes what is said."""
    near, far = socket.socketpair()
    with near, far:
        done = prove(repository, stdin=near.fileno())
        assert (done.returncode, b"0 a Unix socket" in done.stderr) == (3, True), done.stderr
        assert prove(repository, stdout=near.fileno()).returncode == 0


def test_a_network_socket_is_refused(repository: Path) -> None:
    """In any of the three places."""
    with socket.socket() as network:
        done = prove(repository, stdin=network.fileno())
        assert (done.returncode, b"0 AF_INET" in done.stderr) == (3, True), done.stderr
