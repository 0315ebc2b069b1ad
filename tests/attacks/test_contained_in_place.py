"""A night that finds itself in an empty network namespace, beside a service that would act for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("mount_namespace", "name_services", "netns")

BESIDE = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir /run/nscd
ip link set lo up
exec "$0" -c '
import socket, subprocess, sys
with socket.socket(socket.AF_UNIX) as service:
    service.bind("/run/nscd/socket")
    service.listen()
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
' "$@"
"""
"""Runs a command where the network is empty already and a name service can be asked, as in some containers."""


def test_the_service_is_hidden_and_the_namespace_is_kept(tmp_path: Path) -> None:
    """It moves out of sight of the service, keeps its namespace, and proves that it cannot leave the machine."""
    root = make_repository(tmp_path / "r", {"a.md": b"x\n"})
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"}
    pantheon = [sys.executable, "-m", "pantheon", "-C", str(root)]
    subprocess.run([*pantheon, "init"], env=env, check=True, capture_output=True)
    asked = [sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/nscd/socket')"]
    for command, code in ((asked, 0), ([*pantheon, "doctor", "--containment"], 0)):
        done = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", BESIDE, sys.executable, *command],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
