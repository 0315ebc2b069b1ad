"""Contracts: JSON Schemas for what goes into an agent and what comes out."""

from collections.abc import Mapping
from typing import Any

import jsonschema
from pydantic import Field, model_validator

from pantheon.core.model import Frozen

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
# A reference could be fetched from a network or a file; and one to the schema's own root would miss its place
# when the schema becomes a part of a step's answer.
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "$schema", "$id"})


def schema_problems(schema: Mapping[str, Any], value: Any) -> tuple[str, ...]:
    """Return what is wrong with ``value``, one short sentence per problem, ordered by place."""
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return tuple(
        f"{'.'.join(str(part) for part in error.absolute_path) or 'the object'}: {error.message[:200]}"
        for error in sorted(found, key=lambda error: [str(part) for part in error.absolute_path])
    )


class Contract(Frozen):
    """A JSON Schema, itself checked when it is read."""

    schema_: Mapping[str, Any] = Field(default=ANY_OBJECT, alias="schema")

    @model_validator(mode="after")
    def _valid_schema(self) -> "Contract":
        if reference := _find_reference(self.schema_):
            raise ValueError(f"{reference}: a contract spells everything out and refers to nothing")
        try:
            jsonschema.Draft202012Validator.check_schema(self.schema_)
        except jsonschema.SchemaError as error:
            raise ValueError(f"not a JSON Schema: {error.message}") from error
        return self

    def problems(self, value: Any) -> tuple[str, ...]:
        """Return what is wrong with ``value``; empty when it fulfils the contract."""
        return schema_problems(self.schema_, value)


def _find_reference(schema: Any) -> str:
    """Return the first reference in a schema, as ``key: value``; empty when there is none."""
    open_values = [schema]
    while open_values:
        value = open_values.pop()
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in _REFERENCES and isinstance(item, str):
                    return f"{key}: {item[:100]}"
            open_values.extend(value.values())
        elif isinstance(value, list | tuple):
            open_values.extend(value)
    return ""
