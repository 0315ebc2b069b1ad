"""The registry of tools: typed arguments in, bounded results out, everything else refused.

A tool is synchronous, deterministic, idempotent and bounded; it touches nothing but the work tree it is given.
The engine calls it in a thread, inside its time limit. Writing tools return their arguments spelled out, so that
the same call can be replayed on another commit.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import Field, ValidationError

from pantheon.core.errors import ConfigError, ToolError
from pantheon.core.model import Frozen
from pantheon.core.task import Task
from pantheon.core.validation import explain
from pantheon.ports.worktree import TreeFiles

CUT = "\n[cut]"


@dataclass(frozen=True)
class ToolContext:
    """What a tool gets to see."""

    files: TreeFiles
    """The work tree."""
    task: Task
    """Whose targets bound what may be written."""
    tree_paths: tuple[str, ...] = ()
    """All files of the tree when the node began, sorted."""
    prompt_texts: tuple[str, ...] = ()
    """What the model was shown besides the target, to recognise an echo."""


class ToolResult(Frozen):
    """What a tool gives back."""

    text: str
    """For the model; cut at the tool's ceiling."""
    data: Mapping[str, Any] = Field(default_factory=dict)
    """For the orchestrator; ``args`` holds the spelled-out arguments of a writing call."""
    changed: tuple[str, ...] = ()
    """Paths that were created, changed or removed."""


@dataclass(frozen=True)
class Tool:
    """One tool."""

    name: str
    description: str
    """One sentence for the model."""
    arguments: type[Frozen]
    example: Mapping[str, Any]
    """Valid arguments."""
    call: Callable[[Any, ToolContext], ToolResult]
    """Takes validated arguments."""
    writes: bool = False
    timeout_s: float = 30.0
    max_output_chars: int = 8_000

    @cached_property
    def card(self) -> str:
        """What tells a model about it: what for, which arguments, one example. Made once: each prompt has it."""
        properties = self.arguments.model_json_schema()["properties"]
        args = ", ".join(f"{key}: {_type_name(schema)}" for key, schema in properties.items())
        example = json.dumps({"tool": self.name, "args": dict(self.example)}, ensure_ascii=False)
        return f"{self.name}({args}): {self.description}\nExample: {example}"

    @cached_property
    def args_schema(self) -> Mapping[str, Any]:
        """JSON Schema of its arguments, without references, for constrained decoding. Made once: nobody changes it."""
        schema = self.arguments.model_json_schema()
        inlined: Mapping[str, Any] = _inlined(schema, schema.get("$defs", {}))
        return inlined


@dataclass(frozen=True)
class Registry:
    """Tools by name.

    Args:
        tools: the tools; each example must be valid.
    """

    tools: Iterable[Tool]
    _by_name: dict[str, Tool] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for tool in self.tools:
            if tool.name in self._by_name:
                raise ConfigError(f"two tools are called {tool.name!r}")
            tool.arguments.model_validate(dict(tool.example))
            self._by_name[tool.name] = tool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tools, sorted."""
        return tuple(sorted(self._by_name))

    def get(self, name: str) -> Tool:
        """Return a tool. Raises ``ConfigError`` naming the known ones."""
        if name not in self._by_name:
            raise ConfigError(f"no tool is called {name!r} (tools: {', '.join(self.names)})")
        return self._by_name[name]

    def call(self, name: str, args: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Validate arguments and call a tool.

        Raises:
            ToolError: arguments that are not the tool's, or work that cannot be done; the message is short and
                exact, fit to go back to the model.
        """
        tool = self.get(name)
        try:
            json.dumps(args, ensure_ascii=False).encode()
            arguments = tool.arguments.model_validate(dict(args))
        except ValidationError as error:
            raise ToolError(f"{name}: " + "; ".join(explain(error)[:4])) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolError(f"{name}: the arguments are not plain JSON text") from error
        result = tool.call(arguments, context)
        if len(result.text) > tool.max_output_chars:
            result = result.model_copy(update={"text": result.text[: tool.max_output_chars] + CUT})
        return result


def require_target(path: str, context: ToolContext) -> None:
    """Refuse to write to a file that is not the task's. Raises ``ToolError``."""
    if path not in context.task.targets:
        raise ToolError(f"{path[:200]}: not a target of this task")


def _type_name(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type_name(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return str(schema.get("type", "value"))


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    dropped = {"$defs", "title", "description", "default"}
    return {
        key: {name: _inlined(item, definitions) for name, item in value.items()}
        if key == "properties"
        else _inlined(value, definitions)
        for key, value in schema.items()
        if key not in dropped
    }
