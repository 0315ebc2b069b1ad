"""The shipped units: what a typing error, a weakened directive or a hostile path would do to the containment.

``systemd-analyze verify`` ends with 0 on a directive that it does not know, so only *silence* counts as a pass.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pantheon.adapters.containment.enter import outside_services

pytestmark = pytest.mark.primitive("systemd-analyze")

SHIPPED = Path(__file__).parents[2] / "systemd"
SYSTEM = ("pantheon.service", "pantheon-llm.service", "pantheon-signer.service",
          "pantheon-night@.service", "pantheon-night@.timer")  # fmt: skip
USER = ("pantheon.service",)
INSTANCE = "srv-notes"
MOST_EXPOSED = 27
"""Exposure times ten that the runner may have."""


def program(name: str) -> str:
    """Return a program of systemd; missing, it fails the test."""
    found = shutil.which(name)
    assert found is not None, f"install systemd: {name} is missing"
    return found


def analyze(*words: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze with nothing of this machine's own manager."""
    env = {
        "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": str(runtime),
        "HOME": str(runtime),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [program("systemd-analyze"), "--man=no", "--no-pager", *words],
        capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip


def complaints(units: Sequence[Path], runtime: Path, *words: str) -> str:
    """Return everything that systemd says about units; empty when they are exactly what it expects."""
    done = analyze(*words, "verify", *map(str, units), runtime=runtime)
    return done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def place(folder: Path, names: Sequence[str], *, source: Path = SHIPPED) -> list[Path]:
    """Copy units as systemd would find them, templates as an instance."""
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copy(source / n, folder / n.replace("@", f"@{INSTANCE}"))) for n in names]


