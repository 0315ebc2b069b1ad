"""One way to turn a pydantic error into lines for people."""

from pydantic import ValidationError


def explain(error: ValidationError) -> tuple[str, ...]:
    """Return one ``field: what is wrong`` per problem; nested fields are joined by dots."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in problem["loc"]) or "value"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown field"
        lines.append(f"{field}: {message}")
    return tuple(lines)
