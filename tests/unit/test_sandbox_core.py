"""What the sandbox is told and what its answers mean, decided without running anything."""

import pytest
from pydantic import ValidationError

from pantheon.core.bubblewrap import (
    FIRST_RESERVED_ID,
    Confinement,
    FileDescriptors,
    GitEntry,
    Identity,
    ReadOnlyBind,
    build_command,
    build_options,
    decide_identity,
    etc_files,
    parse_reads,
)
from pantheon.core.sandbox import KillReason, SandboxLimits, SandboxResult, make_result
from pantheon.core.sandbox_proof import find_holes
from pantheon.core.seccomp import ABSENT, CONDITIONS, DENIED, Compare

WHOLE_MAP = "         0          0 4294967295\n"
ORDINARY = Identity(uid=1000, gid=1000, drop=False)
ROOTS = Identity(uid=FIRST_RESERVED_ID, gid=FIRST_RESERVED_ID, drop=True)
DESCRIPTORS = FileDescriptors(status=5, block=6, filters=(7, 8), files={"/etc/hosts": 9})


def options_of(identity: Identity = ORDINARY, **more: object) -> list[str]:
    fields = {"tree": "/state/tree", "git": GitEntry.FOLDER, "limits": SandboxLimits(), "env": {}, **more}
    return list(build_options(Confinement(identity=identity, **fields), DESCRIPTORS))


def pairs_after(options: list[str], flag: str, count: int = 2) -> list[tuple[str, ...]]:
    return [tuple(options[at + 1 : at + 1 + count]) for at, word in enumerate(options) if word == flag]


def test_only_the_tree_is_bound_writable() -> None:
    """One --bind: the tree, at /work; no device, no --dev-bind, no shared network."""
    options = options_of(reads=parse_reads(["/opt/venv"]))
    assert pairs_after(options, "--bind") == [("/state/tree", "/work")]
    assert ("/opt/venv", "/opt/venv") in pairs_after(options, "--ro-bind")
    assert not {"--dev-bind", "--share-net", "--bind-try", "--overlay"} & set(options)


def test_nothing_of_the_machine_beside_the_system_is_read() -> None:
    """/usr and two files of /etc; what else is in /etc is made for the sandbox."""
    options = options_of()
    read = {source for flag in ("--ro-bind", "--ro-bind-try") for source, _ in pairs_after(options, flag)}
    assert read == {"/usr", "/etc/alternatives", "/etc/ld.so.cache"}


@pytest.mark.parametrize("identity", [ORDINARY, ROOTS])
def test_every_namespace_is_new_and_every_capability_dropped(identity: Identity) -> None:
    """As root too, where four capabilities are left until the change of user."""
    options = options_of(identity)
    assert "--unshare-all" in options or {
        "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
    } <= set(options)  # fmt: skip
    assert {"--die-with-parent", "--new-session"} <= set(options)
    assert pairs_after(options, "--cap-drop", 1) == [("ALL",)]
    assert len(pairs_after(options, "--cap-add", 1)) == (4 if identity.drop else 0)
    assert pairs_after(options, "--add-seccomp-fd", 1) == [("7",), ("8",)]


def test_the_roots_are_read_only_after_everything_was_put_in() -> None:
    """A later mount would fail, an earlier one could be written."""
    options = options_of()
    last = max(at for at, word in enumerate(options) if word in ("--bind", "--ro-bind", "--tmpfs", "--file"))
    assert all(options.index(place, last) > last for place in ("/dev", "/"))
    assert [place for (place,) in pairs_after(options, "--remount-ro", 1)] == ["/work/.git", "/dev", "/"]


@pytest.mark.parametrize("entry", list(GitEntry))
def test_git_is_hidden_after_the_tree_was_bound(entry: GitEntry) -> None:
    """Whatever it is: a mount over it, which cannot be renamed or removed."""
    options = options_of(git=entry)
    assert options.index("/work/.git") > options.index("/work")
    wanted = ("/dev/null", "/work/.git") if entry is GitEntry.FILE else None
    assert wanted is None or wanted in pairs_after(options, "--ro-bind")


