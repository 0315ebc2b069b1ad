"""Resolve ``$target``, ``$goal``, ``$input.NAME`` and ``$output.NAME`` in declared tool arguments."""

from collections.abc import Mapping
from typing import Any

from pantheon.core.errors import ConfigError
from pantheon.core.task import Task


def resolve_args(
    args: Mapping[str, Any], task: Task, output: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``args`` with every string that is a reference replaced by what it names.

    Only whole strings are references: nothing is spliced into text.

    Raises:
        ConfigError: a reference names nothing that this task or output has.
    """
    return {key: _resolve(value, task, output) for key, value in args.items()}


def _resolve(value: Any, task: Task, output: Mapping[str, Any] | None) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    root, _, name = value[1:].partition(".")
    if root == "target" and not name:
        if not task.targets:
            raise ConfigError(f"task {task.id}: {value} is used, but the task has no targets")
        return task.targets[0]
    if root == "goal" and not name:
        return task.goal
    source = {"input": task.inputs, "output": output}.get(root)
    if source is None or name not in source:
        raise ConfigError(f"task {task.id}: {value} names nothing")
    return source[name]
