"""The questions of ``pantheon doctor``: how they are asked, and those about the machine.

A question that breaks is a finding, not a crash.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from pantheon.core.credentials import find_proxies
from pantheon.core.errors import PantheonError, PreflightError
from pantheon.shell import sandbox_wiring, wiring
from pantheon.shell.config import Config
from pantheon.shell.environment import PREFIX, RESERVED
from pantheon.shell.settings import dotted_keys, variable_of

GIT_NEEDED = (2, 38)
QUESTION_TIMEOUT_S = 30


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    """The night would not start, or would come to nothing."""


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    check: str
    grade: Grade
    message: str
    mend: str = ""
    """What to do, as a command where there is one."""


Question = Callable[[], Awaitable[Finding]]


async def ask(questions: Mapping[str, Question]) -> tuple[Finding, ...]:
    """Return the answers in the order of the questions.

    A deliberate error or a time-out is the answer ``fail``.
    """
    return tuple([await _ask_one(name, question) for name, question in questions.items()])


def machine_questions(env: Mapping[str, str]) -> Mapping[str, Question]:
    """Return the questions that need no project.

    Args:
        env: the environment.
    """
    return {
        "python": _python,
        "git": _git,
        "files": _files,
        "sandbox": _sandbox,
        "environment": partial(_environment, env),
    }


async def _ask_one(name: str, question: Question) -> Finding:
    try:
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            return await question()
    except PantheonError as error:
        return Finding(name, Grade.FAIL, error.message, error.hint)
    except TimeoutError:
        return Finding(name, Grade.FAIL, f"no answer within {QUESTION_TIMEOUT_S} s")


async def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", Grade.OK, f"{version} ({sys.executable})")


async def _git() -> Finding:
    version = await asyncio.to_thread(wiring.listing.git_version)
    text = ".".join(str(part) for part in version)
    if version < GIT_NEEDED:
        return Finding("git", Grade.FAIL, f"git {text} is too old", "Install git 2.38 or newer.")
    return Finding("git", Grade.OK, text)


async def _files() -> Finding:
    wiring.beneath.require_openat2()
    return Finding("files", Grade.OK, "tools are kept inside their work tree (openat2)")


async def _sandbox() -> Finding:
    try:
        proof = await sandbox_wiring.prove_default_sandbox()
    except PreflightError as error:
        # Not in the way of a night: only flows that run a repository's own code are refused without it.
        said = f"{error.message}; flows that run a repository's own code are refused"
        return Finding("sandbox", Grade.WARN, said, error.hint)
    return Finding(
        "sandbox", Grade.OK, f"{proof.version} holds: what runs in it reaches its tree and nothing else"
    )


async def _environment(env: Mapping[str, str]) -> Finding:
    proxies = find_proxies(env)
    known = {variable_of(key, PREFIX) for key in dotted_keys(Config)} | RESERVED
    strange = sorted(name for name in env if name.startswith(PREFIX) and name not in known)
    if strange:
        return Finding(
            "environment", Grade.WARN, f"names no setting: {', '.join(strange)}", "Mend the spelling."
        )
    if proxies:
        return Finding(
            "environment", Grade.FAIL, f"set: {', '.join(proxies)}",
            f"A night uses no proxy and starts with none; only fetching a model by day does: unset {' '.join(proxies)}",
        )  # fmt: skip
    return Finding("environment", Grade.OK, "no proxy, no misspelt setting")
