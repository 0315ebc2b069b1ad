"""One way to turn a pydantic error into lines for people."""

from pydantic import ValidationError

Location = tuple[str | int, ...]
"""Keys and places from the top down to a value; empty for the value as a whole."""


def explain(error: ValidationError) -> tuple[str, ...]:
    """Return one ``field: what is wrong`` per problem; nested fields are joined by dots."""
    return tuple(f"{dotted(place) or 'value'}: {message}" for place, message in faults(error))


def faults(error: ValidationError) -> tuple[tuple[Location, str], ...]:
    """Return (where, what is wrong) per problem."""
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        message = problem["msg"].removeprefix("Value error, ")
        found.append((problem["loc"], "unknown field" if problem["type"] == "extra_forbidden" else message))
    return tuple(found)


def dotted(place: Location) -> str:
    """Return a location as text: ``budget.max_steps``, ``targets.0``."""
    return ".".join(str(part) for part in place)
