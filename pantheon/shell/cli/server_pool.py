"""``pantheon server pool | drain | undrain``: the endpoints of a pool, and the operator's word on them."""

import click

from pantheon.core.errors import ConfigError
from pantheon.engine.drains import Drains
from pantheon.ports.store import Store
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.giving import Given, give_orders, operator, reason_option, weak_reason_option
from pantheon.shell.cli.output import emit_json, emit_rows, say
from pantheon.shell.config import Project
from pantheon.shell.pool_config import OWN_ENDPOINT
from pantheon.shell.pool_look_wiring import EndpointSeen, look_at_pool

SOME_SILENT = 4


@click.command("pool")
@json_option
@session_option
def pool(session: Session, as_json: bool) -> int | None:
    """List the endpoints that nights ask, who answers, and who is drained.

    Example: pantheon server pool --json
    """
    seen = run_async(lambda: look_at_pool(session.project()))
    if as_json:
        emit_json({"endpoints": [one.model_dump(mode="json") for one in seen]})
    else:
        rows = [(one.name, one.weight, _state(one), one.address, _served(one)) for one in seen]
        if not seen:
            say("there is no endpoint beside the server that each night starts itself")
        emit_rows(("endpoint", "weight", "state", "address", "serves"), rows)
    return SOME_SILENT if any(one.problem and not one.draining for one in seen) else None


@click.command("drain")
@click.argument("endpoint")
@reason_option
@dry_run_option
@json_option
@session_option
def drain(session: Session, endpoint: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Ask an endpoint nothing more, tonight and in later nights, until undrain; what it answers now it finishes.

    Example: pantheon server drain second --reason "new driver"
    """
    _order(session, endpoint, draining=True, reason=reason, dry_run=dry_run, as_json=as_json)


@click.command("undrain")
@click.argument("endpoint")
@weak_reason_option
@dry_run_option
@json_option
@session_option
def undrain(session: Session, endpoint: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Ask an endpoint again, once it has shown that it serves what it did.

    Example: pantheon server undrain second
    """
    _order(session, endpoint, draining=False, reason=reason, dry_run=dry_run, as_json=as_json)


def _order(
    session: Session, endpoint: str, *, draining: bool, reason: str, dry_run: bool, as_json: bool
) -> None:
    verb = "drain" if draining else "undrain"
    known = _names(session.project())
    if endpoint not in known:
        raise ConfigError(
            f"no endpoint is called {endpoint!r}", hint=f"Endpoints of the pool: {', '.join(known) or 'none'}"
        )

    async def give(store: Store) -> list[Given]:
        drains = Drains(store)
        if dry_run:
            return [Given(verb, endpoint, (endpoint in await drains.read()) != draining)]
        changed = await drains.order(endpoint, draining=draining, reason=reason, by=operator())
        return [Given(verb, endpoint, changed)]

    give_orders(session, give, dry_run=dry_run, as_json=as_json)


def _names(project: Project) -> tuple[str, ...]:
    pool = project.config.pool
    return tuple(dict.fromkeys((OWN_ENDPOINT, *(one.name for one in pool)))) if pool else ()


def _state(one: EndpointSeen) -> str:
    if one.draining:
        return f"drained: {one.draining}"
    return f"silent: {one.problem}" if one.problem else "answers"


def _served(one: EndpointSeen) -> str:
    named = (*one.models, *one.adapters) or ((one.serving,) if one.serving else ())
    return ", ".join(named) or "the night's own model"