def directives(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of each line."""
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            yield section, key, value


def test_every_unit_is_what_systemd_expects(tmp_path: Path) -> None:
    """It has not a word to say, about the system's units and the user's."""
    assert complaints(place(tmp_path / "system", SYSTEM), tmp_path) == ""
    assert complaints(place(tmp_path / "user", USER, source=SHIPPED / "user"), tmp_path, "--user") == ""
    shipped = {path.name for path in SHIPPED.iterdir() if path.suffix in (".service", ".timer")}
    assert shipped == set(SYSTEM)


@pytest.mark.parametrize("name", SYSTEM)
def test_each_misspelt_directive_is_found(name: str, tmp_path: Path) -> None:
    """Control for the silence above: each key with one letter too many is named by the same check."""
    [unit] = place(tmp_path, [name])
    unit.write_text(re.sub(r"^([A-Za-z]+)([A-Za-z])=", r"\1q\2=", unit.read_text(), flags=re.MULTILINE))
    found = complaints([unit], tmp_path)
    keys = [key for _, key, _ in directives(unit)]
    assert len(keys) >= 4
    assert [key for key in keys if f"'{key}'" not in found] == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ProtectSystem=strikt", "ProtectSystem=strict"),
        ("PrivateNetwork=ja", "PrivateNetwork=yes"),
        ("IPAddressDeny=bogus", "IPAddressDeny=any"),
        ("SystemCallFilter=@sytem-service @mount", "SystemCallFilter=@system-service @mount"),
        ("RestrictAddressFamilies=AF_UNIKS", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
        ("WatchdogSec=soon", "WatchdogSec=60s"),
        ("ExecStart=/usr/bin/no-such-program pantheon", "ExecStart=/usr/bin/env pantheon"),
    ],
)
def test_a_wrong_value_is_found(wrong: str, right: str, tmp_path: Path) -> None:
    """The same check names a value that would be ignored, which is how a protection is lost in silence."""
    [unit] = place(tmp_path, ["pantheon.service"])
    text = unit.read_text()
    assert right in text
    unit.write_text(text.replace(right, wrong))
    assert complaints([unit], tmp_path) != ""


@pytest.mark.parametrize("unit", [*(SHIPPED / name for name in SYSTEM), *(SHIPPED / "user" / name for name in USER)],
                         ids=lambda unit: f"{unit.parent.name}/{unit.name}")  # fmt: skip
def test_every_service_has_a_ceiling_on_memory_and_processes(unit: Path) -> None:
    """A suite that forks or a model that grows takes its own service down, not the machine; none is without end."""
    if unit.suffix == ".timer":
        return
    found = {key: value for section, key, value in directives(unit) if section == "Service"}
    assert re.fullmatch(r"[1-9][0-9]?%|[1-9][0-9]*[MG]", found["MemoryMax"])
    assert re.fullmatch(r"[1-9][0-9]{1,3}", found["TasksMax"])


def exposure(unit: Path, runtime: Path) -> float:
    """Return systemd's figure for how exposed a unit is, and print its line."""
    done = analyze("security", "--offline=true", str(unit), runtime=runtime)
    line = next(line for line in done.stdout.splitlines() if "Overall exposure level" in line)
    print(line.strip())  # noqa: T201 (shown with -s, and with every failure)
    return float(re.findall(r"\d+\.\d+", line)[-1])


def test_the_runner_is_less_exposed_than_two_point_seven(tmp_path: Path) -> None:
    """The threshold refuses the bare unit (control) and lets the shipped one pass."""
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/usr/bin/env pantheon daemon\n")
    threshold = ("security", "--offline=true", f"--threshold={MOST_EXPOSED}")
    assert analyze(*threshold, str(bare), runtime=tmp_path).returncode != 0
    assert exposure(bare, tmp_path) > 9
    runner, llm, signer = place(tmp_path, SYSTEM[:3])
    assert analyze(*threshold, str(runner), runtime=tmp_path).returncode == 0
    assert exposure(runner, tmp_path) < MOST_EXPOSED / 10
    assert exposure(llm, tmp_path) < MOST_EXPOSED / 10
    assert exposure(signer, tmp_path) < 1


NO_WAY_OUT = {"PrivateNetwork": "yes", "IPAddressDeny": "any"}
LOCKED = {
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "ProtectSystem": "strict",
    "ProtectHome": "yes", "PrivateTmp": "yes", "ProtectProc": "invisible", "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes", "LockPersonality": "yes",
    "SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM",
}  # fmt: skip
REQUIRED = {
    "pantheon.service": {
        **NO_WAY_OUT, **LOCKED, "Type": "notify", "NotifyAccess": "main", "User": "pantheon-runner",
        "PrivateDevices": "yes", "KillMode": "mixed", "UMask": "0077",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    },
    "pantheon-llm.service": {**NO_WAY_OUT, **LOCKED, "User": "pantheon-llm", "RestrictNamespaces": "yes"},
    "pantheon-signer.service": {
        **NO_WAY_OUT, **LOCKED, "User": "pantheon-signer", "RestrictNamespaces": "yes", "LimitCORE": "0",
        "RestrictAddressFamilies": "AF_UNIX", "MemoryDenyWriteExecute": "yes",
    },
}  # fmt: skip
BREAKS_FILE_ACCESS = "RestrictSUIDSGID"
"""Its filter answers openat2 with ENOSYS, for it cannot read the modes behind the pointer."""
BREAKS_SANDBOXES = ("ProcSubset", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname")
"""Directives that cover parts of /proc, under which an ordinary user's bubblewrap cannot mount a /proc of its own."""


@pytest.mark.parametrize("name", REQUIRED)
def test_what_contains_a_service_is_there(name: str) -> None:
    """Read as systemd reads it: the last value of each key of [Service] counts."""
    service = {key: value for section, key, value in directives(SHIPPED / name) if section == "Service"}
    assert {key: service.get(key) for key in REQUIRED[name]} == REQUIRED[name]


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_taken_from_a_service_is_missed(name: str, tmp_path: Path) -> None:
    """The control of the test above: a line taken away, or said again with another value, is another service."""
    text = (SHIPPED / name).read_text()
    for key, value in REQUIRED[name].items():
        (tmp_path / name).write_text(re.sub(rf"^{key}=.*\n", "", text, flags=re.MULTILINE))
        assert key not in {one for section, one, _ in directives(tmp_path / name) if section == "Service"}
        (tmp_path / name).write_text(
            text.replace("[Service]", "[Service]", 1) + f"\n[Service]\n{key}=weaker\n"
        )
        found = {one: said for section, one, said in directives(tmp_path / name) if section == "Service"}
        assert found[key] == "weaker" != value


def test_the_services_share_nothing_that_they_need_not() -> None:
    """Three users; keys only with the signer; one network namespace for the night and its model."""
    found = {name: list(directives(SHIPPED / name)) for name in REQUIRED}
    assert len({value for lines in found.values() for _, key, value in lines if key == "User"}) == 3
    holders = [
        name for name, lines in found.items() if any(key.startswith("LoadCredential") for _, key, _ in lines)
    ]
    assert holders == ["pantheon-signer.service"]
    runner, llm = dict[str, str](), dict[str, str]()
    runner.update({key: value for _, key, value in found["pantheon.service"]})
    llm.update({key: value for _, key, value in found["pantheon-llm.service"]})
    assert (runner["JoinsNamespaceOf"], llm["JoinsNamespaceOf"]) == (
        "pantheon-llm.service",
        "pantheon.service",
    )
    assert float(runner["WatchdogSec"].removesuffix("s")) >= 30
    stop_within = int(runner["ExecStart"].split("--stop-within ")[1])
    assert stop_within < 5 * 60 == int(runner["TimeoutStopSec"].removesuffix("min")) * 60


def test_nothing_in_the_runner_breaks_the_sandbox_of_its_tools() -> None:
    """Namespaces, mounts and netlink stay possible; nothing lies over /proc."""
    lines = list(directives(SHIPPED / "pantheon.service"))
    keys = {key for _, key, _ in lines}
    assert not keys.intersection((*BREAKS_SANDBOXES, BREAKS_FILE_ACCESS))
    service = {key: value for _, key, value in lines if key != "SystemCallFilter"}
    assert {"user", "mnt", "pid", "net"} <= set(service["RestrictNamespaces"].split())
    allowed, *denied = (value for _, key, value in lines if key == "SystemCallFilter")
    assert {"@system-service", "@mount", "seccomp"} <= set(allowed.split())
    assert all(one.startswith("~") for one in denied)
    needed = {"@mount", "@process", "@privileged", "@resources", "@file-system", "seccomp"}
    assert not needed & set(" ".join(denied).replace("~", "").split())
    assert "io_uring_setup" in " ".join(denied)


def test_no_service_outside_can_be_asked_to_act_for_the_night() -> None:
    """Each name service, bus and container engine that the night looks for is out of the runner's sight."""
    found = [
        value for _, key, value in directives(SHIPPED / "pantheon.service") if key == "InaccessiblePaths"
    ]
    hidden = {Path(path.removeprefix("-")) for value in found for path in value.split()}
    if ("Service", "PrivateTmp", "yes") in directives(SHIPPED / "pantheon.service"):
        hidden.add(Path("/tmp"))
    for path in outside_services(4711):
        assert path in hidden or any(parent in hidden for parent in path.parents), path


SANDBOX = (
    "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/",
    "--proc", "/proc", "--dev", "/dev", "--", "/bin/true",
)  # fmt: skip
COVERED = {
    "nothing": "true",
    "ProtectProc=invisible": "mount -t proc -o hidepid=2 proc /proc",
    "ProtectControlGroups=yes": "mount -o remount,ro,bind /sys/fs/cgroup",
    "ProtectKernelTunables=yes": "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys",
    "ProtectKernelLogs=yes": "mount --bind /dev/null /proc/kmsg",
    "ProtectHostname=yes": "mount --bind /proc/sys/kernel/hostname /proc/sys/kernel/hostname",
    "ProcSubset=pid": "mount -t proc -o subset=pid proc /proc",
}
"""Directive -> the mounts that systemd makes for it."""


@pytest.mark.primitive("bwrap", "mount_namespace")
@pytest.mark.parametrize("directive", COVERED)
def test_what_lies_over_proc_takes_the_sandbox_from_an_ordinary_user(directive: str) -> None:
    """The runner's directives leave bubblewrap whole; those that it does without would not (control)."""
    drop = "setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    script = f"mount --make-rprivate / && {COVERED[directive]} && exec {drop} {' '.join(SANDBOX)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    works = directive.split("=")[0] not in BREAKS_SANDBOXES
    assert (done.returncode == 0) is works, done.stderr
    if not works:
        assert done.stderr.startswith("bwrap: Can't")


def test_no_value_is_left_to_a_later_line_to_weaken() -> None:
    """A key that systemd replaces stands once: what a reader sees first is what holds."""
    lists = {
        "Environment",
        "SystemCallFilter",
        "InaccessiblePaths",
        "DeviceAllow",
        "Wants",
        "After",
        "IPAddressAllow",
    }
    for name in SYSTEM:
        keys = [key for _, key, _ in directives(SHIPPED / name) if key not in lists]
        assert len(keys) == len(set(keys)), name


def test_the_timer_means_every_evening(tmp_path: Path) -> None:
    """systemd reads the calendar as it was meant, and the same check finds a wrong one."""
    [calendar] = [
        value for _, key, value in directives(SHIPPED / "pantheon-night@.timer") if key == "OnCalendar"
    ]
    done = analyze("calendar", "--iterations=2", calendar, runtime=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("22:00:00") >= 3
    assert analyze("calendar", "*-*-* 25:00:00", runtime=tmp_path).returncode != 0


def run_in(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(command[0]), f"--root={root}", *command[1:]], capture_output=True, text=True, check=False
    )


def test_users_and_folders_are_made_as_declared(tmp_path: Path) -> None:
    """In a tree of their own: three users without a login, and folders that only the right ones can enter."""
    root = tmp_path / "root"
    for folder, name in (("sysusers.d", "pantheon.sysusers"), ("tmpfiles.d", "pantheon.tmpfiles")):
        (root / "etc" / folder).mkdir(parents=True)
        shutil.copy(SHIPPED / name, root / "etc" / folder / "pantheon.conf")
    (root / "etc" / "passwd").touch()
    done = run_in(root, "systemd-sysusers")
    # It ends with 0 also when it skips a line that it does not understand.
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("Creating ")] == []
    users = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
    for name in ("pantheon-runner", "pantheon-llm", "pantheon-signer"):
        assert users[name][6].endswith("nologin")
        assert int(users[name][2]) != 0
    done = run_in(root, "systemd-tmpfiles", "--create")
    assert (done.returncode, done.stderr) == (0, "")
    keys, sockets = (root / "etc/pantheon/keys").stat(), (root / "run/pantheon-signer").stat()
    assert (keys.st_uid, keys.st_mode & 0o7777) == (0, 0o700)
    assert (sockets.st_uid, sockets.st_mode & 0o7777) == (int(users["pantheon-signer"][2]), 0o2750)
    assert sockets.st_gid == int(users["pantheon-runner"][3])
