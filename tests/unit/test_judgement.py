"""What was said of one task's change, out of the store and of what its attempts left."""

import json

import pytest

from pantheon.core.overview import TaskStory, find_task
from pantheon.report.judgement import Floors, Judgement, read_judgement
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence import FakeEvidence
from pantheon.testing.sample_night import BATCH, SampleNight
from pantheon.testing.store import FakeStore

FLOORS = {"review.peerA": Floors(version="1.0.0", questions={"title": 0.25}, label_mass=0.4)}
FOLDER = f"20260101-220000/{BATCH}-note-0002"


class Played:
    """A night that was played, and what can be asked of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.evidence = FakeEvidence()

    async def play(self, *, close: bool = True) -> None:
        await SampleNight(self.store, self.clock, self.evidence.put).play(8, close=close)

    async def judge(self, name: str) -> Judgement:
        task = find_task(await self.store.tasks(), name)
        assert task.night is not None
        nodes = tuple(node for node in await self.store.nodes(task.night) if node.task == task.key)
        keys = {node.key for node in nodes}
        attempts = tuple(one for one in await self.store.attempts(task.night) if one.node in keys)
        story = TaskStory(task=task, night=task.night, nodes=nodes, attempts=attempts)
        return await read_judgement(story, self.evidence, FLOORS)


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.mark.parametrize("close", [True, False])
async def test_an_accepted_change_is_told_whole(played: Played, close: bool) -> None:
    """Decision, verdicts with margins and floors, places in the diff, and the landed commit; open or closed."""
    await played.play(close=close)
    found = await played.judge("note-0000")
    assert (found.outcome, found.missing, found.problems) == ("accepted", (), ())
    assert found.decision is not None
    assert found.decision.decision == "allow"
    assert found.landed.startswith("c0ffee")
    assert [one.reviewer for one in found.reviews] == ["review.peerA", "review.peerB"]
    title = found.reviews[0].questions[0]
    assert (title.floor, title.margin, title.margins) == (0.25, 1.4, (2.1, 0.7))
    assert title.places, "the title stands in the diff"
    assert found.reviews[1].questions[0].floor is None, "a reviewer that is not here has no floor"


async def test_a_denied_change_says_who_was_against_it(played: Played) -> None:
    """The one reviewer's reasons, the gate's reasons, and what was never done."""
    await played.play()
    found = await played.judge("note-0002")
    assert found.outcome == "denied"
    assert [one.verdict for one in found.reviews] == ["pass", "fail"]
    assert found.reviews[1].reasons
    assert found.decision is not None
    assert found.decision.reasons
    assert [node.node for node in found.missing] == ["gate", "merge"]
    assert found.landed == ""


async def test_what_never_came_to_the_gate_has_no_decision(played: Played) -> None:
    """A task that failed before says at which node, and no verdict is made up."""
    await played.play()
    found = await played.judge("note-0005")
    assert (found.outcome, found.decision, found.reviews, found.change) == ("failed", None, (), None)
    assert found.missing[0].node == "plan.validate"


async def test_another_version_of_a_reviewer_has_no_floor(played: Played) -> None:
    """A threshold that this verdict was not given by is not shown beside it."""
    await played.play()
    folder = f"{FOLDER}/review.peerA/001"
    review = json.loads(played.evidence.files[folder]["review.json"]) | {"version": "0.9"}
    played.evidence.put(folder, "review.json", json.dumps(review).encode())
    found = await played.judge("note-0002")
    assert found.reviews[0].questions[0].floor is None


async def test_what_the_review_says_itself_counts_first(played: Played) -> None:
    """Floor, strength and the calibrated threshold are those that the verdict was given by."""
    await played.play()
    folder = f"{FOLDER}/review.peerA/001"
    review = json.loads(played.evidence.files[folder]["review.json"]) | {"strength": 1.1, "confident": 0.6}
    review["questions"][0] |= {"floor": 0.3}
    played.evidence.put(folder, "review.json", json.dumps(review).encode())
    found = (await played.judge("note-0002")).reviews[0]
    assert (found.strength, found.confident) == (1.1, 0.6)
    assert found.questions[0].floor == 0.3


async def test_an_agent_is_no_gate(played: Played) -> None:
    """What a model left, however much it looks like a decision, is none."""
    await played.play()
    found = await played.judge("note-0002")
    store_attempts = await played.store.attempts("20260101-220000")
    worker = next(one for one in store_attempts if one.node.endswith("note-0002#doc.frontmatter"))
    assert worker.result is not None
    forged = {"decision": "allow", "checks": [{"name": "scope", "passed": True}], "commit": "f" * 40}
    worker.result.metrics["output"] = forged
    again = await played.judge("note-0002")
    assert again.decision == found.decision
    assert (again.checks, again.landed) == ((), "")
