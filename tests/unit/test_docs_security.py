"""The page about security names tests that exist, and every attack has its row."""

import ast
import re
from pathlib import Path

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKS = TOP / "tests" / "attacks"


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_named_test_exists() -> None:
    """A promise whose test was renamed or deleted is none."""
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) >= 25
    for file, test in named:
        assert test in names_in(ATTACKS / file), f"{file}::{test}"


def test_every_attack_has_its_row_and_every_row_its_attack() -> None:
    """The table and the folder hold the same files."""
    told = set(
        re.findall(r"`(test_\w+\.py)`", PAGE.partition("## The table")[2].partition("## What is promised")[0])
    )
    there = {path.name for path in ATTACKS.glob("test_*.py")}
    assert told <= there, "a row of docs/security.md names a file that is not there"
    assert there <= told, "give the file a row in the table of docs/security.md"


def test_every_promise_names_its_tests() -> None:
    """Each numbered promise ends in at least one test."""
    promises = re.split(
        r"\n(?=\d+\. \*\*)", PAGE.partition("## What is promised")[2].partition("## What is not")[0]
    )[1:]
    assert len(promises) >= 10
    assert all("::test_" in promise for promise in promises)


def test_the_policy_says_how_to_report() -> None:
    """And leads to the promises."""
    text = (TOP / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/security.md" in text and "Reporting" in text and "Supported versions" in text


LEDGER = (TOP / "docs" / "attacks.md").read_text(encoding="utf-8")


def rows_of_attacks() -> list[list[str]]:
    """Return the cells of each numbered row of the ledger of attacks."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in LEDGER.splitlines()
        if re.match(r"\| \d+ \|", line)
    ]


def test_the_ledger_of_attacks_is_whole() -> None:
    """Forty rows in order, each with what stops it and at least one test that denies it."""
    rows = rows_of_attacks()
    assert [row[0] for row in rows] == [str(number) for number in range(1, 41)]
    for row in rows:
        assert len(row) == 5 and all((row[1], row[2])) and "::test_" in row[4], row[0]


def test_every_test_of_the_ledger_exists_and_has_a_control() -> None:
    """A test that was renamed or deleted is found, and a row without a control names tests that begin with one."""
    for row in rows_of_attacks():
        for file, test in re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[3] + row[4]):
            assert test in names_in(ATTACKS / file), f"attack {row[0]}: {file}::{test}"
        assert re.sub(r"`test_\w+\.py::test_\w+`|, ", "", row[3] + row[4]) == "", (
            f"attack {row[0]} names something else"
        )
