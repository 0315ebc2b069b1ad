"""Flows: DAGs of nodes that are one thing each, and routing that is a function of the task alone."""

import pytest

from pantheon.core.errors import ConfigError, FlowError
from pantheon.core.flow import Flow, FlowNode, load_flow, route_task
from pantheon.core.task import Task

HEAD = 'name = "docops"\naccepts = ["docops", "docops.*"]\n'


def node(name: str, *needs: str, more: str = 'tool = "x"') -> str:
    """One node in TOML."""
    quoted = ", ".join(f'"{need}"' for need in needs)
    return f'[[node]]\nid = "{name}"\nneeds = [{quoted}]\n{more}\n'


def flow(*nodes: str, head: str = HEAD) -> Flow:
    """A flow read from a file."""
    return load_flow("docops.toml", (head + "".join(nodes)).encode())


def accepting(name: str, *globs: str) -> Flow:
    """A flow of one node for some kinds."""
    quoted = ", ".join(f'"{glob}"' for glob in globs)
    return flow(node("a"), head=f'name = "{name}"\naccepts = [{quoted}]\n')


def task(kind: str | None = "docops", name: str | None = None) -> Task:
    """A task of a kind, or for a flow."""
    return Task(id="t", kind=kind, flow=name, goal="g")


def test_a_sound_flow_loads() -> None:
    """Nodes in order, sinks, and a digest of the file's bytes."""
    loaded = flow(node("a"), node("b", "a"), node("c", "a"))
    assert list(loaded.nodes()) == ["a", "b", "c"]
    assert loaded.sinks == ("b", "c")
    assert len(loaded.digest) == 64
    assert loaded.digest != flow(node("a"), node("b", "a"), node("c", "a"), "# x\n").digest


@pytest.mark.parametrize(
    ("nodes", "circle"),
    [
        ((node("a", "a"),), "a -> a"),
        ((node("a", "b"), node("b", "a")), "->"),
        ((node("s"), node("a", "s", "c"), node("b", "a"), node("c", "b")), "->"),
    ],
)
def test_a_cycle_is_named(nodes: tuple[str, ...], circle: str) -> None:
    """A circle of needs is an error of the flow that shows the circle."""
    with pytest.raises(FlowError, match=r"flows/docops\.toml: .*cycle: ") as caught:
        flow(*nodes)
    assert circle in caught.value.message
    assert "s ->" not in caught.value.message


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ((node("a", "gone"),), "node 'a' needs 'gone', which does not exist"),
        ((node("a"), node("a")), "node 'a' is declared twice"),
        ((node("a", more=""),), "exactly one of agent, tool and gate"),
        ((node("a", more='tool = "x"\nagent = "y"'),), "exactly one of agent, tool and gate"),
        ((node("a", more='agent = "y"\ngate = "merge"'),), "exactly one of agent, tool and gate"),
        ((node("a", more='gate = "wave-through"'),), "node.0.gate:"),
        ((node("a", more='tool = "x"\nresources = { cpu = 0 }'),), "at least 1"),
        ((node("a", more='tool = "x"\nretries = -1'),), "node.0.retries:"),
        ((node("a", more='tool = "x"\ntimeout_s = 0'),), "node.0.timeout_s:"),
        ((node("a", more='tool = "x"\ncolour = 1'),), "node.0.colour: unknown field"),
        ((node("A b"),), "node.0.id:"),
        ((node("a#b"),), "node.0.id:"),
        ((), "node:"),
    ],
)
def test_mistakes_name_file_and_key(nodes: tuple[str, ...], said: str) -> None:
    """The author reads which file, which node and what is wrong."""
    with pytest.raises(ConfigError) as caught:
        flow(*nodes)
    assert "flows/docops.toml: " in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    "head",
    ['digest = "x"\n' + HEAD, 'name = "docops"\naccepts = []\n', 'name = "../up"\naccepts = ["x"]\n', "= 1"],
)
def test_a_wrong_head_is_refused(head: str) -> None:
    """A flow cannot bring its own digest, accept nothing, or have a name that is a path."""
    with pytest.raises(ConfigError, match=r"flows/docops\.toml"):
        flow(node("a"), head=head)


FLOWS = (
    accepting("docops", "docops", "docops.*"),
    accepting("tests", "test.*"),
    accepting("tests-too", "test.unit"),
)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (task("docops"), "docops"),
        (task("docops.title"), "docops"),
        (task("test.web"), "tests"),
        (task("anything", "tests"), "tests"),
        (task(None, "docops"), "docops"),
        (task("test.unit", "tests-too"), "tests-too"),
    ],
)
def test_routing(wanted: Task, name: str) -> None:
    """The flow that the task names, else the one that accepts its kind, in whatever order flows are found."""
    assert route_task(wanted, FLOWS).name == name
    assert route_task(wanted, reversed(FLOWS)).name == name


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (task("build"), "no flow accepts the kind 'build' (flows: docops, tests, tests-too)"),
        (task("docopsx"), "no flow accepts"),
        (task("docops", "gone"), "no flow is called 'gone'"),
        (task("test.unit"), "accepted by tests and tests-too"),
    ],
)
def test_what_cannot_be_routed_is_named(wanted: Task, said: str) -> None:
    """No flow, or more than one, is an error that names them; nothing is chosen by chance."""
    with pytest.raises(FlowError) as caught:
        route_task(wanted, FLOWS)
    assert said in caught.value.message


def test_without_flows_nothing_is_routed() -> None:
    """An empty folder of flows says so."""
    with pytest.raises(FlowError, match="flows: none"):
        route_task(task(), ())


def test_a_node_whose_glob_does_not_match_is_passed_over() -> None:
    """``when`` leaves a node out, and what needed it needs what it needed."""
    nodes = (
        FlowNode(id="a", tool="t"),
        FlowNode(id="b", tool="t", needs=("a",), when="docs/*.md"),
        FlowNode(id="c", tool="t", needs=("b",), when="*.md"),
        FlowNode(id="d", tool="t", needs=("b", "c")),
    )
    flow = Flow(name="f", accepts=("k",), node=nodes)
    assert flow.for_target("docs/x.md") == flow
    other = flow.for_target("notes/x.md")
    assert [(node.id, node.needs) for node in other.node] == [("a", ()), ("c", ("a",)), ("d", ("a", "c"))]
    assert [(n.id, n.needs) for n in flow.for_target("x.py").node] == [("a", ()), ("d", ("a",))]
    assert flow.for_target("x.py").sinks == ("d",)
