"""Paths that no change of a night may touch: what decides whether a change is good is not for the change to edit."""

from collections.abc import Iterable, Sequence

from pathspec import GitIgnoreSpec

PROTECTED = (
    "conftest.py", "test_*.py", "*_test.py", "/tests/", "pytest.ini", "tox.ini", "noxfile.py",
    "/.github/", "/.gitlab/", "/.gitlab-ci.yml", "/.circleci/", "/.ci/", "Jenkinsfile", "azure-pipelines.yml",
    "Makefile", "makefile", "GNUmakefile", "*.mk", ".pre-commit-config.yaml",
    "setup.py", "setup.cfg", "pyproject.toml", "sitecustomize.py", "usercustomize.py", "*.pth", "*.pyc",
    ".gitattributes", ".gitmodules", ".gitignore", ".mailmap",
    "/pantheon.toml", "/agents/", "/flows/", "/policies/", "/queue/", "/artifacts/",
)  # fmt: skip
"""Patterns as in ``.gitignore``: tests, what starts them, git's own files, and Pantheon's."""


def check_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns. Raises ``ValueError`` when one is none."""
    GitIgnoreSpec.from_lines(patterns)
    return tuple(patterns)


def find_protected(paths: Iterable[str], patterns: Sequence[str]) -> str | None:
    """Return the first path that a pattern names, None when none does.

    Args:
        paths: relative POSIX paths.
        patterns: as in ``.gitignore``; the last one that matches decides.
    """
    spec = GitIgnoreSpec.from_lines(patterns)
    return next((path for path in paths if spec.match_file(path)), None)