def test_a_program_of_roots_starts_as_another_user() -> None:
    """An ordinary caller's program starts as it is."""
    assert build_command(ORDINARY, ("true", "-x")) == ("true", "-x")
    command = build_command(ROOTS, ("true", "-x"))
    assert command[0] == "/usr/bin/setpriv" and f"--reuid={ROOTS.uid}" in command
    assert {"--clear-groups", "--bounding-set=-all", "--no-new-privs"} <= set(command)
    assert command[-3:] == ("--", "true", "-x")


@pytest.mark.parametrize(
    ("euid", "uid_map", "drops"),
    [
        (0, WHOLE_MAP, True),
        (0, "0 0 1\n", False),
        (0, "0 1000 1\n1 100000 65536\n", False),
        (1000, WHOLE_MAP, False),
        (1000, "1000 1000 1\n", False),
        (0, "", False),
    ],
)
def test_root_of_the_machine_gives_its_programs_another_user(euid: int, uid_map: str, drops: bool) -> None:
    """Root is held to no number of processes; who cannot become another is shown as one."""
    identity = decide_identity(euid, uid_map, pid=4_194_303, slot=63)
    assert identity.drop == drops and identity.uid != 0
    assert not drops or FIRST_RESERVED_ID <= identity.uid < 1 << 31


def test_runs_at_one_instant_have_users_of_their_own() -> None:
    """Of one process by the slot, of two by the process."""
    uids = {decide_identity(0, WHOLE_MAP, pid=pid, slot=slot).uid for pid in (1, 2, 99) for slot in range(64)}
    assert len(uids) == 3 * 64


def test_the_sandboxs_own_files_name_its_user_and_loopback() -> None:
    """Programs look up their user, and localhost, and find no other."""
    files = etc_files(ORDINARY)
    assert files["/etc/passwd"].startswith(b"pantheon:x:1000:1000:")
    assert b"127.0.0.1 localhost" in files["/etc/hosts"] and files["/etc/nsswitch.conf"].endswith(
        b"hosts: files\n"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/home", "/root", "/run", "/run/docker.sock", "/var/run/x", "/proc", "/proc/1", "/dev/sda", "/sys",
        "/tmp", "/tmp/x", "/work", "/work/x", "/usr", "/var", "venv", "/a/../etc", "/a//b", "/a/", "/a/./b", "/a\nb",
        "",
    ],
)  # fmt: skip
def test_what_must_not_be_read_cannot_be_named(path: str) -> None:
    """Nor what would cover the sandbox's own places."""
    with pytest.raises(ValidationError):
        ReadOnlyBind(source=path, target=path)


def test_a_venv_may_lie_in_a_home() -> None:
    """A folder in it, not the whole of it."""
    assert parse_reads(["/home/me/project/.venv"])[0].target == "/home/me/project/.venv"


@pytest.mark.parametrize(
    ("status", "told", "signal"),
    [(0, 0, None), (1, 1, None), (-9, 137, 9), (143, 143, 15), (128, 128, None), (255, 255, None)],
)
def test_a_signal_is_read_out_of_the_status(status: int, told: int, signal: int | None) -> None:
    """128 and above 192 are statuses of the program's own."""
    result = make_result(status, b"", b"", truncated=(False, False), killed=None, duration_s=0)
    assert (result.returncode, result.signal) == (told, signal)


@pytest.mark.parametrize(
    "wrong",
    [{"returncode": 1}, {"killed": KillReason.DISK}, {"stdout_truncated": True}, {"stderr_truncated": True}],
)
def test_success_needs_everything(wrong: dict[str, object]) -> None:
    """Status 0, by itself, with nothing missing."""
    whole: dict[str, object] = {"returncode": 0, "duration_s": 0.0}
    assert SandboxResult.model_validate(whole).succeeded
    assert not SandboxResult.model_validate(whole | wrong).succeeded


