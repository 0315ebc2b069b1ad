"""The documentation holds together: links lead somewhere, decisions have no gaps, tables name what exists."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pantheon.core.agent import AgentSpec
from pantheon.core.errors import PantheonError
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.loop import LoopOutcome
from pantheon.core.policy import GatePolicy
from pantheon.core.records import TaskOutcome
from pantheon.engine.checks import CHECKS

TOP = Path(__file__).parents[2]
PAGES = (TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md")))
DECISIONS = sorted((TOP / "docs" / "adr").glob("*.md"))
LINK = re.compile(r"\]\(([^) ]+)\)")


def prose(path: Path) -> str:
    """Return a page without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def first_cells(page: str, head: str) -> set[str]:
    """Return the words in code marks of the first column of the table that begins with ``head``."""
    _, found, table = (TOP / page).read_text(encoding="utf-8").partition(f"\n{head}")
    assert found, f"{page} has no table {head!r}"
    rows = table.split("\n\n")[0].splitlines()[1:]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link of a page leads to a file of this repository, and to a heading that it has."""
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(TOP), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_leads_to_every_page() -> None:
    """No page and no decision is left out of the index."""
    linked = set(LINK.findall((TOP / "docs" / "index.md").read_text(encoding="utf-8")))
    wanted = {str(page.relative_to(TOP / "docs")) for page in (TOP / "docs").rglob("*.md")} - {"index.md"}
    assert wanted <= linked


def test_decisions_have_no_gaps_and_say_what_was_weighed() -> None:
    """Decisions count up from 1, and each has a status, a date, options, a decision and consequences."""
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. "), path.name
        for part in (
            "- Status: ",
            "- Date: ",
            "## Options",
            "## Decision",
            "## Consequences",
            "Good: ",
            "Bad: ",
        ):
            assert part in text, f"{path.name} has no {part!r}"


def families(of: type[PantheonError] = PantheonError) -> Iterator[type[PantheonError]]:
    """Yield every class of the tree of errors."""
    yield of
    for kind in of.__subclasses__():
        yield from families(kind)


def test_exit_codes_are_explained() -> None:
    """Each code that an error or a night can end with is in the README's table."""
    text = (TOP / "README.md").read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}
    assert {kind.exit_code for kind in families()} | {0, 1, 5, 6, 130} == told


def keys(model: type[Flow | FlowNode | GatePolicy | AgentSpec]) -> set[str]:
    """Return the fields of a declarative model."""
    return set(model.model_fields)


def test_tables_name_what_the_code_has() -> None:
    """Checks, outcomes, ends of a loop, and keys of files are told as they are in the code."""
    told: Mapping[str, tuple[set[str], set[str]]] = {
        "checks": (first_cells("docs/gate.md", "| check |"), set(CHECKS)),
        "policy": (first_cells("docs/gate.md", "| key of `policies/gate.toml`"), keys(GatePolicy)),
        "outcomes": (first_cells("docs/night.md", "| outcome |"), set(TaskOutcome)),
        "loop": (first_cells("docs/agents.md", "| ended |"), set(LoopOutcome)),
    }  # fmt: skip
    for name, (page, code) in told.items():
        assert page == code, name
    nodes = first_cells("docs/flows.md", "| key of a node |")
    assert nodes <= keys(FlowNode)
    assert keys(FlowNode) <= nodes


def test_the_shipped_flow_is_the_one_that_is_explained() -> None:
    """The page about flows has a row for each node of docops, in its order."""
    with (TOP / "flows" / "docops.toml").open("rb") as file:
        ids = [node["id"] for node in tomllib.load(file)["node"]]
    page = (TOP / "docs" / "flows.md").read_text(encoding="utf-8").partition("| node | what it does")[2]
    told = [
        word
        for row in page.splitlines()
        for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])
        if row[:3] == "| `"
    ]
    assert told == ids
