"""Lands allowed changes on the night's branch: one at a time by compare-and-swap, tested again where the branch moved.

Invariants:
- a change lands once: its trailer on the branch tells that it has (ADR 0018);
- what lands is the reviewed tree, or the reviewed change on a tree that passed its checks and tests again;
- a landing that was begun is finished and told, whatever cancellations arrive.

Whoever's turn it is works off a batch (``[merge] batch``) for all that wait in it. The changes of a batch are put one
on top of the other and tested once; where that fails, bisection finds the one to blame and the others land without it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pantheon.core.errors import CommitLostError, GitError, MergeConflictError, PantheonError
from pantheon.core.gate import Change
from pantheon.core.merge_queue import Bisection
from pantheon.core.operation import TASK_TRAILER
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.retry import FailureKind
from pantheon.engine.evidence import Evidence
from pantheon.engine.landing import Candidate, Landing, Objections, Request
from pantheon.engine.merged_tests import MergedRun, run_merged_tests
from pantheon.engine.results import NodeResult, succeeded
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.testimony import attest_merge
from pantheon.engine.to_end import take_back_cancellation, to_end

SWAP_TRIES = 5


class _BranchMovedError(GitError):
    """The night's branch is no longer where it was."""


@dataclass
class MergeQueue:
    """The one queue of a night.

    Args:
        services: ports and content.
    """

    services: Services
    _landing: Landing = field(init=False)
    _waiting: list[Request] = field(init=False, default_factory=list)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._landing = Landing(self.services)

    async def land(
        self, context: NodeContext, change: Change, evidence: Evidence, objections: Objections
    ) -> NodeResult:
        """Land an allowed change, once.

        Args:
            context: the merging node.
            change: what was allowed.
            evidence: its attempt's.
            objections: says what is against it by now; asked last before the branch moves.

        Raises:
            CommitLostError: a commit of the change is gone.
            GitError, SandboxError, SignatureError, ArtifactError: infrastructure; another attempt may land it.

        Cancellation:
            The branch was not moved for this change. Where it was being moved, the landing is told and the cancellation
            taken back.
        """
        request = Request(context, change, objections, evidence.sink.keeps)
        self._waiting.append(request)
        try:
            async with self._turn:
                if request.open:
                    await self._work_off(request)
        except asyncio.CancelledError:
            if request.moving is None:
                raise
            await to_end(request.moving.wait())
            if request.result is None:
                raise
            take_back_cancellation()
        finally:
            request.gone = True
            self._waiting.remove(request)
        _, cancelled = await to_end(request.draft.hand_over(request.evidence, evidence))
        result = request.result
        if cancelled and (result is None or result.state is not NodeState.SUCCEEDED):
            raise asyncio.CancelledError
        if request.error is not None:
            raise request.error
        assert result is not None
        if cancelled:
            take_back_cancellation()
        return result

    async def _work_off(self, own: Request) -> None:
        """Work off batches until the request whose turn it is has come to something."""
        moved = 0
        # Whoever is about to join is let in first.
        await asyncio.sleep(0)
        while own.open:
            others = [one for one in self._waiting if one.open and one is not own]
            batch = [own, *others][: self.services.content.gate_policy.merge.batch]
            try:
                await self._round(batch)
            except _BranchMovedError as error:
                moved += 1
                if moved == SWAP_TRIES:
                    own.result = NodeResult(
                        AttemptOutcome.CRASHED, NodeState.FAILED, error.message, kind=FailureKind.TRANSIENT
                    )

    async def _round(self, batch: Sequence[Request]) -> None:
        """Land what can land of a batch on the branch as it is now, and refuse what is found to blame."""
        night = batch[0].context.night
        old = await self.services.repository.branch(night.branch)
        parent = old or night.base_commit
        chain = await self._chain(batch, parent)
        tested: dict[int, MergedRun] = {}
        search = Bisection(len(chain), passing=_free(chain))
        while (probe := search.probe) is not None:
            tested[probe] = await run_merged_tests(self.services, parent, chain[probe - 1].merge.commit)
            search = search.learn(probe, passed=not tested[probe].reasons)
        landing = chain[: search.passing]
        await _leave(tested.get(search.passing), landing)
        for one in landing:
            await one.request.ask_again()
        # From here to the move nothing is waited for in which a change could still be called off.
        if not all(one.request.open for one in landing):
            return
        if landing:
            await self._publish(landing, old)
        if search.guilty is not None:
            blamed, run = chain[search.guilty], tested[search.guilty + 1]
            await _leave(run, [blamed])
            blamed.request.refuse("after the merge: tests: " + "; ".join(run.reasons))

    async def _chain(self, batch: Sequence[Request], tip: str) -> list[Candidate]:
        """Put the changes of a batch one on top of the other.

        A change that does not fit on others which have not landed is left for the next round: they may not land.
        """
        chain: list[Candidate] = []
        for request in batch:
            try:
                if await self._has_landed(request):
                    continue
                candidate = await self._landing.make(request, tip)
            except MergeConflictError as error:
                if chain:
                    break
                request.refuse(error.message)
            except PantheonError as error:
                if chain:
                    break
                request.error = error
            else:
                chain.append(candidate)
                tip = candidate.merge.commit
        return chain

    async def _has_landed(self, request: Request) -> bool:
        context = request.context
        night = context.night
        landed = await self.services.repository.find_landed(
            night.branch, night.base_commit, TASK_TRAILER, context.task_key
        )
        if landed is None:
            return False
        request.begin_draft()
        await request.evidence.log(f"landed before as {landed}")
        request.result = succeeded(landed, {"branch": night.branch, "commit": landed, "previous": None})
        return True

    async def _publish(self, landing: Sequence[Candidate], old: str | None) -> None:
        """Attest the merges and move the branch over all of them at once; tell each what it came to."""
        over = asyncio.Event()
        for one in landing:
            one.request.moving = over
        try:
            error, cancelled = await to_end(self._move(landing, old))
            if error is None:
                for one in landing:
                    one.request.result = _landed(one, old)
        finally:
            over.set()
        if cancelled:
            raise asyncio.CancelledError
        if error is not None:
            raise error

    async def _move(self, landing: Sequence[Candidate], old: str | None) -> PantheonError | None:
        """Move the branch; whether it was somebody else's move that git refused, the branch itself tells."""
        repository, night = self.services.repository, landing[0].request.context.night
        last = landing[-1].merge.commit
        try:
            for one in landing:
                await attest_merge(self.services, one.request.context, one.merge, one.diff)
            await repository.publish(night.branch, last, old=old, base=night.base_commit)
            for one in landing:
                await one.request.evidence.log(f"landed as {one.merge.commit} on {night.branch}")
        except CommitLostError as error:
            return error
        except GitError as error:
            try:
                now = await repository.branch(night.branch)
            except GitError as second:
                return second
            return error if now == old else _BranchMovedError(error.message)
        except PantheonError as error:
            return error
        return None


def _free(chain: Sequence[Candidate]) -> int:
    """Return how many changes at the front need no test."""
    return next((place for place, one in enumerate(chain) if one.retest.tests), len(chain))


def _landed(one: Candidate, old: str | None) -> NodeResult:
    merge, branch = one.merge, one.request.context.night.branch
    previous = None if old is None and merge.parent == one.request.context.night.base_commit else merge.parent
    return succeeded(merge.commit, {"branch": branch, "previous": previous, **merge.model_dump(mode="json")})


async def _leave(run: MergedRun | None, chain: Sequence[Candidate]) -> None:
    """Leave what the tests said as an artifact of each change that they were run for."""
    if run is not None:
        for one in chain:
            if one.retest.tests:
                await one.request.evidence.put_json("merge_tests.json", run.as_data)
