"""What ``pantheon doctor`` says of containment: one finding in the list, and all of it with ``--containment``."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator

from pantheon.core.containment import Containment, Observations, Probe
from pantheon.shell.checks import Finding, Grade
from pantheon.shell.config import Project
from pantheon.shell.environment import environment

CHECK = "containment"


async def ask_containment(project: Project) -> Finding:
    """Have a process of its own do what a night does first: only that shows whether a night would start."""
    endpoint = project.config.endpoint
    settings = (f"--set=endpoint.{name}={getattr(endpoint, name)}" for name in ("kind", "url", "uds"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "pantheon", "-C", str(project.root), *settings, "doctor", "--containment", "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment()),
    )  # fmt: skip
    try:
        told, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        seen = Observations.model_validate(json.loads(told)["observed"])
        return Finding(CHECK, Grade.OK, f"{seen.mode}: {', '.join(_summary(seen))}")
    try:
        error = json.loads(complained)["error"]
    except (ValueError, LookupError, TypeError):
        return Finding(
            CHECK, Grade.FAIL, f"cannot be tried (exit {process.returncode})", "pantheon doctor --containment"
        )
    return Finding(CHECK, Grade.FAIL, str(error["message"]), str(error["hint"]))


def containment_findings(seen: Observations, *, services: int) -> tuple[Finding, ...]:
    """Return what was seen by a process that is contained, one line each.

    Args:
        seen: what it saw.
        services: places of services outside that were looked at; others are not known.
    """
    where = f"inode {seen.namespace}" + (
        f", came from {seen.outside_namespace}" if seen.outside_namespace else ""
    )
    rows = [
        ("namespace", where),
        ("interfaces", ", ".join(seen.interfaces or ()) or "none"),
        ("routes", ", ".join(seen.routes or ()) or "none leads out"),
        ("outside", _count(seen.outside)),
        ("sockets", _count(seen.families)),
        (
            "inherited",
            "no network socket from before; input, output and error are files, pipes or a terminal",
        ),
        (
            "services",
            f"none of the {services} known places of name services, message buses and container engines answers",
        ),
        ("process", "memory is hidden, no new privileges"),
    ]
    if seen.mode is Containment.FIREWALL:
        rows += [("allowed", _count(seen.allowed)), ("filter", _count(seen.filtered))]
    return tuple(Finding(name, Grade.OK, text) for name, text in rows)


def _summary(seen: Observations) -> Iterator[str]:
    if seen.mode is Containment.NETNS:
        yield "nothing but its own loopback"
    yield f"{len(seen.outside)} addresses outside asked for, none has a way"


def _count(probes: tuple[Probe, ...]) -> str:
    counts = Counter(probe.outcome for probe in probes)
    return ", ".join(f"{number} × {outcome}" for outcome, number in sorted(counts.items()))
