"""Dispatch decisions: no slot is given twice, nothing that fits waits, packages take turns, nobody starves."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.dispatch import MAX_OVERTAKES, MAX_TOGETHER, Candidate, ReadyQueue

NAMES = st.sampled_from(["model", "cpu", "git"])
SLOTS = st.fixed_dictionaries({"model": st.integers(1, 4), "cpu": st.integers(1, 4)})


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Ready nodes of several tasks and packages, each with its own place in the plan."""
    count = draw(st.integers(0, 12))
    found = []
    for place in range(count):
        costs = draw(st.dictionaries(NAMES, st.integers(1, 3), max_size=2))
        task = draw(st.integers(0, 4))
        opening = draw(st.sampled_from(["", "a", "b"]))
        found.append(
            Candidate(
                key=f"t{task}#n{place}",
                task=f"t{task}",
                package=f"p{task % 3}",
                priority=draw(st.integers(-1, 1)),
                rank=float(draw(st.integers(0, 3))),
                order=place,
                work_s=float(draw(st.integers(1, 3))),
                resources=tuple(sorted(costs.items())),
                warms=bool(opening),
                opening=opening,
            )
        )
    return found


class Model:
    """The same rules by sorting everything again for each start."""

    def __init__(self, slots: dict[str, int]) -> None:
        self.free = dict(slots)
        self.served: dict[str, float] = {}
        self.begun: set[str] = set()
        self.last = ("", "")
        self.together = 0

    def choose(self, fitting: list[Candidate]) -> Candidate:
        best = min(fitting, key=self.key)
        if not best.opening:
            return best
        equals = [one for one in fitting if self.key(one)[:2] == self.key(best)[:2]]
        alike = [one for one in equals if one.opening and one.opening == self.last[0]]
        closest = [one for one in alike if one.task == self.last[1] and one.task in self.begun]
        chosen = min(closest or alike or [best], key=self.key) if self.together < MAX_TOGETHER else best
        self.together = 0 if chosen == best else self.together + 1
        return chosen

    def key(self, one: Candidate) -> tuple[int, int, float, float, int]:
        begun = one.task in self.begun
        served = self.served.get(one.package, 0.0)
        return (-one.priority, int(not begun), 0.0 if begun else served, -one.rank, one.order)

    def fits(self, one: Candidate) -> bool:
        return all(self.free.get(name, cost) >= cost for name, cost in one.resources)

    def take(self, one: Candidate) -> None:
        for name, cost in one.resources:
            if name in self.free:
                self.free[name] -= cost
                assert self.free[name] >= 0
        self.served[one.package] = self.served.get(one.package, 0.0) + one.work_s
        if one.warms:
            self.begun.add(one.task)
            self.last = (one.opening, one.task)

    def give_back(self, one: Candidate) -> None:
        for name, cost in one.resources:
            if name in self.free:
                self.free[name] += cost


@given(candidates(), SLOTS, st.lists(st.integers(0, 11), max_size=30))
def test_it_decides_as_sorting_everything_would(
    ready: list[Candidate], slots: dict[str, int], ends: list[int]
) -> None:
    """Whatever ends in between: no slot is given twice, the most urgent that fits goes, or who meets; nothing waits."""
    queue, model = ReadyQueue(slots), Model(slots)
    for one in ready:
        queue.add(one)
    waiting, running = list(ready), list[Candidate]()
    for end in [*ends, 0]:
        while (chosen := queue.take()) is not None:
            fitting = [one for one in waiting if model.fits(one)]
            assert chosen == model.choose(fitting)
            model.take(chosen)
            waiting.remove(chosen)
            running.append(chosen)
        assert not any(model.fits(one) for one in waiting)
        assert len(queue) == len(waiting)
        if running:
            ended = running.pop(end % len(running))
            model.give_back(ended)
            queue.give_back(ended.resources)


@given(st.integers(2, 4), st.integers(2, 6), st.integers(1, 4))
def test_packages_take_turns(packages: int, each: int, slots: int) -> None:
    """Among equals no package is ever more than one node ahead of another that still has some."""
    queue = ReadyQueue({"cpu": slots})
    for place in range(packages * each):
        # Queue order would serve one package after the other.
        package = f"p{place // each}"
        queue.add(Candidate(f"t{place}#n", f"t{place}", package, order=place, resources=(("cpu", 1),)))
    started: dict[str, int] = {}
    while (one := queue.take()) is not None:
        started[one.package] = started.get(one.package, 0) + 1
        behind = [started.get(f"p{number}", 0) for number in range(packages)]
        assert max(behind) - min(behind) <= 1
        queue.give_back(one.resources)
    assert set(started.values()) == {each}


@given(st.integers(2, 4), st.integers(30, 60))
def test_a_large_node_is_not_starved(slots: int, crowd: int) -> None:
    """A node that needs all slots is overtaken a bounded number of times by less urgent ones."""
    queue = ReadyQueue({"model": slots})
    running = []
    for place in range(crowd):
        queue.add(Candidate(f"s{place}#n", f"s{place}", order=place + 1, resources=(("model", 1),)))
    running = [one for _ in range(slots - 1) if (one := queue.take())]
    queue.add(Candidate("big#n", "big", priority=1, order=0, resources=(("model", slots),)))
    overtakers = 0
    while True:
        one = queue.take()
        if one is None:
            queue.give_back(running.pop(0).resources)
            continue
        if one.key == "big#n":
            break
        overtakers += 1
        running.append(one)
    assert overtakers <= MAX_OVERTAKES


