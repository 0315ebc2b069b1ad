"""What reviewers are worth, counted over changes of which it is known whether they are good.

Each case went through the deterministic checks and, where those let it pass, before both reviewers. A reviewer's
*strength* on a change is how far its weakest comparison lay above what its question demands; the threshold that is
fitted here, ``confident``, is how large that must be.

Invariants:
- what the checks deny does not land, whatever a reviewer says of it;
- a review that could not be finished has no strength: no threshold accepts it;
- thresholds are fitted so that no known-bad change passes all reviewers, and among those so that most good ones do;
- a figure called ``held_out`` comes from thresholds that were fitted without the case it counts.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pantheon.core.canonical import digest_bytes
from pantheon.core.figures import Rate, wilson
from pantheon.core.model import Frozen
from pantheon.core.ranking import Area, cohen_kappa, roc_area

GOOD = "good"
NARROW = frozenset({"false_detail", "swapped_term"})
"""Kinds with one wrong detail in a text that fits: comparisons with other notes hardly see them. They are counted by
themselves and fit no threshold."""
STEP = 0.0002
"""The least distance of a threshold from what it keeps out, in nats."""
FOLDS = 5


class Judged(Frozen):
    """One reviewer on one case."""

    reviewer: str
    strength: float | None
    """In nats; None where it came to no verdict on every comparison."""
    calls: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0
    model_s: float = 0.0


class CaseResult(Frozen):
    """What became of one known change."""

    case: str
    subject: str
    """The known-good change it was made from; what is fitted on some subjects is tried on others."""
    kind: str
    """``good``, or in which way it was spoilt."""
    failures: tuple[str, ...]
    """Checks that denied it; the reviewers may have been asked all the same, to measure them."""
    judged: tuple[Judged, ...] = ()
    source: str | None = None
    """The commit that made the good change; None, and not written, where it was made from a file as it is."""

    @property
    def good(self) -> bool:
        """Whether it ought to pass."""
        return self.kind == GOOD

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out a source that is none: results from before there were sources keep their digests."""
        written: dict[str, object] = handler(self)
        return {key: value for key, value in written.items() if key != "source" or value is not None}


class ReviewerFigures(Frozen):
    """One reviewer over all cases that it was asked about."""

    reviewer: str
    confident: float
    """The threshold that was fitted, in nats above the floors of its questions."""
    area: Area
    """On the kinds that change what it asks about, without those of one wrong detail."""
    areas: Mapping[str, Area]
    """Kind of mutation -> how well good ones rank above those."""
    false_accepts: Rate
    false_rejects: Rate
    calls: int
    computed_tokens: int
    cached_tokens: int
    model_s: float


class KindFigures(Frozen):
    """One kind of case: how many, and how far they came."""

    kind: str
    cases: int
    past_checks: int
    past_all: int


class Calibration(Frozen):
    """All figures of one calibration."""

    cases: int
    subjects: int
    from_history: int = 0
    """Of the subjects, those whose good change people made, in a commit of the repository."""
    reviewers: tuple[ReviewerFigures, ...]
    checks_alone: Rate
    """Known-bad changes that land where reviewers approve of everything."""
    false_accepts: Rate
    """Known-bad changes that pass checks and reviewers."""
    false_rejects: Rate
    """Known-good changes that do not."""
    narrow_accepts: Rate
    """The same of the kinds with one wrong detail, which ``false_accepts`` and ``checks_alone`` do not count."""
    held_out_accepts: Rate
    held_out_rejects: Rate
    kappa: float | None
    """Cohen's kappa of the first two reviewers over what both judged."""
    kinds: tuple[KindFigures, ...]
    model_s: float = Field(ge=0)


Thresholds = Mapping[str, float]
CHANGES = {"swapped_title": frozenset({"title"}), "swapped_description": frozenset({"description"})}
"""Kinds that spoil one field alone; who does not ask about it cannot see them, and is not ranked by them."""


class Scope(Frozen):
    """What a reviewer is there for."""

    fields: frozenset[str] = frozenset({"title", "description", "tags"})
    """What it asks about."""

    def sees(self, kind: str) -> bool:
        """Tell whether a kind of mutation changes anything that it asks about."""
        return kind not in NARROW and bool(CHANGES.get(kind, self.fields) & self.fields)


Scopes = Mapping[str, Scope]


def calibrate(results: Sequence[CaseResult], scopes: Scopes | None = None) -> Calibration:
    """Return all figures over the results of a calibration.

    Args:
        results: what became of each case.
        scopes: reviewer -> what it is there for; everything, for any other.
    """
    names = sorted({one.reviewer for result in results for one in result.judged})
    fitted = fit_thresholds(results, names)
    held = _held_out(results, names)
    passed = _passes(fitted)
    good, all_bad = _split(results)
    bad = [result for result in all_bad if result.kind not in NARROW]
    narrow = [result for result in all_bad if result.kind in NARROW]
    reviewed = [result for result in results if result.judged]
    pairs = [tuple(_accepts(result, name, fitted) for name in names[:2]) for result in reviewed]
    return Calibration(
        cases=len(results),
        from_history=len({result.subject for result in results if result.source is not None}),
        subjects=len({result.subject for result in results}),
        reviewers=tuple(_reviewer(results, name, fitted, _scope(scopes, name)) for name in names),
        checks_alone=wilson(sum(not result.failures for result in bad), len(bad)),
        false_accepts=wilson(sum(map(passed, bad)), len(bad)),
        false_rejects=wilson(sum(not passed(result) for result in good), len(good)),
        narrow_accepts=wilson(sum(map(passed, narrow)), len(narrow)),
        held_out_accepts=wilson(sum(map(held, bad)), len(bad)),
        held_out_rejects=wilson(sum(not held(result) for result in good), len(good)),
        kappa=cohen_kappa([(pair[0], pair[1]) for pair in pairs if len(pair) == 2]),
        kinds=tuple(_kind(results, kind, passed) for kind in sorted({result.kind for result in results})),
        model_s=sum(one.model_s for result in results for one in result.judged),
    )


