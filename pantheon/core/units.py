"""What an installation of the service writes and runs: a plan over shipped units, as a value.

Invariants:
- shipped units are taken as they are, but for the program: ``/usr/bin/env pantheon`` becomes the installation's own;
- which repository is served stands in one drop-in, so that a unit reads like the shipped one;
- a path that systemd's directives would read differently from each other is refused, never half quoted;
- nothing is started or enabled by the plan; the next steps say how.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pantheon.core.errors import ConfigError
from pantheon.core.window import LOCAL, Day, Hours

PROGRAM = "/usr/bin/env pantheon"
DAEMON_UNIT = "pantheon.service"
BESIDE_UNITS = ("pantheon-signer.service", "pantheon-llm.service")
TIMER_UNIT = "pantheon-night@.timer"
TIMER_DROP_IN = "window.conf"
DROP_IN = f"{DAEMON_UNIT}.d/repository.conf"
SYSTEM_UNITS, SYSTEM_SYSUSERS, SYSTEM_TMPFILES = "etc/systemd/system", "etc/sysusers.d", "etc/tmpfiles.d"
MAKE_FOLDERS = (("systemd-sysusers", "pantheon.conf"), ("systemd-tmpfiles", "--create", "pantheon.conf"))
"""Commands that make the services' users, and the folders that belong to them."""
MANIFEST = "pantheon/installed.json"
"""Below ``/etc``, or below the user's configuration."""
HOMES = ("/home", "/root", "/run/user")
"""What ``ProtectHome=`` hides."""
_AMBIGUOUS = '"\\$'
"""Characters that some directives take literally and others do not."""


@dataclass(frozen=True)
class Served:
    """What the service is for."""

    repository: str
    """Absolute path."""
    program: tuple[str, ...]
    """The words that run this installation; the first is an absolute path."""
    writable: tuple[str, ...]
    """Absolute paths that a night writes below."""
    reads: tuple[str, ...] = ()
    """Absolute paths that the program is made of."""
    calendar: tuple[str, ...] = ()
    """When the timer starts a night, as systemd writes it; empty for when the shipped timer says."""


@dataclass(frozen=True)
class Installation:
    """What is written, what is run, and what is left to a person."""

    files: Mapping[str, bytes]
    """Path below the root -> content, in the order in which they are written."""
    commands: tuple[tuple[str, ...], ...]
    """Run after the files are written."""
    next_steps: tuple[str, ...]


def plan_system(shipped: Mapping[str, bytes], served: Served) -> Installation:
    """Return the plan of a service of the system.

    Args:
        shipped: name -> content of the folder ``systemd/``.
        served: what it is for.

    Raises:
        ConfigError: a path cannot be written in a unit, or the service could not reach the program.
    """
    hidden = [path for path in (*served.reads, served.program[0]) if _below(path, HOMES)]
    if hidden:
        raise ConfigError(
            f"this Pantheon is in {hidden[0]}, which a service of the system cannot see",
            hint="Install it for everybody, for example in /opt/pantheon; or: pantheon daemon install --user",
        )
    # Not the timer's unit: it names no user, and as a unit of the system it would run nights as root.
    units = {name: shipped[name] for name in (DAEMON_UNIT, *BESIDE_UNITS)}
    files = {f"{SYSTEM_UNITS}/{name}": _with_program(data, served.program) for name, data in units.items()}
    files[f"{SYSTEM_UNITS}/{DROP_IN}"] = _drop_in(served, protected=True)
    files[f"{SYSTEM_SYSUSERS}/pantheon.conf"] = shipped["pantheon.sysusers"]
    files[f"{SYSTEM_TMPFILES}/pantheon.conf"] = shipped["pantheon.tmpfiles"]
    return Installation(
        files=files,
        commands=(
            *MAKE_FOLDERS,
            ("systemctl", "daemon-reload"),
        ),
        next_steps=(
            "where the installation ran no commands (--root, or systemd has not booted), on the machine itself: "
            + " && ".join(" ".join(words) for words in MAKE_FOLDERS),
            f"let pantheon-runner read {served.repository} and write to: {', '.join(served.writable)}",
            "put the key that signs the batches into /etc/pantheon/keys/night.ed25519, readable by root only",
            f"systemctl enable --now pantheon-signer.service {DAEMON_UNIT}",
        ),
    )


def may_remove_system(name: str) -> bool:
    """Tell whether ``plan_system`` could have written a path, whatever a manifest says."""
    path = PurePosixPath(name)
    folders = {SYSTEM_UNITS, f"{SYSTEM_UNITS}/{DAEMON_UNIT}.d", SYSTEM_SYSUSERS, SYSTEM_TMPFILES}
    own = path.name.startswith("pantheon") or path == PurePosixPath(SYSTEM_UNITS, DROP_IN)
    return own and str(path) == name and str(path.parent) in folders


