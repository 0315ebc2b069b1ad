"""A reviewer's word counts with the model, prompt, version and flow that were measured, and with no other."""

import json

import pytest

from pantheon.core.agent import Agent, AgentSpec, Runtime
from pantheon.core.calibration import CaseResult
from pantheon.core.errors import ConfigError
from pantheon.core.qualification import Qualification, Qualified, load_qualifications, measure
from pantheon.core.standard import Standard
from pantheon.testing.qualified import MEASURED_AT, invented_results

MODEL = "a" * 64


def reviewer(name: str = "review.peerA", *, version: str = "1", digest: str = "0" * 64) -> Agent:
    """A reviewer with one question."""
    question = {"id": "title", "text": "Which?", "field": "title", "floor": 0.5}
    spec = AgentSpec.model_validate(
        {
            "name": name,
            "version": version,
            "role": "reviewer",
            "runtime": {"origin": "local"},
            "question": [question],
        }
    )
    return Agent(spec=spec, prompt="p", digest=digest)


def measured(
    results: list[CaseResult], agent: Agent | None = None, *, at: str = MEASURED_AT
) -> tuple[Qualification, ...]:
    """The qualifications that follow from results."""
    agent = agent or reviewer()
    _, found = measure(
        results, reviewers={agent.spec.name: (agent, agent)}, models=lambda _: MODEL, flow="docops", measured_at=at,
        standard=Standard(),
    )  # fmt: skip
    return found


GOOD = invented_results(["review.peerA"])


def test_what_was_measured_counts_with_its_threshold() -> None:
    """The positive case that all refusals below are held against."""
    agent = reviewer()
    qualified = Qualified(model=MODEL, held=measured(GOOD))
    assert qualified.against(agent, agent, "docops") == ""
    assert qualified.confident(agent, agent, "docops") == 1.0


@pytest.mark.parametrize(
    ("agent", "opening", "model", "flow"),
    [
        (reviewer(version="2"), None, MODEL, "docops"),
        (reviewer(digest="1" * 64), None, MODEL, "docops"),
        (reviewer(), reviewer("doc.frontmatter", digest="2" * 64), MODEL, "docops"),
        (reviewer("review.peerB"), None, MODEL, "docops"),
        (reviewer(), None, "b" * 64, "docops"),
        (reviewer(), None, MODEL, "code"),
    ],
    ids=["version", "prompt", "opening", "reviewer", "model", "flow"],
)
def test_anything_else_is_not_qualified(agent: Agent, opening: Agent | None, model: str, flow: str) -> None:
    """Another version, prompt, opening, reviewer, model or flow: its word counts for nothing, and why is told."""
    qualified = Qualified(model=model, held=measured(GOOD))
    assert qualified.confident(agent, opening or agent, flow) is None
    assert "pantheon review calibrate" in qualified.against(agent, opening or agent, flow)


@pytest.mark.parametrize(
    ("results", "why"),
    [
        (GOOD[:100], "only 70 of 100 known-bad"),
        ([one for one in GOOD if not one.good], "only 0 of 20 known-good"),
        (invented_results(["review.peerA"], good=1.0, bad=1.0), "ROC area"),
        (invented_results(["review.peerB"]), "ROC area"),
        ([], "known-bad"),
    ],
    ids=["few bad", "no good", "a coin", "never asked", "nothing"],
)
def test_figures_that_are_not_enough_qualify_nobody(results: list[CaseResult], why: str) -> None:
    """Too few cases, a coin's figures, no figures: not qualified, with the reason in numbers."""
    agent = reviewer()
    qualified = Qualified(model=MODEL, held=measured(results))
    assert qualified.confident(agent, agent, "docops") is None
    assert any(why in reason for reason in qualified.held[0].wanting)
    assert qualified.against(agent, agent, "docops").startswith("not qualified: ")


def test_a_model_that_a_reviewer_asks_for_is_not_the_one_that_was_measured() -> None:
    """Who is answered by another model by its own specification, or by the configuration, is another judge."""
    agent = reviewer()
    asking = agent.model_copy(
        update={
            "spec": agent.spec.model_copy(update={"runtime": Runtime(origin="local", adapter="tuned")}),
        }
    )
    held = measured(GOOD)
    assert Qualified(model=MODEL, held=held).confident(asking, asking, "docops") is None
    assert (
        Qualified(model=MODEL, others={"review.peerA": "b" * 64}, held=held).find(agent, agent, "docops")
        is None
    )
    assert (
        Qualified(model="c", others={"review.peerA": MODEL}, held=held).against(agent, agent, "docops") == ""
    )


def test_the_last_measurement_counts() -> None:
    """A reviewer that failed its newest calibration does not live on an older one."""
    agent = reviewer()
    old = measured(GOOD)
    new = measured(invented_results(["review.peerA"], good=1.0, bad=1.0), at="2026-02-01T00:00:00+00:00")
    assert Qualified(model=MODEL, held=(*old, *new)).confident(agent, agent, "docops") is None
    assert Qualified(model=MODEL, held=(*new, *old)).confident(agent, agent, "docops") is None


def as_file(*found: Qualification) -> bytes:
    """A file of qualifications."""
    return json.dumps({"qualifications": [one.model_dump(mode="json") for one in found]}).encode()


def test_a_file_reads_back_as_it_was_written() -> None:
    """Nothing of a qualification is lost in its file."""
    assert load_qualifications("q", as_file(*measured(GOOD))) == measured(GOOD)


@pytest.mark.parametrize("key", ["confident", "model", "flow", "version", "prompt_sha256", "reviewer"])
def test_a_qualification_that_was_changed_is_refused_by_name(key: str) -> None:
    """What was measured for one thing cannot be made to speak for another by hand."""
    (one,) = measured(GOOD)
    changed = one.model_copy(update={key: 0.01 if key == "confident" else "other"})
    with pytest.raises(ConfigError, match="was changed after it was measured"):
        load_qualifications("q", as_file(changed))
    assert Qualified(model=changed.model, held=(changed,)).find(reviewer(), reviewer(), "docops") is None


def test_reasons_cannot_be_taken_out_of_a_qualification() -> None:
    """A reviewer that did not qualify does not by deleting why."""
    (one,) = measured(invented_results(["review.peerA"], good=1.0, bad=1.0))
    with pytest.raises(ConfigError, match="changed"):
        load_qualifications("q", as_file(one.model_copy(update={"wanting": ()})))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"qualifications": 1}', b'{"qualifications": [{}]}', b"\xff"]
)
def test_what_is_no_file_of_qualifications_is_refused(data: bytes) -> None:
    """A broken file is an error, never nobody's problem."""
    with pytest.raises(ConfigError, match=r"^q: "):
        load_qualifications("q", data)
