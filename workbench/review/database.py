"""The SQLite file of a review session: its schema, and how it is opened.

Every operation has a connection of its own, so that nothing is held between two key presses and a
killed process leaves whole judgements behind. Several people may write at once: on a local disk by
way of SQLite's write-ahead log, which needs memory that all share; on a network file system, where
there is none, by its rollback journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.tracking.link import network_file_system

VERSION = 2
"""1: pairs of two systems alone."""
_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE meta (
    name TEXT NOT NULL,
    created REAL NOT NULL,
    owner TEXT NOT NULL,
    seed TEXT NOT NULL,
    form TEXT NOT NULL,
    systems TEXT NOT NULL,
    source TEXT NOT NULL,
    places INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    repeats REAL NOT NULL,
    locked REAL
);
CREATE TABLE items (
    key TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    messages TEXT NOT NULL,
    reference TEXT NOT NULL,
    outputs TEXT NOT NULL,
    scores TEXT NOT NULL
);
CREATE TABLE units (
    id INTEGER PRIMARY KEY,
    item TEXT NOT NULL REFERENCES items (key),
    systems TEXT NOT NULL,
    identical INTEGER NOT NULL
);
CREATE TABLE annotators (
    name TEXT PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE
);
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    annotator TEXT NOT NULL,
    unit INTEGER NOT NULL REFERENCES units (id),
    repeat INTEGER NOT NULL,
    adjudicates INTEGER NOT NULL,
    choice TEXT NOT NULL,
    ratings TEXT NOT NULL,
    reason TEXT NOT NULL,
    shown TEXT NOT NULL,
    note TEXT NOT NULL,
    flag INTEGER NOT NULL,
    seconds REAL,
    made REAL NOT NULL,
    undone REAL
);
CREATE INDEX judgements_of ON judgements (annotator, id);
CREATE TABLE unblindings (made REAL NOT NULL);
"""

_SET_ASIDE = """
ALTER TABLE meta RENAME TO meta_1;
ALTER TABLE items RENAME TO items_1;
ALTER TABLE judgements RENAME TO judgements_1;
ALTER TABLE unblindings RENAME TO unblindings_1;
"""
_TAKEN_OVER = """
INSERT INTO meta SELECT name, created, '', seed,
    '{"kind": "pairwise", "instructions": "", "criteria": [], "reasons": []}',
    systems, source, 0, 0, 0, NULL FROM meta_1;
INSERT INTO items SELECT key, position, prompt,
    json_array(json_object('role', 'user', 'content', prompt)), reference, outputs, '{}'
    FROM items_1;
INSERT INTO units SELECT position + 1, key, (SELECT systems FROM meta_1), identical FROM items_1;
INSERT INTO judgements SELECT j.id, j.annotator, i.position + 1, 0, 0, j.choice, '{}', '',
    json_array(j.left_system, (SELECT CASE json_extract(systems, '$[0]') WHEN j.left_system
        THEN json_extract(systems, '$[1]') ELSE json_extract(systems, '$[0]') END FROM meta_1)),
    j.note, 0, j.seconds, j.made, j.undone
    FROM judgements_1 j JOIN items_1 i ON i.key = j.item;
INSERT INTO unblindings SELECT made FROM unblindings_1;
DROP TABLE judgements_1;
DROP TABLE items_1;
DROP TABLE meta_1;
DROP TABLE unblindings_1
"""
"""A session of the first schema, where the item was what is judged."""


def build(path: Path) -> None:
    """Make an empty session file at `path`, with the journal that its disk allows."""
    with _explained(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal(path.parent)}")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def journal(folder: Path) -> str:
    """`WAL`, or `DELETE` (a rollback journal) on a network file system."""
    return "DELETE" if network_file_system(folder) else "WAL"


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
        version = _version(connection)
        if version == 1:
            version = _brought_up(connection)
        # A file that was copied to another kind of disk has the journal of the first.
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode == "wal" and journal(path.parent) != "WAL":
            connection.execute("PRAGMA journal_mode = DELETE")
    except (sqlite3.Error, WorkbenchError):
        connection.close()
        raise
    if version != VERSION:
        connection.close()
        raise WorkbenchError(
            f"{path} is not a review session of this workbench (version {version}, not {VERSION}).",
            "Open it with the workbench that made it." if version else "Remove it.",
        )
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _brought_up(connection: sqlite3.Connection) -> int:
    """A session of the first schema becomes one of this, whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it meanwhile.
    if _version(connection) == 1:
        for statement in (_SET_ASIDE + _SCHEMA + _TAKEN_OVER).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
    return _version(connection)


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
