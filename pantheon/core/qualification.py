"""Whose word counts: a reviewer is qualified by figures that were measured with exactly what works tonight.

A qualification is for one reviewer, its version, the digest of everything its prompt is made of, the digest of the
model that answers, and one flow. Another model, prompt or version has none.

Invariants:
- figures alone qualify: ``measure`` is the one way to make a qualification, and ``Standard`` says what is enough;
- one whose own digest does not fit what it says is none: a qualification is never written by hand.
"""

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field, ValidationError

from pantheon.core.agent import Agent
from pantheon.core.calibration import Calibration, CaseResult, Scope, calibrate
from pantheon.core.canonical import digest_bytes, digest_value
from pantheon.core.errors import ConfigError
from pantheon.core.figures import Rate
from pantheon.core.model import Frozen
from pantheon.core.ranking import Area
from pantheon.core.standard import Standard
from pantheon.core.strict_json import parse_json
from pantheon.core.validation import explain

QUALIFICATIONS_FILE = "qualifications.json"


class Qualification(Frozen):
    """What one reviewer is worth."""

    reviewer: str
    version: str
    prompt_sha256: str
    """Over everything that its prompt is made of: its own folder and that of the agent whose opening it shares."""
    model: str
    """SHA-256 of the model file, or ``served:NAME`` for a server that says only a name."""
    flow: str
    confident: float = Field(ge=0)
    """Nats above its questions' floors that a pass needs."""
    area: Area
    false_accepts: Rate
    """Of checks and all reviewers together."""
    false_rejects: Rate
    cases: int
    subjects: int
    results_sha256: str
    """Over the results that the figures are counted from."""
    measured_at: str
    """When, in UTC."""
    wanting: tuple[str, ...] = ()
    """Why it does not qualify; empty when it does."""
    sha256: str = ""
    """Over all of the above."""

    def digest(self) -> str:
        """Return the digest of everything but the digest itself."""
        return digest_value(self.model_dump(mode="json", exclude={"sha256"}))


class Qualified(Frozen):
    """The qualifications that hold tonight, and which models answer."""

    model: str
    """What answers, as in ``Qualification.model``."""
    others: Mapping[str, str] = Field(default_factory=dict)
    """Reviewer -> what answers it, where that is another model."""
    held: tuple[Qualification, ...] = ()

    def model_of(self, agent: Agent) -> str:
        """Return what tells the model that answers a reviewer from any other; one that it asks for goes by its name."""
        if agent.spec.runtime.asks:
            return f"served:{agent.spec.runtime.asks}"
        return self.others.get(agent.spec.name, self.model)

    def find(self, agent: Agent, opening: Agent, flow: str) -> Qualification | None:
        """Return the last qualification that was measured with exactly this reviewer, model and flow; else None."""
        model = self.model_of(agent)
        wanted = (agent.spec.name, agent.spec.version, prompt_digest(agent, opening), model, flow)
        fitting = [
            one
            for one in self.held
            if (one.reviewer, one.version, one.prompt_sha256, one.model, one.flow) == wanted
            and one.sha256 == one.digest()
        ]
        return max(fitting, key=lambda one: one.measured_at, default=None)

    def confident(self, agent: Agent, opening: Agent, flow: str) -> float | None:
        """Return the strength that a pass needs; None where the reviewer is not qualified."""
        found = self.find(agent, opening, flow)
        return None if found is None or found.wanting else found.confident

    def against(self, agent: Agent, opening: Agent, flow: str) -> str:
        """Return why a reviewer's word does not count, for people; empty when it does."""
        found = self.find(agent, opening, flow)
        if found is None:
            return "not qualified with this model, prompt and version: pantheon review calibrate"
        return "" if not found.wanting else f"not qualified: {found.wanting[0]}"


def prompt_digest(agent: Agent, opening: Agent) -> str:
    """Return the digest of everything that a reviewer's prompt is made of."""
    return digest_bytes(f"{agent.digest}\n{opening.digest}\n".encode())


def measure(
    results: Sequence[CaseResult],
    *,
    reviewers: Mapping[str, tuple[Agent, Agent]],
    models: Callable[[Agent], str],
    flow: str,
    measured_at: str,
    standard: Standard,
) -> tuple[Calibration, tuple[Qualification, ...]]:
    """Return the figures of a calibration, and the qualification of each reviewer, whether it is enough or not.

    Args:
        results: what became of each case.
        reviewers: name -> the reviewer and the agent whose opening it shares.
        models: says what answered a reviewer.
        flow: name of the flow whose checks and reviewers they are.
        measured_at: when, in UTC.
        standard: what is enough.
    """
    scopes = {name: _scope(agent) for name, (agent, _) in reviewers.items()}
    figures = calibrate(results, scopes)
    by_name = {one.reviewer: one for one in figures.reviewers}
    digest = digest_value([one.model_dump(mode="json") for one in sorted(results, key=lambda one: one.case)])
    found = []
    for name, (agent, opening) in sorted(reviewers.items()):
        own = by_name.get(name)
        area = Area(good=0, bad=0, value=None, low=0.0, high=1.0) if own is None else own.area
        made = Qualification(
            reviewer=name,
            version=agent.spec.version,
            prompt_sha256=prompt_digest(agent, opening),
            model=models(agent),
            flow=flow,
            confident=0.0 if own is None else own.confident,
            area=area,
            false_accepts=figures.false_accepts,
            false_rejects=figures.false_rejects,
            cases=figures.cases,
            subjects=figures.subjects,
            results_sha256=digest,
            measured_at=measured_at,
            wanting=_wanting(figures, area, standard),
        )
        found.append(made.model_copy(update={"sha256": made.digest()}))
    return figures, tuple(found)


def _scope(agent: Agent) -> Scope:
    return Scope(fields=frozenset(question.field for question in agent.spec.question))


def _wanting(figures: Calibration, area: Area, standard: Standard) -> tuple[str, ...]:
    reasons = []
    if figures.false_accepts.total < standard.bad_cases:
        reasons.append(
            f"only {figures.false_accepts.total} of {standard.bad_cases} known-bad changes were tried"
        )
    if figures.false_rejects.total < standard.good_cases:
        reasons.append(
            f"only {figures.false_rejects.total} of {standard.good_cases} known-good changes were tried"
        )
    if area.low < standard.area:
        reasons.append(f"its ROC area may be as low as {area.low:.2f}, less than {standard.area:.2f}")
    if figures.false_accepts.high > standard.false_accepts:
        reasons.append(
            f"up to {figures.false_accepts.high:.1%} of known-bad changes may pass,"
            f" more than {standard.false_accepts:.1%}"
        )
    if figures.false_rejects.hits == figures.false_rejects.total:
        reasons.append("no known-good change passed")
    return tuple(reasons)


def load_qualifications(where: str, data: bytes) -> tuple[Qualification, ...]:
    """Read a file of qualifications. Raises ``ConfigError`` for what is none, and for one that was changed."""
    try:
        value = parse_json(data.decode("utf-8"))
        listed = value["qualifications"] if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise ConfigError(f"{where}: qualifications: a list is missing", hint="pantheon review calibrate")
        found = tuple(Qualification.model_validate(one) for one in listed)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)[0]}", hint="pantheon review calibrate") from error
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"{where}: not a file of qualifications: {error}", hint="pantheon review calibrate"
        ) from error
    for one in found:
        if one.sha256 != one.digest():
            raise ConfigError(
                f"{where}: the qualification of {one.reviewer} was changed after it was measured",
                hint="pantheon review calibrate",
            )
    return found
