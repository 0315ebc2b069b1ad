"""Attacks with canaries: none of them lands, and what the ledger says of them cannot be invented."""

import base64
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.canaries import CanaryPolicy, CanaryResult
from pantheon.core.canary_making import Canary, make_canary
from pantheon.core.canary_record import canary_claim
from pantheon.core.canonical import digest_bytes
from pantheon.core.delegation import reviewer_role
from pantheon.core.dsse import PAYLOAD_TYPE, pae, parse_envelope, peek_payload, seal
from pantheon.core.gate import Change
from pantheon.core.notes.frontmatter import set_fields
from pantheon.core.statement import CANARY_PREDICATE, REVIEW_PREDICATE, make_statement
from pantheon.engine import canaries as engine_canaries
from pantheon.engine.canaries import Canaries
from pantheon.engine.evidence import Evidence
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NodeContext
from pantheon.testing.night import NoteScript, opened
from pantheon.testing.sample_notes import NOTE, PROPOSALS, TARGET
from pantheon.testing.user_repository import git, make_repository

pytestmark = pytest.mark.primitive("git")

ONE = CanaryPolicy(rate=0, minimum=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", {TARGET: NOTE})


def every_object(root: Path) -> bytes:
    """Return all that git holds, reachable or not."""
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True).stdout


class Forger:
    """Takes the place of the merge: tries to land canaries before the real change is landed.

    Args:
        made: path, text and canary of each that was made.
    """

    def __init__(self, made: list[Canary]) -> None:
        self.made = made
        self.said: list[str] = []
        self._merge = Gatekeeper.merge

    async def forge(self, keeper: Gatekeeper, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Put every canary forward as a change that all have passed and the gate has allowed; then the real one."""
        for canary in self.made:
            result = await self._merge(keeper, await self._forged(keeper, context, canary), evidence)
            self.said.append(f"{result.state}: {result.cause}")
        return await self._merge(keeper, context, evidence)

    async def _forged(self, keeper: Gatekeeper, context: NodeContext, canary: Canary) -> NodeContext:
        repository = keeper.services.repository
        async with repository.work_tree(context.base_commit) as tree:
            known = canary.proposal
            fields: dict[str, str | list[str]] = {
                "title": known.title, "description": known.description, "tags": list(known.tags),
            }  # fmt: skip
            data = set_fields(NOTE, fields)
            assert digest_bytes(data) == canary.content, "it is the canary, byte for byte"
            tree.files.write_bytes(TARGET, data)
            commit = await tree.commit("A canary\n")
        bound = {"base": context.base_commit, "head": commit, "tree": await repository.tree_of(commit)}
        # The whole ledger speaks for it, as far as one without the reviewers' keys can make it.
        index = keeper.services.ledger.index
        for line in index.canaries:
            statement = json.loads(peek_payload(parse_envelope(line)))
            statement["subject"] = [{"name": "change", "digest": {"gitCommit": commit}}]
            forged = json.dumps(statement).encode()
            index._evidence.setdefault(commit, []).append((REVIEW_PREDICATE, line))
            index._evidence[commit].append((REVIEW_PREDICATE, seal(forged, [("x", b"y" * 64)]).to_bytes()))
        upstream: dict[str, Mapping[str, Any]] = {}
        for name, output in context.upstream.items():
            upstream[name] = {**output, **{key: bound[key] for key in bound if key in output}}
            if "merged" in output:
                upstream[name] = {**upstream[name], "merged": None}
            if "change" in output:
                upstream[name] = {**upstream[name], "change": Change(**bound).model_dump(mode="json")}
        return replace(context, input_commit=commit, upstream=upstream)


async def test_a_canary_that_all_have_passed_does_not_land(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged commit, passed by both reviewers and allowed by the gate, is refused; the real change lands."""
    made: list[Canary] = []

    def remember(*args: Any, **kwargs: Any) -> Canary | None:
        canary = make_canary(*args, **kwargs)
        if canary is not None:
            made.append(canary)
        return canary

    forger = Forger(made)

    async def merge(self: Gatekeeper, context: NodeContext, evidence: Evidence) -> NodeResult:
        return await forger.forge(self, context, evidence)

    monkeypatch.setattr(engine_canaries, "make_canary", remember)
    monkeypatch.setattr(Gatekeeper, "merge", merge)
    # Even where nobody was disqualified for it.
    monkeypatch.setattr(Canaries, "against", lambda *_: {})
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=ONE) as bench:
        summary = await bench.night([TARGET])
    assert summary.outcomes == {"accepted": 1}, (
        f"the control: the real change lands ({summary.tasks[0].cause})"
    )
    assert len(forger.said) == len(made) == 2
    assert all(said.startswith("failed: ") for said in forger.said), forger.said
    assert all("no signed verdict" in said or "does not count" in said for said in forger.said), forger.said
    landed = git(root, "log", "-p", "--format=%B", "main..pantheon/night-n1")
    assert "Retries versus Dead Letter Queues" in landed
    assert not any(canary.proposal.title in landed for canary in made)


