"""Where containment cannot be proven nothing is started, and what is said fits what is in the way."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pantheon.adapters.containment import kernel
from pantheon.adapters.containment.hindrance import mend_refusal
from pantheon.adapters.containment.observe import observe
from pantheon.adapters.containment.seal import filter_program, seal_process
from pantheon.core.containment import Containment, decide_containment
from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("netns", "userns", "seccomp")

NIGHT = (sys.executable, "-m", "pantheon", "night")
DOCTOR = (sys.executable, "-m", "pantheon", "doctor", "--containment")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_repository(tmp_path_factory.mktemp("closed") / "user", {"docs/a.md": b"text\n"})
    subprocess.run([sys.executable, "-m", "pantheon", "init"], cwd=root, check=True, env=variables(root))
    assert said(root, *DOCTOR)[0] == 0, "the control: undisturbed, it is proven"
    return root


def variables(root: Path, **more: str) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(root.parent), "LC_ALL": "C.UTF-8", **more}


def said(root: Path, *words: str, **more: str) -> tuple[int, str]:
    done = subprocess.run(
        words, cwd=root, env=variables(root, **more), capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def refused(repository: Path, *words: str, **more: str) -> str:
    """Both the night and the doctor refuse with exit code 3, and nothing was made; return what the night said."""
    code, told = said(repository, *words, *NIGHT, **more)
    assert code == 3, told
    assert said(repository, *words, *DOCTOR, **more)[0] == 3
    assert {path.name for path in (repository / ".pantheon").iterdir()} == {".gitignore"}, (
        "something was started"
    )
    assert [path.name for path in (repository / "artifacts").iterdir()] == [".gitignore"]
    return told


@pytest.mark.parametrize("name", ["max_user_namespaces", "max_net_namespaces", "max_mnt_namespaces"])
def test_where_namespaces_are_switched_off(repository: Path, name: str) -> None:
    """The setting that is in the way is named, with the command that mends it."""
    off = f'echo 0 > /proc/sys/user/{name} && exec "$@"'
    told = refused(repository, "unshare", "-Ur", "sh", "-c", off, "sh")
    assert f"sysctl -w user.{name}=" in told
    assert "PrivateNetwork=yes" in told


@pytest.mark.primitive("chroot")
def test_where_namespaces_are_forbidden(repository: Path, tmp_path: Path) -> None:
    """A container that forbids them is told of as such."""
    root = tmp_path / "root"
    root.mkdir()
    inside = (
        'mount --rbind / "$1" && root=$1 && shift && '
        'exec chroot "$root" sh -c \'cd "$0" && exec "$@"\' "$PWD" "$@"'
    )
    told = refused(repository, "unshare", "-m", "sh", "-c", inside, "sh", str(root))
    assert "Operation not permitted" in told
    assert "forbids namespaces" in told


@pytest.mark.parametrize("mark", ["1", "0", "", "x", "-1", "9" * 40])
def test_a_forged_mark_proves_nothing(repository: Path, mark: str) -> None:
    """Who only says that he has moved is refused, and not moved again and again."""
    told = refused(repository, PANTHEON_CONTAINED=mark)
    assert "a route leads to" in told or "interfaces besides lo" in told


def test_an_interface_too_many(repository: Path) -> None:
    """In a namespace that has one more, by whoever put it there, the night that has moved there is refused."""
    extra = 'ip link add pt-extra type veth peer name pt-other && exec "$@"'
    told = refused(repository, "unshare", "-Urn", "sh", "-c", extra, "sh", PANTHEON_CONTAINED="1")
    assert "interfaces besides lo: pt-other, pt-extra" in told


def test_a_route_too_many(repository: Path) -> None:
    """A way over an interface of another name is a way."""
    extra = (
        "ip link add pt0 type veth peer name pt1 && ip addr add 10.99.8.1/24 dev pt0 && ip link set pt0 up "
        '&& ip link set pt1 up && ip route add default via 10.99.8.2 && exec "$@"'
    )
    told = refused(repository, "unshare", "-Urn", "sh", "-c", extra, "sh", PANTHEON_CONTAINED="1")
    assert "routes lead out" in told
    assert "a route leads to udp 192.0.2.1:53" in told


def test_an_empty_namespace_is_not_left_again(repository: Path) -> None:
    """Inside one already, as under PrivateNetwork=yes, the night stays there and proves it."""
    shown = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", 'stat -Lc %i /proc/self/ns/net; exec "$@"', "sh", *DOCTOR, "--json"],
        cwd=repository, env=variables(repository), capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert f'"namespace": {shown[0]},' in "".join(shown[1:])
    assert '"outside_namespace": null' in "".join(shown[1:])


@pytest.mark.parametrize("hidden", ["/proc", "/proc/self/net", "/proc/self/fd"])
def test_what_cannot_be_read_proves_nothing(repository: Path, hidden: str) -> None:
    """Without the kernel's own lists there is no proof: an empty folder in their place is refused."""
    # The night is another process than the one that mounts, so its own folders are hidden from within.
    cover = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.mount(b'none', sys.argv[1].encode(), b'tmpfs', 0, None) == 0, ctypes.get_errno()\n"
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )
    told = refused(
        repository, "unshare", "-Urnm", sys.executable, "-c", cover, hidden, PANTHEON_CONTAINED="1"
    )
    assert "cannot be" in told


