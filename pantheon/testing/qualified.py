"""Qualifications for tests, whose models are scripts: made of figures, as all qualifications are, but invented ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pantheon.adapters.calibration_files import write_qualifications
from pantheon.adapters.content import load_folders, load_texts
from pantheon.core.agent import Agent, load_agent
from pantheon.core.calibration import CaseResult, Judged
from pantheon.core.flow import Flow, load_flow
from pantheon.core.qualification import QUALIFICATIONS_FILE, Qualification, measure
from pantheon.core.standard import Standard

SCRIPTED = "served:scripted"
"""What tells a scripted model from others."""
MEASURED_AT = "2026-01-01T00:00:00+00:00"


def invented_results(
    reviewers: Sequence[str], *, good: float = 2.0, bad: float = -2.0, cases: int = 120
) -> list[CaseResult]:
    """Return results in which every good change has one strength and every bad one another."""
    return [
        CaseResult(
            case=f"{kind}-{number}",
            subject=f"note-{number % 20}",
            kind=kind,
            failures=(),
            judged=tuple(Judged(reviewer=name, strength=strength) for name in reviewers),
        )
        for kind, strength, count in (("good", good, 30), ("swapped_metadata", bad, cases))
        for number in range(count)
    ]


def reviewers_in(agents: Mapping[str, Agent], flow: Flow) -> dict[str, tuple[Agent, Agent]]:
    """Return the reviewers of a flow, each with the agent whose opening it shares."""
    named = [agents[node.agent] for node in flow.node if node.agent is not None]
    return {
        one.spec.name: (one, agents[one.spec.shares_prefix_of or one.spec.name])
        for one in named
        if one.spec.role == "reviewer"
    }


def invented_qualifications(
    agents: Mapping[str, Agent],
    flow: Flow,
    *,
    model: str = SCRIPTED,
    results: Sequence[CaseResult] | None = None,
) -> tuple[Qualification, ...]:
    """Return qualifications for the reviewers of a flow."""
    reviewers = reviewers_in(agents, flow)
    _, found = measure(
        invented_results(sorted(reviewers), good=0.001, bad=-2.0) if results is None else results,
        reviewers=reviewers,
        models=lambda _: model,
        flow=flow.name,
        measured_at=MEASURED_AT,
        standard=Standard(),
    )
    return found


def qualify_project(root: Path, *, model: str = SCRIPTED) -> None:
    """Let the reviewers that are laid out in a repository qualify for all its flows, with a model that is a script."""
    agents = {name: load_agent(name, files) for name, files in load_folders(root / "agents").items()}
    flows = [load_flow(name, data) for name, data in load_texts(root / "flows", "*.toml").items()]
    found = [one for flow in flows for one in invented_qualifications(agents, flow, model=model)]
    write_qualifications(root / ".pantheon" / QUALIFICATIONS_FILE, found)
