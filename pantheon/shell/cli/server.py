"""``pantheon server``: the model server beside the nights. A bare noun tells how it is."""

import asyncio
import signal
import sys
from typing import Any

import click

from pantheon.core.errors import ConfigError, ModelError, ModelTimeoutError, PreflightError
from pantheon.core.vllm import DROP_IN, shell_line, unit_drop_in, vllm_command, vllm_environment
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, say
from pantheon.shell.cli.server_pool import drain, pool, undrain
from pantheon.shell.config import Project
from pantheon.shell.server_wiring import ask_endpoint, read_known
from pantheon.shell.vllm_watch import find_lost_metrics, is_ready
from pantheon.shell.vllm_wiring import (
    plan_vllm,
    refuse_for_unit,
    start_supervisor,
    stop_supervisor,
    supervise,
    supervisor_of,
    told_by_supervisor,
)

NOT_ANSWERING = 4
DETACH_MARGIN_S = 60.0


@click.group("server", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int | None:
    """Render, start, look at or stop the model server that nights use; alone: how it is.

    Example: pantheon server start --detach
    """
    return None if ctx.invoked_subcommand else _status(ctx.obj, as_json)


@command.command("render")
@click.option("--unit", is_flag=True, help="Only the drop-in for systemd's pantheon-llm.service.")
@json_option
@session_option
def render_command(session: Session, unit: bool, as_json: bool) -> None:
    """Write the exact command that serves the configured model with vLLM, and the unit that starts it.

    What the unit could not see, such as a model below /home, is refused.

    Example: pantheon server render --unit > /etc/systemd/system/pantheon-llm.service.d/command.conf
    """
    server = plan_vllm(session.project())
    words, variables = vllm_command(server), vllm_environment(server)
    drop_in, problem = None, None
    try:
        refuse_for_unit(server)
        drop_in = unit_drop_in(words, variables)
    except ConfigError as error:
        # The command is one for every machine; only the unit has walls.
        if unit:
            raise
        problem = error
    if as_json:
        told = {"command": list(words), "environment": dict(variables), "unit": drop_in, "path": DROP_IN}
        emit_json({**told, "unit_problem": problem.message if problem else ""})
    elif unit and drop_in is not None:
        emit(drop_in.rstrip())
    else:
        emit(shell_line(words, variables))
        emit("")
        emit(f"# {DROP_IN}")
        emit(f"# none: {problem.message}. {problem.hint}" if problem else (drop_in or "").rstrip())


@command.command("start")
@click.option("--detach", is_flag=True, help="Return once it answers; pantheon server stop ends it.")
@dry_run_option
@session_option
def start_command(session: Session, detach: bool, dry_run: bool) -> int | None:
    """Start vLLM, wait until it answers, and start it again when it ends, until this is interrupted.

    A server that answers at the configured address already is used as it is.

    Example: pantheon server start --detach
    """
    project = session.project()
    server = plan_vllm(project)
    if dry_run:
        emit(shell_line(vllm_command(server), vllm_environment(server)))
        return None
    if detach:
        return run_async(lambda: _detach(session, project))
    run_async(lambda: _supervise(project))
    return None


@command.command("status")
@json_option
@session_option
def status_command(session: Session, as_json: bool) -> int | None:
    """Tell whether the configured server answers, who looks after it, and what it can do.

    Example: pantheon server status --json
    """
    return _status(session, as_json)


@command.command("stop")
@session_option
def stop_command(session: Session) -> None:
    """Stop the server that ``pantheon server start`` looks after; another one is left alone.

    Example: pantheon server stop
    """
    project = session.project()
    pid = supervisor_of(project)
    if pid is None:
        say("nobody looks after a server here; nothing was stopped")
        return
    run_async(lambda: stop_supervisor(project, pid))
    say("stopped", "good")


for _more in (pool, drain, undrain):
    command.add_command(_more)


def _status(session: Session, as_json: bool) -> int | None:
    project = session.project()
    told = run_async(lambda: _read_status(project))
    if as_json:
        emit_json(told)
    else:
        emit(f"{told['kind']}: {told['address']}")
        pid = told["supervisor"]
        emit(f"looked after by process {pid}" if pid else "nobody here looks after it")
        if told["supervisor_said"]:
            emit(f"  {told['supervisor_said']}")
        emit(f"it answers and serves {told['model']}" if told["answers"] else told["problem"])
        for line in told["without"]:
            emit(f"  {line}")
    return None if told["answers"] or told["kind"] == "embedded" else NOT_ANSWERING


async def _read_status(project: Project) -> dict[str, Any]:
    endpoint, known = project.config.endpoint, await read_known(project)
    told: dict[str, Any] = {
        "kind": endpoint.kind,
        "address": endpoint.uds or endpoint.url,
        "supervisor": supervisor_of(project),
        "supervisor_said": told_by_supervisor(project),
        "answers": False,
        "problem": "",
        "model": "",
        "can": [],
        "without": [],
        "asked_at": None,
    }
    if endpoint.kind == "embedded":
        told |= {"address": "started with each night", "problem": "it runs only while a night does"}
        found = known.get(f"embedded {project.config.model}")
    else:
        told["problem"] = await is_ready(project)
        told["answers"] = not told["problem"]
        try:
            found = await ask_endpoint(project) if told["answers"] else None
        except ModelError as error:
            found, told["answers"], told["problem"] = None, False, error.message
    if found is not None:
        lost = await find_lost_metrics(project) if told["answers"] else ""
        told |= {
            "model": found.model,
            "can": [one.value for one in found.found],
            "without": [*found.describe(), *([lost] if lost else [])],
            "asked_at": found.asked_at.isoformat(),
        }
    return told


async def _supervise(project: Project) -> None:
    stopping, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    # A closed terminal ends it like a signal to stop, but for whoever was told to outlive it (``nohup``).
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for one in (signal.SIGINT, signal.SIGTERM, *(() if outlives else (signal.SIGHUP,))):
        loop.add_signal_handler(one, stopping.set)
    await supervise(project, say=say, stopping=stopping, ready=ready)


async def _detach(session: Session, project: Project) -> int | None:
    """Start a supervisor in the background and wait for its server."""
    log = project.state / "logs" / "supervisor.log"
    words = [sys.executable, "-P", "-m", "pantheon", "-C", str(project.root)]
    words += [word for key, value in session.overrides.items() for word in ("--set", f"{key}={value}")]

    child = await asyncio.to_thread(start_supervisor, [*words, "server", "start"], log)
    # It may wait for somebody who loads first, and then for a server of its own.
    limit_s = 2 * project.config.vllm.ready_timeout_s + DETACH_MARGIN_S
    try:
        async with asyncio.timeout(limit_s):
            while problem := await is_ready(project):
                if child.poll() is not None:
                    # What the supervisor refused is refused here, and not a fault of the server.
                    refused = {ConfigError.exit_code: ConfigError, PreflightError.exit_code: PreflightError}
                    raise refused.get(child.returncode, ModelError)(
                        f"the supervisor ended ({child.returncode}) before the server answered: {problem}",
                        hint=f"{log} says why.",
                    )
                await asyncio.sleep(0.5)
    except TimeoutError as error:
        raise ModelTimeoutError(
            f"the server did not answer within {limit_s:.0f} s",
            hint=f"{log} says why. process {child.pid} still looks after it: pantheon server stop ends both.",
        ) from error
    say(f"process {child.pid} looks after it; pantheon server stop ends both", "good")
    return None