def fit_thresholds(results: Sequence[CaseResult], reviewers: Sequence[str]) -> dict[str, float]:
    """Return a threshold for each reviewer: no known-bad change passes all, and as many good ones as possible do.

    What the checks deny needs no reviewer and fits no threshold. A threshold is never below 0, and lies in the middle
    between what it keeps out and the next good change.
    """
    good, bad = ([r for r in group if not r.failures and r.kind not in NARROW] for group in _split(results))
    cuts = _fit(good, bad, list(reviewers))
    return {name: _widen(good, name, cut) for name, cut in zip(reviewers, cuts, strict=True)}


def _fit(good: Sequence[CaseResult], bad: Sequence[CaseResult], reviewers: Sequence[str]) -> list[float]:
    """Return for each reviewer the strength above which it accepts."""
    if not reviewers:
        return []
    name, rest = reviewers[0], reviewers[1:]
    if not rest:
        return [max([0.0, *(_strength(one, name) for one in bad)])]
    best: tuple[int, float, list[float]] | None = None
    for cut in sorted({0.0, *(max(0.0, _strength(one, name)) for one in bad)}):
        kept = [one for one in good if _strength(one, name) > cut]
        if best is not None and len(kept) <= best[0]:
            break
        others = _fit(kept, [one for one in bad if _strength(one, name) > cut], rest)
        landed = sum(all(_strength(g, n) > c for n, c in zip(rest, others, strict=True)) for g in kept)
        if best is None or landed > best[0]:
            best = (landed, cut, others)
    assert best is not None
    return [best[1], *best[2]]


def _widen(good: Sequence[CaseResult], name: str, cut: float) -> float:
    """Return a threshold above ``cut``: half way to the next good one, so that neither is on the edge."""
    above = [strength for one in good if (strength := _strength(one, name)) > cut]
    middle = (cut + min(above)) / 2 if above else cut
    return max(round(middle, 4), round(cut + STEP, 4))


def _held_out(results: Sequence[CaseResult], names: Sequence[str]) -> Callable[[CaseResult], bool]:
    """Return a judge that decides on each case with thresholds fitted on the other folds' subjects."""
    folds = [
        fit_thresholds([result for result in results if _fold(result) != fold], names)
        for fold in range(FOLDS)
    ]
    return lambda result: _passes(folds[_fold(result)])(result)


def _fold(result: CaseResult) -> int:
    return int(digest_bytes(result.subject.encode())[:8], 16) % FOLDS


def _passes(thresholds: Thresholds) -> Callable[[CaseResult], bool]:
    def passed(result: CaseResult) -> bool:
        return not result.failures and all(_accepts(result, name, thresholds) for name in thresholds)

    return passed


def _accepts(result: CaseResult, name: str, thresholds: Thresholds) -> bool:
    return _strength(result, name) >= thresholds[name]


def _strength(result: CaseResult, name: str) -> float:
    found = [one.strength for one in result.judged if one.reviewer == name]
    return min((-math.inf if one is None else one for one in found), default=-math.inf)


def _split(results: Sequence[CaseResult]) -> tuple[list[CaseResult], list[CaseResult]]:
    return [r for r in results if r.good], [r for r in results if not r.good]


def _scope(scopes: Scopes | None, name: str) -> Scope:
    return Scope() if scopes is None else scopes.get(name, Scope())


def _reviewer(
    results: Sequence[CaseResult], name: str, thresholds: Thresholds, scope: Scope
) -> ReviewerFigures:
    asked = [result for result in results if any(one.reviewer == name for one in result.judged)]
    good, all_bad = _split(asked)
    bad = [result for result in all_bad if scope.sees(result.kind)]
    strengths = [_strength(one, name) for one in good]
    by_kind = {
        kind: [_strength(b, name) for b in all_bad if b.kind == kind]
        for kind in sorted({b.kind for b in all_bad})
    }
    spent = [one for result in asked for one in result.judged if one.reviewer == name]
    return ReviewerFigures(
        reviewer=name,
        confident=thresholds[name],
        area=roc_area(strengths, [_strength(one, name) for one in bad]),
        areas={kind: roc_area(strengths, found) for kind, found in by_kind.items()},
        false_accepts=wilson(sum(_accepts(one, name, thresholds) for one in bad), len(bad)),
        false_rejects=wilson(sum(not _accepts(one, name, thresholds) for one in good), len(good)),
        calls=sum(one.calls for one in spent),
        computed_tokens=sum(one.computed_tokens for one in spent),
        cached_tokens=sum(one.cached_tokens for one in spent),
        model_s=round(sum(one.model_s for one in spent), 3),
    )


def _kind(results: Sequence[CaseResult], kind: str, passed: Callable[[CaseResult], bool]) -> KindFigures:
    own = [result for result in results if result.kind == kind]
    return KindFigures(
        kind=kind,
        cases=len(own),
        past_checks=sum(not result.failures for result in own),
        past_all=sum(map(passed, own)),
    )
