"""Runs a calibration: known notes, known changes, the night's own checks and reviewers, and the figures at its end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pantheon.adapters.calibration_files import ResultFile, write_qualifications
from pantheon.core.agent import Agent
from pantheon.core.calibration import Calibration, CaseResult
from pantheon.core.canonical import digest_value
from pantheon.core.errors import ConfigError
from pantheon.core.flow import Flow
from pantheon.core.qualification import (
    QUALIFICATIONS_FILE,
    Qualification,
    measure,
)
from pantheon.engine.calibrator import Calibrator, Subject
from pantheon.engine.memo_model import MemoModel
from pantheon.engine.services import Services
from pantheon.engine.under_review import opening_of
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.judges import judges_in_force, read_qualifications
from pantheon.shell.known_changes import Known, Source, find_known

FOLDER = "calibration"
Show = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found."""

    figures: Calibration
    qualifications: tuple[Qualification, ...]
    results: Path
    """Every case, one a line."""
    written: Path | None
    """Where the qualifications are; None where they were not kept."""


@dataclass(frozen=True)
class Amount:
    """How much is tried."""

    notes: int
    """At most."""
    share: int
    """Cases of each note, the good one included."""


WHOLE = Amount(notes=20, share=13)
SHORT = Amount(notes=4, share=5)


async def run_calibration(
    project: Project,
    user: UserPaths,
    *,
    flow_name: str,
    amount: Amount,
    source: Source,
    say: Callable[[str], None],
    show: Show,
) -> Calibrated:
    """Judge known changes and say what the reviewers of a flow are worth; goes on where it was interrupted.

    Args:
        project: the configured repository.
        user: the user's own folders.
        flow_name: whose checks and reviewers are measured.
        amount: how much is tried; less than the whole is told and never kept as a qualification.
        source: where known-good changes are taken from.
        say: told what takes time.
        show: told how far it is.

    Raises:
        ConfigError: there is no such flow, or nothing is known to be good.
        GitError: the history cannot be read.
        ModelError: the server failed; what was measured is kept.

    Cancellation:
        What was measured is kept, and the next calibration goes on there.
    """
    from pantheon.shell.night_wiring import open_night_services

    async with open_night_services(project, user, say=say) as opened:
        flow = opened.services.content.flows.get(flow_name)
        if flow is None:
            flows = ", ".join(sorted(opened.services.content.flows))
            raise ConfigError(f"there is no flow {flow_name!r}", hint=f"Flows: {flows}")
        memo = MemoModel(opened.services.model)
        peers = {name: MemoModel(client) for name, client in opened.services.peers.items()}
        services = replace(opened.services, model=memo, peers=peers)
        known = await find_known(services, project, source, amount.notes)
        for found_there in known.found:
            say(f"Known-good changes {found_there}")
        judges = await judges_in_force(project, services.model)
        reviewers = reviewers_of(services, flow)
        standard = services.content.gate_policy.qualification
        key = _key(
            services,
            flow,
            {name: judges.model_of(agent) for name, (agent, _) in reviewers.items()},
            known,
            amount,
        )
        file = ResultFile(project.state / FOLDER / f"{key}.jsonl")
        calibrator = Calibrator(services, flow, known.notes, known.start)
        results = await _judge_all(calibrator, known, amount, file, [memo, *peers.values()], show)
        figures, found = measure(
            results,
            reviewers=reviewers,
            models=judges.model_of,
            flow=flow.name,
            measured_at=services.clock.now().isoformat(timespec="seconds"),
            standard=standard,
        )
    if amount is not WHOLE:
        return Calibrated(figures, found, file.path, None)
    path = project.state / QUALIFICATIONS_FILE
    held = [one for one in read_qualifications(path) if _place(one) not in {_place(new) for new in found}]
    await asyncio.to_thread(write_qualifications, path, [*held, *found])
    return Calibrated(figures, found, file.path, path)


async def _judge_all(
    calibrator: Calibrator,
    known: Known,
    amount: Amount,
    file: ResultFile,
    memos: Sequence[MemoModel],
    show: Show,
) -> list[CaseResult]:
    done = await file.read()
    results: list[CaseResult] = []
    total = (len(known.past) + len(known.chosen)) * amount.share
    for subject_of in _subjects(calibrator, known, amount.share):
        for memo in memos:
            memo.forget()
        subject = await subject_of()
        for case in subject.cases:
            result = done.get(case.name)
            if result is None:
                result = await calibrator.judge(subject, case)
                await file.add(result)
            results.append(result)
            show(len(results), total, f"{case.kind}")
    return results


def _subjects(calibrator: Calibrator, known: Known, share: int) -> Iterator[Callable[[], Awaitable[Subject]]]:
    """Yield what makes each subject, those from history first."""
    for place, change in enumerate(known.past):
        yield partial(calibrator.prepare_past, change, beside=known.beside, share=share, seed=place)
    for number in known.chosen:
        yield partial(calibrator.prepare, number, share=share, seed=number)


def _key(services: Services, flow: Flow, models: Mapping[str, str], known: Known, amount: Amount) -> str:
    """Return what a calibration's results hold for; those of anything else are never mixed with them."""
    content = services.content
    return digest_value(
        {
            "agents": dict(content.digests["agents"]),
            "flow": flow.digest,
            "policy": content.gate_policy.model_dump(mode="json"),
            "models": dict(models),
            "chosen": list(known.chosen),
            "share": amount.share,
            **({"past": [one.commit for one in known.past]} if known.past else {}),
        }
    )[:16]


def _place(one: Qualification) -> tuple[str, ...]:
    return (one.reviewer, one.version, one.prompt_sha256, one.model, one.flow)


def reviewers_of(services: Services, flow: Flow) -> dict[str, tuple[Agent, Agent]]:
    """Return the reviewers of a flow, each with the agent whose opening it shares."""
    agents = [services.content.agents[node.agent] for node in flow.node if node.agent is not None]
    return {one.spec.name: (one, opening_of(services, one)) for one in agents if one.spec.role == "reviewer"}
