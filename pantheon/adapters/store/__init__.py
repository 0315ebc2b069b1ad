"""The SQLite store: ``open_store`` for its data, ``hold_night`` for the right to run nights over it."""

from pantheon.adapters.store.night_lock import hold_night, night_holder
from pantheon.adapters.store.sqlite_store import SqliteStore, open_store

__all__ = ["SqliteStore", "hold_night", "night_holder", "open_store"]
