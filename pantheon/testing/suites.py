"""What tests of suites share: reports that say what they are told, a flow with a test node, and runs kept in memory."""

from pantheon.core.flow import Flow, FlowNode
from pantheon.core.sandbox import SandboxResult


def tap(**tests: bool) -> SandboxResult:
    """Return a run whose report says which tests pass."""
    lines = [
        f"{'ok' if passed else 'not ok'} {place} - {name}"
        for place, (name, passed) in enumerate(tests.items(), 1)
    ]
    text = "\n".join([f"1..{len(lines)}", *lines])
    return SandboxResult(returncode=0 if all(tests.values()) else 1, stdout=text.encode(), duration_s=0.1)


def with_tests(flow: Flow) -> Flow:
    """Return the flow with a test node between the checks and the reviewers."""
    nodes = []
    for node in flow.node:
        if "checks" in node.needs:
            node = node.model_copy(update={"needs": (*node.needs, "tests")})
        nodes.append(node)
        if node.id == "checks":
            nodes.append(FlowNode(id="tests", gate="test", needs=("checks",), resources={"cpu": 1}))
    return flow.model_copy(update={"node": tuple(nodes)})


class KeptInMemory:
    """``ports.base_runs.BaseRuns`` in memory."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.found.get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.found[key] = data
