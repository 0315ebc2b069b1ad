"""What a night's wiring refuses before anything is started."""

from dataclasses import replace

import pytest

from pantheon.adapters.content import load_folders, load_texts, shipped_content
from pantheon.core.agent import load_agent
from pantheon.core.errors import ConfigError
from pantheon.core.flow import Flow, FlowNode, load_flow
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.suite import SuitePolicy
from pantheon.engine.services import Content
from pantheon.shell.night_wiring import check_references
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

SLOTS = {"model": 1, "cpu": 2, "git": 1}


def shipped() -> Content:
    """The shipped agents and flows."""
    top = shipped_content()
    agents = {name: load_agent(name, files) for name, files in load_folders(top / "agents").items()}
    flows = [load_flow(name, data) for name, data in load_texts(top / "flows", "*.toml").items()]
    return Content(agents, {f.name: f for f in flows}, GatePolicy(), NightPolicy(), {})


def altered(**changes: object) -> Content:
    """The shipped flow with its check node changed."""
    content = shipped()
    flow = content.flows["docops"]
    nodes = tuple(n.model_copy(update=changes) if n.gate == "check" else n for n in flow.node)
    return replace(content, flows={"docops": flow.model_copy(update={"node": nodes})})


def test_the_shipped_content_is_whole() -> None:
    """Every name in the shipped flows and agents exists."""
    check_references(shipped(), Registry(NOTE_TOOLS), SLOTS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (altered(args={"checks": ["scope", "spelling"]}), "no check is called 'spelling'"),
        (altered(resources={"cpu": 3}), "needs 3 of 'cpu'"),
        (altered(gate=None, tool="fly"), "no tool is called 'fly'"),
        (altered(gate=None, agent="nobody"), "no agent is called 'nobody'"),
        (altered(gate=None, tool="read_note"), "a decision needs a node with gate = 'check'"),
    ],
)
def test_what_does_not_exist_is_named(content: Content, said: str) -> None:
    """A name that leads nowhere, and a node that could never start, are refused before the night."""
    with pytest.raises(ConfigError, match=said):
        check_references(content, Registry(NOTE_TOOLS), SLOTS)


def test_a_merge_has_time_for_the_tests() -> None:
    """A merge node that could never run the tests twice is refused; without tests it may be short."""
    content = shipped()
    flow = content.flows["docops"]
    nodes = tuple(
        node.model_copy(update={"timeout_s": 100}) if node.gate == "merge" else node for node in flow.node
    )
    tested = FlowNode(id="tests", gate="test", needs=("checks",))
    tests = SuitePolicy(command=("t",), report="tap", wall_s=60)

    def check(*more: FlowNode) -> None:
        flows = {"docops": flow.model_copy(update={"node": (*nodes, *more)})}
        policy = GatePolicy(tests=tests)
        check_references(replace(content, flows=flows, gate_policy=policy), Registry(NOTE_TOOLS), SLOTS)

    check()
    with pytest.raises(ConfigError, match=r"node 'merge': timeout_s = 100: .* 120 s"):
        check(tested)


def test_a_merge_needs_a_decision() -> None:
    """A flow that could land a change nobody decided on is refused."""
    content = shipped()
    flow: Flow = content.flows["docops"]
    nodes = tuple(node for node in flow.node if node.gate != "decide")
    with pytest.raises(ConfigError, match="gate = 'decide'"):
        check_references(
            replace(content, flows={"docops": flow.model_copy(update={"node": nodes})}),
            Registry(NOTE_TOOLS),
            SLOTS,
        )
