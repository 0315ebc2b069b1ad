"""Pantheon: the night shift for a repository. Importing it has no side effects."""

__version__ = "0.1.0"