def may_remove_user(name: str) -> bool:
    """Tell whether ``plan_user`` could have written a path."""
    instance, end = TIMER_UNIT.split("@")[0] + "@", f"{TIMER_UNIT.split('@')[1]}.d/{TIMER_DROP_IN}"
    if name.startswith(instance) and name.endswith(end) and name.count("/") == 1:
        return True
    return may_remove_system(f"{SYSTEM_UNITS}/{name}")


def timer_drop_in(repository: str) -> str:
    """Return the path, below the folder of units, of what says when the timer of a repository goes off."""
    before, after = TIMER_UNIT.split("@")
    return f"{before}@{escape_path(repository)}{after}.d/{TIMER_DROP_IN}"


def escape_path(path: str) -> str:
    """Return an absolute path as it stands in the name of a unit, like ``systemd-escape --path``."""
    inner = "/".join(part for part in path.split("/") if part)
    escaped = []
    for position, byte in enumerate(inner.encode()):
        one = chr(byte)
        if one == "/":
            escaped.append("-")
        elif (byte < 128 and one.isalnum()) or one in ":_" or (one == "." and position):
            escaped.append(one)
        else:
            escaped.append(f"\\x{byte:02x}")
    return "".join(escaped) or "-"


def on_calendar(hours: Hours) -> str:
    """Return the instants at which hours open, as ``OnCalendar=`` has them."""
    days = [] if hours.days == frozenset(Day) else [",".join(one.title() for one in Day if one in hours.days)]
    zone = [] if hours.time_zone == LOCAL else [hours.time_zone]
    return " ".join((*days, "*-*-*", f"{hours.start:%H:%M:%S}", *zone))


def plan_user(shipped: Mapping[str, bytes], served: Served) -> Installation:
    """Return the plan of a service of one user.

    Args:
        shipped: as for ``plan_system``.
        served: what it is for.

    Returns:
        The plan; its files are below the user's folder of units.

    Raises:
        ConfigError: a path cannot be written in a unit.
    """
    units = {name.removeprefix("user/"): data for name, data in shipped.items() if name.startswith("user/")}
    units |= {name: data for name, data in shipped.items() if name.startswith("pantheon-night@")}
    files = {name: _with_program(data, served.program) for name, data in units.items()}
    files[DROP_IN] = _drop_in(served, protected=False)
    if served.calendar:
        files[timer_drop_in(served.repository)] = _timer(served.calendar)
    return Installation(
        files=files,
        commands=(("systemctl", "--user", "daemon-reload"),),
        next_steps=(
            f"systemctl --user enable --now {DAEMON_UNIT}",
            "loginctl enable-linger    # so that it also runs while you are not logged in",
        ),
    )


def _with_program(unit: bytes, program: Sequence[str]) -> bytes:
    words = " ".join(_quoted(word) for word in program)
    return unit.replace(PROGRAM.encode(), words.encode())


def _drop_in(served: Served, *, protected: bool) -> bytes:
    repository = _literal(served.repository)
    lines = [
        "# Written by `pantheon daemon install`: the repository that is served.",
        "[Unit]",
        f"ConditionPathExists={repository}/pantheon.toml",
        "[Service]",
        f"WorkingDirectory={repository}",
    ]
    writable = " ".join(_quoted(path) for path in served.writable)
    if protected and _below(served.repository, HOMES):
        # The rest of the home stays out of sight.
        lines += ["ProtectHome=tmpfs", f"BindReadOnlyPaths={_bound(served.repository)}"]
        lines += [f"BindPaths={' '.join(_bound(path) for path in served.writable)}"]
    elif protected:
        lines += [f"ReadWritePaths={writable}"]
    return ("\n".join(lines) + "\n").encode()


def _timer(calendar: Sequence[str]) -> bytes:
    lines = [
        "# Written by `pantheon daemon install`: when the windows of policies/night.toml open.",
        "[Timer]",
        "OnCalendar=",
        *(f"OnCalendar={one}" for one in calendar),
    ]
    return ("\n".join(lines) + "\n").encode()


def _below(path: str, tops: Sequence[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(top) for top in tops)


def _literal(path: str) -> str:
    """Return a path as it stands alone after an equals sign.

    Raises:
        ConfigError: it cannot stand there.
    """
    if (
        not path.startswith("/")
        or not path.isprintable()
        or set(path) & set(_AMBIGUOUS)
        or path != path.strip()
    ):
        raise ConfigError(
            f"the path {path!r} cannot be written in a unit of systemd",
            hint="Take one without quotes, backslashes, dollar signs, control characters and outer spaces.",
        )
    return path.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word of a list or of a command line."""
    if word.startswith("/"):
        word = _literal(word)
    elif not word.isascii() or not word.replace("-", "").replace(".", "").isalnum():
        raise ConfigError(f"the word {word!r} cannot be written in a unit of systemd")
    return f'"{word}"' if " " in word or "'" in word or ";" in word else word


def _bound(path: str) -> str:
    if ":" in path:
        raise ConfigError(f"the path {path!r} cannot be bound into a service: it has a colon")
    return _quoted(path)
