"""A sandbox that is missing, too old or does not hold is a refusal with exit code 3 and a mend; never a fallback."""

import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox import bubblewrap, seccomp
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.adapters.sandbox.probe import prove_sandbox
from pantheon.core.errors import PreflightError
from pantheon.core.policy import NightPolicy
from pantheon.core.sandbox import SandboxKind
from pantheon.shell.sandbox_wiring import open_sandbox

pytestmark = pytest.mark.primitive("bwrap")

REAL = "/usr/bin/bwrap"
ASKED = f'case "$1" in --help|--version) exec {REAL} "$1" ;; esac;'


def with_program(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    """Have bubblewrap found elsewhere."""
    found = bubblewrap.find_program
    monkeypatch.setattr(
        bubblewrap, "find_program", lambda name: str(program) if name == "bwrap" else found(name)
    )


def script(folder: Path, body: str) -> Path:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


async def test_the_default_policy_opens_a_sandbox_that_holds() -> None:
    """The control of what follows."""
    sandbox, proof = await open_sandbox(NightPolicy(), SystemClock())
    assert sandbox.kind is SandboxKind.BUBBLEWRAP is proof.kind
    assert len(proof.filters) == 2 and proof.version.startswith("bubblewrap")


async def test_none_is_what_the_policy_says_and_nothing_else() -> None:
    """It names itself, so that the report can repeat it."""
    sandbox, proof = await open_sandbox(NightPolicy(sandbox=SandboxKind.NONE), SystemClock())
    assert sandbox.kind is SandboxKind.NONE is proof.kind and proof.filters == ()


@pytest.mark.parametrize("missing", ["bwrap", "setpriv"])
async def test_a_missing_program_is_a_refusal(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The message names it and the package; the exit code is that of a refused start."""
    found = bubblewrap.find_program
    monkeypatch.setattr(bubblewrap, "find_program", lambda name: None if name == missing else found(name))
    with pytest.raises(PreflightError, match=f"{missing} is not installed") as caught:
        await open_sandbox(NightPolicy(), SystemClock())
    assert caught.value.exit_code == 3 and "apt-get install bubblewrap" in caught.value.hint


@pytest.mark.parametrize(
    "body",
    ["echo 'usage: --ro-bind'", "exit 1", "sleep 60", "exec /nonexistent"],
    ids=["too old", "fails", "hangs", "broken"],
)
async def test_a_bubblewrap_that_does_not_do_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str
) -> None:
    """Whatever is wrong with it, within its time."""
    monkeypatch.setattr(bubblewrap, "_QUESTION_S", 0.5)
    with_program(monkeypatch, script(tmp_path, body))
    with pytest.raises(PreflightError) as caught:
        await open_sandbox(NightPolicy(), SystemClock())
    assert caught.value.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'{ASKED} while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "cannot be made|does not hold"),
        (f'{ASKED} exit 0', "cannot be made"),
        (f'{ASKED} exec sleep 60', "does not hold|cannot be made"),
    ],
    ids=["confines nothing", "does nothing", "hangs"],
)  # fmt: skip
async def test_a_bubblewrap_that_lies_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, said: str
) -> None:
    """It knows every option and confines nothing: the proof runs programs and looks at what they could do."""
    with_program(monkeypatch, script(tmp_path, body))
    with pytest.raises(PreflightError, match=said):
        await open_sandbox(NightPolicy(), SystemClock())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--unshare-net", "interface"),
        ("--add-seccomp-fd", "filter|cannot be made"),
        ("--unshare-pid", "processes|cannot be made"),  # last: what it leaves sleeps on for some seconds
    ],
)
async def test_a_sandbox_with_one_wall_missing_is_found_out(
    monkeypatch: pytest.MonkeyPatch, option: str, words: str
) -> None:
    """Each wall is looked at for itself."""
    built = bubblewrap.build_options

    def without(*args: object) -> tuple[str, ...]:
        options, kept = list(built(*args)), []  # type: ignore[arg-type]
        while options:
            word = options.pop(0)
            if word == option:
                if option == "--add-seccomp-fd":
                    options.pop(0)
                continue
            kept.append(word)
        return tuple(kept)

    monkeypatch.setattr(bubblewrap, "build_options", without)
    with pytest.raises(PreflightError, match=words):
        await prove_sandbox(open_bubblewrap(SystemClock()))


async def test_without_libseccomp_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one without a filter either."""
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(PreflightError, match="libseccomp") as caught:
        seccomp.compile_filters()
    assert "apt-get install libseccomp2" in caught.value.hint


OFF = """
import asyncio, os, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.containment import kernel
from pantheon.core.errors import PreflightError
from pantheon.core.policy import NightPolicy
from pantheon.shell.sandbox_wiring import open_sandbox
import concurrent.futures.thread, encodings.ascii, pyseccomp
import pantheon.adapters.sandbox.plain, pantheon.adapters.sandbox.probe
os.setgroups([]); os.setgid(60321); os.setuid(60321)
kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
if sys.argv[1] == "off":
    kernel.unshare(kernel.CLONE_NEWUSER)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    print("made", asyncio.run(open_sandbox(NightPolicy(), SystemClock()))[1].kind)
except PreflightError as error:
    print(error.exit_code, error)
"""


@pytest.mark.primitive("userns")
def test_a_machine_without_user_namespaces_is_told_how_to_mend_it() -> None:
    """In a namespace of the test's own that allows no other: an ordinary user gets a refusal that names the setting."""
    said = {
        state: subprocess.run(
            [sys.executable, "-c", OFF, state],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd="/",
        ).stdout
        for state in ("on", "off")
    }
    assert said["on"].startswith("made bubblewrap"), said
    assert said["off"].startswith("3 the sandbox cannot be made"), said
    assert "user.max_user_namespaces" in said["off"]
