"""The SQLite file of a review session: its schema, and how it is opened.

Every operation has a connection of its own, so that nothing is held between two key
presses and a killed process leaves whole judgements behind. Several people may write at
once from the same machine; SQLite's write-ahead log needs shared memory, so not from
two machines over a network file system.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from workbench.errors import WorkbenchError

VERSION = 1
_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE meta (
    name TEXT NOT NULL,
    created REAL NOT NULL,
    seed TEXT NOT NULL,
    systems TEXT NOT NULL,
    source TEXT NOT NULL
);
CREATE TABLE items (
    key TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    reference TEXT NOT NULL,
    outputs TEXT NOT NULL,
    identical INTEGER NOT NULL
);
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    annotator TEXT NOT NULL,
    item TEXT NOT NULL REFERENCES items (key),
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'tie', 'skip')),
    left_system TEXT NOT NULL,
    winner TEXT,
    note TEXT NOT NULL,
    seconds REAL,
    made REAL NOT NULL,
    undone REAL
);
CREATE TABLE unblindings (made REAL NOT NULL);
"""


def build(path: Path) -> None:
    """Make an empty session file at `path`, in write-ahead mode."""
    with _explained(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for queries. Raises WorkbenchError when it is no session file."""
    with _explained(path), closing(_open(path)) as connection:
        yield connection


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection within one transaction: all of the changes inside, on disk, or none."""
    with reading(path) as connection:
        # IMMEDIATE: wait for other writers now, so that what is read here still holds.
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    try:
        # FULL: a judgement outlives a power cut too, not only the process; 0.4 ms each.
        connection.execute("PRAGMA synchronous = FULL")
        connection.row_factory = sqlite3.Row
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error:
        connection.close()
        raise
    if version != VERSION:
        connection.close()
        raise WorkbenchError(
            f"{path} is not a review session of this workbench (version {version}, not {VERSION}).",
            "Open it with the workbench that made it." if version else "Remove it.",
        )
    return connection


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors in words."""
    try:
        yield
    except sqlite3.Error as error:
        hint = _HINTS.get(getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_"), "")
        raise WorkbenchError(f"Could not use {path}: {error}.", hint) from error


_HINTS = {
    "BUSY": "Someone else is writing to it; try again.",
    "FULL": "Free some space, then judge again.",
    "READONLY": "Check who owns the file and its folder.",
    "CANTOPEN": "Check the path, and who owns the file and its folder.",
    "NOTADB": "It is damaged or no review session; remove it or put a copy back.",
    "CORRUPT": "It is damaged; put a copy back.",
}
