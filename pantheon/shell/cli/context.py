"""What every command shares: where it was started, the settings given as flags, and the common options.

A command looks like this::

    @click.command("status")
    @json_option
    @session_option
    def command(session: Session, as_json: bool) -> int | None: ...
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # pydantic is imported when a project is read, not for ``--help``
    from pantheon.shell.config import Project, UserPaths

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    start: Path
    """Folder given by ``-C``, else the current one."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Dotted key of the configuration -> text, from ``--set``."""
    command_line: tuple[str, ...] = ()
    """The words that this process was started with, for a command that starts it again; empty where it is not its
    own process."""

    def project(self, *, brought: bool = False) -> "Project":
        """Read the configuration around ``start``, and refuse a state that came with the repository.

        Args:
            brought: whether such a state is told of by the caller, and nothing of it opened.

        Raises:
            ConfigError: there is no project, or a wrong value.
            PreflightError: what only this machine's nights may have written is tracked.
        """
        from pantheon.shell.config import load_project

        project = load_project(self.start, self.overrides)
        if not brought:
            from pantheon.shell.brought_state import refuse_brought_state

            refuse_brought_state(project)
        return project

    def project_of_a_night(self) -> "Project":
        """Read the configuration around ``start`` to look at a night or order it: only the store may be opened.

        Raises:
            ConfigError: there is no project, or a wrong value.
            PreflightError: the state came with the repository, or from another user.
        """
        from pantheon.shell.brought_state import refuse_brought_store
        from pantheon.shell.cli.output import say

        project = self.project(brought=True)
        for problem in refuse_brought_store(project):
            say(f"warning: {problem}")
        return project

    def user_paths(self) -> "UserPaths":
        """Return the folders of this user that lie outside every project."""
        from pantheon.shell.config import find_user_paths

        return find_user_paths()


session_option = click.make_pass_decorator(Session)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON with stable keys.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def parse_settings(settings: Sequence[str]) -> Mapping[str, str]:
    """Return dotted key -> text of every ``KEY=VALUE``. Raises ``UsageError`` for anything else."""
    pairs = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--set {setting}: say KEY=VALUE")
        pairs[key] = value
    return pairs


def run_async(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a fresh event loop. An interrupt cancels it first."""
    import asyncio  # 20 ms that ``--help`` does not need

    return asyncio.run(main())
