"""Contracts: checked when they are read, and closed against everything outside themselves."""

from typing import Any

import pytest
from pydantic import ValidationError

from pantheon.core.contract import Contract


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}},
        {"allOf": [{"items": {"$dynamicRef": "#x"}}]},
        {"$schema": "http://127.0.0.1:9/meta.json"},
    ],
)
def test_references_are_refused(schema: dict[str, Any]) -> None:
    """A contract cannot make the validator open a file or a connection."""
    with pytest.raises(ValidationError, match="refers to nothing"):
        Contract(schema=schema)


def test_a_property_may_have_any_name() -> None:
    """A property that is called like a reference is no reference."""
    contract = Contract(schema={"properties": {"$ref": {"type": "integer"}}})
    assert contract.problems({"$ref": "x"})
    assert not contract.problems({"$ref": 1})


@pytest.mark.parametrize("schema", [{"type": "text"}, {"minLength": -1}, {"required": "title"}])
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    """A wrong schema is found when it is read, not when the first answer comes."""
    with pytest.raises(ValidationError, match="not a JSON Schema"):
        Contract(schema=schema)


def test_problems_are_ordered_and_name_their_place() -> None:
    """What is wrong comes in order of place, whatever order the validator finds it in."""
    contract = Contract(
        schema={
            "required": ["z"],
            "properties": {"b": {"type": "integer"}, "a": {"items": {"type": "string"}}},
        }
    )
    found = contract.problems({"b": "x", "a": ["y", 1]})
    assert [line.partition(":")[0] for line in found] == ["the object", "a.1", "b"]
