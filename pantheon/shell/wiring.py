"""The only place that names adapters: it builds what commands and nights work with.

Every function imports what it builds when it is called, so that a quick command stays quick.
"""

from collections.abc import Mapping
from pathlib import Path

from pantheon.adapters.git.listing import ListedFile
from pantheon.adapters.layout import PlacedFile
from pantheon.shell.config import FILE, Folders, Project, load_project


def initial_files(folders: Folders) -> Mapping[str, bytes]:
    """Return what ``pantheon init`` lays out: relative path -> content.

    Args:
        folders: where the repository wants its content.

    Raises:
        ConfigError: the shipped content cannot be read.
    """
    from importlib.resources import files

    from pantheon.adapters.content import ROOMS, load_texts, shipped_content

    laid: dict[str, bytes] = {FILE: files("pantheon.shell").joinpath("content", FILE).read_bytes()}
    for room in ROOMS:
        target = getattr(folders, room)
        for path, data in load_texts(shipped_content() / room).items():
            laid[f"{target}/{path}"] = data
    everything = b"*\n"
    laid[f"{folders.artifacts}/.gitignore"] = everything
    laid[f"{folders.state}/.gitignore"] = everything
    return laid


def lay_out_repository(
    start: Path, overrides: Mapping[str, str], *, dry_run: bool
) -> tuple[Path, tuple[PlacedFile, ...]]:
    """Lay out the repository around ``start``; returns its top folder and what became of each file.

    Raises:
        GitError: ``start`` is in no repository.
        ConfigError: the existing configuration is wrong, or something is in the way.
    """
    from pantheon.adapters.git.listing import find_work_tree
    from pantheon.adapters.layout import lay_out, make_folders

    root = find_work_tree(start)
    configured = (root / FILE).is_file()
    folders = load_project(root, overrides).config.folders if configured else Folders()
    files = dict(initial_files(folders))
    if configured:
        # The owner is meant to edit this one: however it looks, it is the right one.
        files[FILE] = (root / FILE).read_bytes()
    if not dry_run:
        make_folders(root, {folders.queue: 0o755, folders.artifacts: 0o755, folders.state: 0o700})
    return root, lay_out(root, files, dry_run=dry_run)


def list_project_files(project: Project) -> tuple[ListedFile, ...]:
    """Return the files that git tracks or would track. Raises ``GitError``."""
    from pantheon.adapters.git.listing import list_work_tree

    return list_work_tree(project.root)