def test_a_machine_whose_calls_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where kinds of socket cannot be limited, the proof says so; where they can, it has nothing to say."""
    code = (
        "import sys, platform\n"
        "if sys.argv[1]: platform.machine = lambda: sys.argv[1]\n"
        "from pantheon.testing import contained\n"
        "sys.argv[1:] = ['0', 'true']\n"
        "contained.main()"
    )
    words = [sys.executable, "-c", code]
    assert subprocess.run([*words, ""], capture_output=True, check=False).returncode == 0
    done = subprocess.run([*words, "sparc64"], capture_output=True, text=True, check=False)
    assert (done.returncode, "AF_VSOCK can be made" in done.stderr) == (3, True), done


def test_the_filter_reads_the_family_as_the_kernel_does() -> None:
    """The upper half of the register is dropped by the kernel and by the filter; only four families pass."""
    code = (
        "import ctypes, json, platform, sys\n"
        "from pantheon.adapters.containment.seal import seal_process\n"
        "from pantheon.adapters.containment import kernel\n"
        "seal_process()\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "call = kernel.numbers()['socket']\n"
        "made = [f for f in range(64) if libc.syscall(ctypes.c_long(call), ctypes.c_ulong(f), 2, 0) >= 0]\n"
        "odd = [f for f in (16, 17, 40) if libc.syscall(ctypes.c_long(call), ctypes.c_ulong(f | 1 << 32), 1, 0) >= 0]\n"
        "x32 = libc.syscall(ctypes.c_long(call | 0x40000000), 17, 3, 0)\n"
        "sys.stdout.write(json.dumps([made, odd, x32]))"
    )
    outside = code.replace("seal_process()\n", "", 1).replace("seal_process()\n", "pass\n")
    assert (
        17 in eval(subprocess.run([sys.executable, "-c", outside], capture_output=True, text=True).stdout)[0]
    )
    made, odd, x32 = eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    assert set(made) <= {1, 2, 10, 16}
    assert {1, 2} <= set(made)
    assert odd == []
    assert x32 == -1


@pytest.mark.parametrize(
    ("settings", "number", "told"),
    [
        ({"kernel/unprivileged_userns_clone": "0"}, 1, "kernel.unprivileged_userns_clone=1"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, 13, "AppArmor"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, 1, "userns,"),
        ({"user/max_user_namespaces": "0"}, 28, "user.max_user_namespaces=15000"),
        ({"user/max_user_namespaces": "9"}, 28, "Too many namespaces"),
        ({}, 22, "no user namespaces"),
        ({}, 1, "seccomp profile"),
        ({}, 5, "PrivateNetwork=yes"),
    ],
)
def test_the_mend_fits_the_machine(
    tmp_path: Path, settings: Mapping[str, str], number: int, told: str
) -> None:
    """What this machine does not have, the kernel's settings of other machines stand for."""
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert told in mend_refusal(number, tmp_path)


def test_this_process_is_not_contained() -> None:
    """The control of all: where the tests run there is a way out, and the proof names it."""
    reasons = {reason.code for reason in decide_containment(observe(Containment.NETNS)).reasons}
    assert {"interfaces", "families", "privileges", "dumpable"} <= reasons
    assert len(filter_program(kernel.MACHINES["x86_64"]["arch"], 41, 53)) % 8 == 0
    assert callable(seal_process)