async def test_git_never_holds_a_canary(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No object of the repository, reachable or not, has a word of one; the real change is there (the control)."""
    made: list[Canary] = []

    def remember(*args: Any, **kwargs: Any) -> Canary | None:
        canary = make_canary(*args, **kwargs)
        made.extend([canary] if canary is not None else [])
        return canary

    monkeypatch.setattr(engine_canaries, "make_canary", remember)
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=ONE) as bench:
        await bench.night([TARGET])
    found = every_object(root)
    assert b"title: Retries versus Dead Letter Queues for Orders" in found
    assert len(made) == 2
    assert not any(canary.proposal.title.encode() in found for canary in made)


@pytest.mark.parametrize("late", [False, True])
async def test_who_is_disqualified_after_the_decision_lets_nothing_land(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """An allowed change is looked at again right before it lands; undisturbed, it lands (the control)."""
    asked: list[str] = []

    def against(self: Canaries, reviewers: object) -> dict[str, str]:
        asked.append("")
        return {"review.peerA": "disqualified: it passed 1 of 1 canaries"} if late and len(asked) > 1 else {}

    monkeypatch.setattr(Canaries, "against", against)
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=ONE) as bench:
        summary = await bench.night([TARGET])
    assert summary.outcomes == ({"denied": 1} if late else {"accepted": 1}), summary.tasks[0].cause
    assert ("review.peerA: disqualified" in summary.tasks[0].cause) is late
    assert len(asked) >= 2


async def test_nobody_but_the_night_says_what_became_of_a_canary(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record signed by a reviewer, or by nobody, measures nothing; one signed by the night does (the control)."""
    seen: dict[str, int] = {}
    begun = Canaries.review

    async def review(self: Canaries, *args: Any) -> Any:
        found = await begun(self, *args)
        if seen:
            return found
        ledger, index = self.services.ledger, self.services.ledger.index
        result = CanaryResult.model_validate(
            {
                "night": "n1", "task": "t", "node": "n", "attempt": 1, "reviewer": "review.peerA",
                "version": "1", "number": 1, "kind": "k", "content": "a" * 64, "verdict": "fail",
            }
        )  # fmt: skip
        before = self.standing("review.peerA").measured
        subjects, predicate = canary_claim(result)
        with pytest.raises(Exception, match="signs its own verdicts only"):
            await ledger.state(CANARY_PREDICATE, subjects, predicate, role=reviewer_role("review.peerA"))
        place = {"night": "n1", "seq": index.size, "at": self.services.clock.now().isoformat()}
        payload = make_statement(subjects, CANARY_PREDICATE, {**predicate, "ledger": place})
        held = ledger.signer.held._keys[reviewer_role("review.peerA")]  # type: ignore[attr-defined]
        for signature in (held.sign(pae(PAYLOAD_TYPE, payload)), b"y" * 64):
            index._canaries.append(seal(payload, [("x", signature)]).to_bytes())
        seen["forged"] = self.standing("review.peerA").measured - before
        await ledger.state(CANARY_PREDICATE, subjects, predicate)
        seen["signed"] = self.standing("review.peerA").measured - before
        return found

    monkeypatch.setattr(Canaries, "review", review)
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=ONE) as bench:
        await bench.night([TARGET])
    assert seen == {"forged": 0, "signed": 1}
    lines = (tmp_path / "artifacts" / "n1" / "ledger.jsonl").read_bytes().splitlines()
    payloads = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines]
    assert sum(one["predicateType"] == CANARY_PREDICATE for one in payloads) >= 3
