"""A reviewer at work: contrastive questions about one change, each in both orders, over one shared prefix.

The reviewer has no tools and sees only the target as it was before the change, the proposal and decoys. What it
cannot answer denies; nothing here ever guesses a pass. By night a review ends with the first comparison that decides
against the change, for a canary as for a real one; a calibration has all of them made, to learn the least strength.
A proposal that speaks to its judge is failed without a question; what does so in the note is not shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pantheon.core.agent import Agent, Question
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.decoys import Metadata, choose_decoys
from pantheon.core.errors import ModelError
from pantheon.core.notes.address import SHOWN_CHARS, address_in
from pantheon.core.notes.textcheck import strange_script
from pantheon.core.notes.unheard import Heard, stray_part
from pantheon.core.prompt import fence, opening_turns
from pantheon.core.review import (
    Contrast,
    Reading,
    Review,
    conclude,
    contrast,
    is_lost,
    question_text,
    read_letter,
)
from pantheon.core.task import Task
from pantheon.engine.evidence import Evidence
from pantheon.ports.model import ModelClient

ALTERNATIVES = 20


@dataclass(frozen=True)
class UnderReview:
    """One change as a reviewer sees it."""

    base: str
    head: str
    tree: str
    target: str
    """Whole text of the target before the change, without what speaks to reviewers."""
    excerpt: str
    """What of that goes into the prompt."""
    proposal: Metadata
    neighbours: Sequence[Metadata]
    """Metadata of other things in the repository; what could fit the target is left out."""
    heard: Heard
    """How much of the target that is."""


def refusals(change: UnderReview, questions: Sequence[Question]) -> list[str]:
    """Return why a model is not asked about a proposal: one of its texts speaks to the reviewer, not of the note.

    The same are checks of their own; a reviewer does not rely on that.
    """
    found = []
    for question in questions:
        text = change.proposal.text(question.field)
        if said := address_in(text, change.target):
            found.append(f"{question.id}: speaks to whoever judges it ({said!r})")
        elif strange := strange_script(text, change.target):
            found.append(f"{question.id}: has letters that the note does not use ({strange!r})")
        elif part := stray_part(text, change.target):
            found.append(f"{question.id}: a part of it says nothing of the note ({part[:SHOWN_CHARS]!r})")
    if not change.heard.shown:
        found.append("nothing of the note is left but words to whoever judges it")
    elif not change.heard.is_enough:
        found.append(
            f"only {change.heard.unspoken} of {change.heard.whole} characters of the note do not speak to "
            "whoever judges it"
        )
    return found


@dataclass(frozen=True)
class _Comparison:
    """One decoy of one question, to be asked in both orders."""

    question: Question
    proposal: str
    decoy: str
    number: int
    """Of the decoy, from 1."""


@dataclass
class Reviewer:
    """One reviewer on one change.

    Args:
        agent: the reviewer.
        opening: the agent whose opening turns are used: the reviewer itself, or the worker it shares with.
        cards: tool cards of ``opening``.
        task: the task, for the template.
        client: the model.
        evidence: where calls are recorded.
        confident: the calibrated strength that a pass needs.
        thorough: make every comparison, also when the verdict is certain before.
    """

    agent: Agent
    opening: Agent
    cards: Sequence[str]
    task: Task
    client: ModelClient
    evidence: Evidence
    confident: float = 0.0
    thorough: bool = False

    async def run(self, change: UnderReview) -> Review:
        """Ask one question after the other until the verdict is certain, and return it.

        Raises:
            ModelTimeoutError, ModelLostError, ModelOverloadedError: the server failed; there is no verdict.
        """
        prefix = opening_turns(self.opening, self.task, self.cards)
        comparisons, lacking = self._plan(change)
        refused = refusals(change, self.agent.spec.question)
        unanswered = [*refused, *lacking]
        contrasts: list[Contrast] = []
        unasked = 0
        for one in comparisons:
            if refused or (not self.thorough and is_lost(contrasts, unanswered)):
                unasked += 1
                continue
            found = await self._compare(prefix, change.excerpt, one)
            if found is None:
                unanswered.append(f"{one.question.id}: neither letter was among the likely answers")
            else:
                contrasts.append(found)
        spec = self.agent.spec
        return conclude(
            reviewer=spec.name,
            version=spec.version,
            base=change.base,
            head=change.head,
            tree=change.tree,
            contrasts=contrasts,
            expected=sum(question.decoys for question in spec.question),
            mass_floor=spec.label_mass_floor,
            unanswered=unanswered,
            unasked=unasked,
            confident=self.confident,
            shown=change.heard.left_out,
        )

    def _plan(self, change: UnderReview) -> tuple[Sequence[_Comparison], list[str]]:
        """Return the comparisons in the order in which they are made, and why some cannot be."""
        planned: list[_Comparison] = []
        lacking: list[str] = []
        for question in self.agent.spec.question:
            proposal = change.proposal.text(question.field)
            decoys = self._decoys(question, proposal, change)
            if len(decoys) < question.decoys:
                lacking.append(f"{question.id}: only {len(decoys)} of {question.decoys} decoys were found")
            planned += [_Comparison(question, proposal, decoy, n) for n, decoy in enumerate(decoys, start=1)]
        return planned, lacking

    def _decoys(self, question: Question, proposal: str, change: UnderReview) -> tuple[str, ...]:
        known = [*change.neighbours, *self.agent.decoys]
        return choose_decoys(
            proposal,
            change.target,
            (item.text(question.field) for item in known),
            count=question.decoys,
            salt=f"{self.task.id}/{self.agent.spec.name}/{question.id}",
            about={item.text(question.field): item.whole() for item in known},
        )

    async def _compare(self, prefix: Sequence[Message], excerpt: str, one: _Comparison) -> Contrast | None:
        readings: list[Reading] = []
        for order, first, second in (("AB", one.proposal, one.decoy), ("BA", one.decoy, one.proposal)):
            turn = f"{fence('note', excerpt)}\n\n{question_text(one.question, first, second)}"
            reading = await self._read(
                [*prefix, Message(role="user", content=turn)],
                f"{one.question.id} decoy {one.number} order {order}",
            )
            if reading is None:
                return None
            readings.append(reading)
        floor = self.agent.spec.label_mass_floor
        return contrast(
            one.question, one.proposal, one.decoy, readings[0], readings[1], floor, self.confident
        )

    async def _read(self, messages: Sequence[Message], purpose: str) -> Reading | None:
        spec = self.agent.spec
        request = ChatRequest(
            messages=tuple(messages),
            sampling=Sampling(temperature=0.0, seed=spec.sampling.seed, max_tokens=1),
            top_logprobs=ALTERNATIVES,
            model=spec.runtime.asks,
        )
        record = await self.evidence.chat(
            self.client, request, purpose=purpose, deadline_s=float(spec.limits.call_timeout_s)
        )
        self.evidence.tally.steps += 1
        if record.reply is None or not record.reply.tokens:
            raise ModelError(
                f"endpoint {self.client.endpoint} reports no log-probabilities",
                hint="Reviewers need logprobs; llama.cpp and vLLM report them, see pantheon doctor.",
            )
        return read_letter(record.reply.tokens[0])