@pytest.mark.parametrize(
    "field", ["wall_s", "cpu_s", "memory_bytes", "processes", "output_bytes", "tmp_bytes"]
)
@pytest.mark.parametrize("value", [-1, 0, float("inf"), 1 << 60])
def test_no_limit_can_be_none(field: str, value: float) -> None:
    """Each has a least and a most."""
    with pytest.raises(ValidationError):
        SandboxLimits.model_validate({field: value})


def test_the_filter_refuses_what_it_is_there_for() -> None:
    """By name; an argument of 32 bits is never compared with all 64 for equality."""
    assert {"ptrace", "io_uring_setup", "bpf", "keyctl", "userfaultfd", "mount", "setns", "unshare"} <= set(
        DENIED
    )
    assert ABSENT == ("clone3",) and len(set(DENIED)) == len(DENIED)
    assert all(rule.mask <= 0xFFFF_FFFF for rule in CONDITIONS if rule.compare is Compare.EQUAL)


def refused(call: str, *arguments: int) -> bool:
    """Tell what the conditions say of a call."""
    return any(
        rule.call == call
        and (
            arguments[rule.argument] & rule.mask == rule.value
            if rule.compare is Compare.EQUAL
            else arguments[rule.argument] > rule.value
        )
        for rule in CONDITIONS
    )


def test_exactly_six_kinds_of_socket_are_left() -> None:
    """Streams and datagrams of Unix, IPv4 and IPv6, with the flags that callers add."""
    left = {
        (family, kind)
        for family in range(64)
        for kind in range(16)
        if not refused("socket", family, kind | 0o2004000)
    }
    assert left == {(family, kind) for family in (1, 2, 10) for kind in (1, 2)}
    assert refused("socket", (1 << 32) | 16, 1) and refused("socketpair", 16, 1)
    assert refused("ioctl", 0, 0x5412 | 1 << 40) and not refused("ioctl", 0, 0x5413)
    assert refused("clone", 0x10000000 | 17) and not refused("clone", 0x3D0F00)


GOOD = (
    "Uid:1000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\ninterface:lo\n"
    "writable:/work\nprocesses:3\nend:\n"
)


def answer(text: str, **more: object) -> SandboxResult:
    return SandboxResult.model_validate({"returncode": 0, "duration_s": 0, "stdout": text.encode(), **more})


def test_a_sandbox_without_holes_is_proven() -> None:
    """The one answer that is accepted."""
    assert find_holes(answer(GOOD), answer("")) == ()


@pytest.mark.parametrize(
    "change",
    [
        ("Uid:1000", "Uid:0"), ("CapEff:0000000000000000", "CapEff:0000000000200000"), ("NoNewPrivs:1", "NoNewPrivs:0"),
        ("Seccomp:2", "Seccomp:0"), ("interface:lo", "interface:lo\ninterface:eth0"), ("writable:/work\n", ""),
        ("writable:/work", "writable:/work\nwritable:/usr"), ("processes:3", "processes:90"), ("processes:3\n", ""),
        ("end:", "visible:/home\nend:"), ("end:", "environ:A=B\nend:"), ("end:\n", ""),
        ("CapBnd:0000000000000000\n", ""),
    ],
)  # fmt: skip
def test_every_hole_shows(change: tuple[str, str]) -> None:
    """What is missing in the answer counts like what is wrong in it."""
    text = GOOD.replace(*change)
    assert text != GOOD and find_holes(answer(text), answer("")) != ()


def test_a_sandbox_that_counts_no_processes_is_none() -> None:
    """Nor one whose look was ended from outside."""
    assert find_holes(answer(GOOD), answer("survived\n")) != ()
    assert find_holes(answer(GOOD, killed=KillReason.DEADLINE), answer("")) != ()