@given(candidates(), st.data())
def test_what_is_removed_never_starts(ready: list[Candidate], data: st.DataObject) -> None:
    """A node that was taken out stays out until it is added again, and then starts once."""
    queue = ReadyQueue({})
    for one in ready:
        queue.add(one)
    gone = data.draw(st.sets(st.sampled_from([one.key for one in ready]))) if ready else set[str]()
    removed = queue.remove([*gone, "unknown"])
    assert {one.key for one in removed} == gone
    back = removed[: len(removed) // 2]
    for one in back:
        queue.add(replace(one, priority=1))
    started = []
    while (one_more := queue.take()) is not None:
        started.append(one_more.key)
    wanted = [one.key for one in ready if one.key not in gone] + [one.key for one in back]
    assert sorted(started) == sorted(wanted)
    assert len(queue) == 0


@given(candidates(), st.integers(1, 4), st.lists(st.integers(1, 6), max_size=12))
def test_slots_may_grow_and_shrink(found: list[Candidate], begin: int, sizes: list[int]) -> None:
    """Nothing starts beyond the present size, what runs keeps its slots, and what is given back fills the new size."""
    queue, running, size = ReadyQueue({"model": begin}), list[Candidate](), begin
    for one in found:
        queue.add(replace(one, resources=(("model", 1),)))
    for wanted in [*sizes, 6]:
        queue.resize("model", wanted)
        size = wanted
        while (taken := queue.take()) is not None:
            running.append(taken)
            assert len(running) <= size
        assert not len(queue) or len(running) >= size
        if running:
            queue.give_back(running.pop().resources)


def agents_night(agents: int, each: int, *, known: bool) -> list[Candidate]:
    """Tasks of several agents, each agent's in a package of its own, so that fairness alone would alternate."""
    return [
        Candidate(
            f"t{place}#n",
            f"t{place}",
            f"p{place % agents}",
            order=place,
            resources=(("model", 1),),
            warms=True,
            opening=f"agent{place % agents}" if known else "",
        )
        for place in range(agents * each)
    ]


def started(ready: list[Candidate]) -> list[Candidate]:
    """Start everything, one at a time."""
    queue, order = ReadyQueue({"model": 1}), list[Candidate]()
    for one in ready:
        queue.add(one)
    while (chosen := queue.take()) is not None:
        order.append(chosen)
        queue.give_back(chosen.resources)
    return order


def misses(order: list[Candidate], agents: int, kept: int) -> int:
    """Return how many openings a server that keeps so many of them has to compute."""
    cache, computed = list[str](), 0
    for one in order:
        opening = f"agent{int(one.package[1:]) % agents}"
        computed += opening not in cache
        cache = [opening, *(other for other in cache if other != opening)][:kept]
    return computed


@given(st.integers(2, 5), st.integers(1, 20), st.data())
def test_openings_meet(agents: int, each: int, data: st.DataObject) -> None:
    """A server that cannot keep every agent's opening computes one for every nine calls, and not one for each."""
    kept = data.draw(st.integers(1, agents - 1))
    order = started(agents_night(agents, each, known=True))
    blind = started(agents_night(agents, each, known=False))
    assert misses(blind, agents, kept) == agents * each, "the control: turns alone never meet"
    assert misses(order, agents, kept) <= agents * (each // (MAX_TOGETHER + 1) + 1)


@given(st.integers(2, 5), st.integers(1, 20))
def test_meeting_delays_nobody_for_long(agents: int, each: int) -> None:
    """No agent's first node waits for more than the bounded number of others in the place of each before it."""
    order = started(agents_night(agents, each, known=True))
    for number in range(agents):
        first = next(place for place, one in enumerate(order) if one.opening == f"agent{number}")
        assert first <= agents * (MAX_TOGETHER + 1)


@given(candidates(), SLOTS)
def test_of_so_many_starts_one_is_the_most_urgent(ready: list[Candidate], slots: dict[str, int]) -> None:
    """Whatever shares a prefix: more than the bounded number of starts in a row never pass over the most urgent."""
    queue, model, passed = ReadyQueue(slots), Model(slots), 0
    waiting = [
        replace(one, resources=(("model", 1),), opening=one.opening or "a", warms=True) for one in ready
    ]
    for one in waiting:
        queue.add(one)
    while (chosen := queue.take()) is not None:
        passed = 0 if chosen == min(waiting, key=model.key) else passed + 1
        assert passed <= MAX_TOGETHER
        model.take(chosen)
        waiting.remove(chosen)
        model.give_back(chosen)
        queue.give_back(chosen.resources)
    assert waiting == []


def test_the_calls_of_one_task_meet_first() -> None:
    """Two reviewers of one change go one after the other, though another task's is as urgent and came before."""
    queue = ReadyQueue({"model": 1})

    def node(task: str, name: str, order: int) -> Candidate:
        return Candidate(
            f"{task}#{name}", task, order=order, resources=(("model", 1),), warms=True, opening="a"
        )

    for task, order in (("t1", 0), ("t2", 1)):
        queue.add(node(task, "write", order))
    for _ in range(2):
        began = queue.take()
        assert began is not None
        queue.give_back(began.resources)
    for name, order in (("A", 2), ("B", 4)):
        queue.add(node("t1", name, order))
        queue.add(node("t2", name, order + 1))
    order = []
    while (one := queue.take()) is not None:
        order.append(one.key)
        queue.give_back(one.resources)
    assert order == ["t2#A", "t2#B", "t1#A", "t1#B"]
