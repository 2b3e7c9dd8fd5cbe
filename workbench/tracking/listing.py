"""All runs of a workspace at once, thousands of them in a fraction of a second.

Files are the truth: what was read of a run is kept for as long as nothing about its files has
changed, and read anew otherwise. It is kept in the process, and in `cache/runs.jsonl` for the
next one, which may be deleted at any time. Of each file inode, size and the time of its last
change count: the kernel sets that last one, and no program can set it back.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.files import write_text
from workbench.jobs.state import ENDED, NOT_STARTED, UNREADABLE, boot_id
from workbench.tracking import soundness, summary
from workbench.tracking.finding import ADAPTER, HALVES, MANIFEST, names
from workbench.tracking.notes import NOTES
from workbench.tracking.summary import RunSummary
from workbench.workspace import Workspace

CACHE = "runs.jsonl"
_V = 1
"""Of the cache file: raise it when what is read of a run means another thing."""
_LOOKED_AT = (
    MANIFEST,
    *HALVES,
    NOTES,
    summary.SWEEP,
    f"{ADAPTER}/adapter_config.json",
    summary.EVALUATIONS,
)
_OWN = 1 + len(_LOOKED_AT)
"""Parts of a stamp before those of evaluations."""
_APART = "/"
"""Between the parts of a stamp: no name has it."""
_SETTLED = 2.0
"""Seconds after a change until which a next one may bear the same time stamp."""
_ABSENT = "-"
_PARTS = 5
"""Of a line of the cache, between tabs: id, stamp, judge, summary, config."""


class Bases:
    """Which base models are on this machine: looked at once in each look at the runs, since no
    file of a run's says when its base goes."""

    def __init__(self) -> None:
        self._gone: dict[str, str] = {}

    def look_again(self) -> None:
        self._gone.clear()

    def gone(self, name: str) -> str:
        """That a base isn't here, in a sentence; empty where it is."""
        if name and name not in self._gone:
            self._gone[name] = soundness.base_gone(name)
        return self._gone.get(name, "")


class Line:
    """A run in the list. What isn't known yet is read when somebody asks for it."""

    __slots__ = (
        "_bases",
        "_config",
        "_config_text",
        "_root",
        "_summary",
        "_text",
        "alone",
        "id",
        "judge",
        "stamp",
    )

    def __init__(self, root: str, id: str, bases: Bases) -> None:
        self._root = root
        self._bases = bases
        self.alone = True
        """Whether what was read depends on the run's own files only."""
        self.id = id
        self.stamp = ""
        """What its files looked like when it was read; empty where that may be wrong by now."""
        self.judge = ""
        """Whose process table its state was told by; empty where its files alone tell it."""
        self._text = self._config_text = b""
        """As the cache has them."""
        self._summary: RunSummary | None = None
        self._config: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        return Path(self._root, self.id)

    @property
    def summary(self) -> RunSummary:
        """The run's line; no error is raised, whatever its files hold."""
        if self._summary is None:
            self._decode()
        if self._summary is None:
            self.read()
        assert self._summary is not None, "it was read"  # noqa: S101
        return self._summary

    @property
    def problems(self) -> list[str]:
        """What is wrong with its files, and that its base model isn't here, in sentences."""
        gone = self._bases.gone(self.summary.base)
        return [*self.summary.problems, gone] if gone else self.summary.problems

    def to_json(self) -> dict[str, Any]:
        """As its summary, with all of its problems."""
        return {**self.summary.to_json(), "problems": self.problems}

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as its manifest has it; empty where that can't be read."""
        if self._config is None:
            with suppress(ValueError):
                self._config = json.loads(self._config_text)
        if not isinstance(self._config, dict):
            self.read()
        return self._config or {}

    def read(self) -> RunSummary:
        """Read its files."""
        found = summary.read(self.folder)
        self._summary, self._config, self.alone = found.summary, found.config, found.alone
        self._text = self._config_text = b""
        self.stamp = ""
        return self._summary

    def keep(self, stamp: str, judge: str) -> None:
        """Know what it was read by."""
        self.stamp, self.judge = stamp, judge

    def take(self, stamp: bytes, judge: bytes, text: bytes, config: bytes) -> None:
        """Know what an earlier process has read."""
        self.keep(stamp.decode("ascii", "replace"), judge.decode("ascii", "replace"))
        self._text, self._config_text = text, config

    def is_lasting(self) -> bool:
        """Whether another process may take over what was read."""
        text = self.id + self.stamp + self.judge
        return bool(self.stamp) and text.isascii() and text.isprintable()

    def kept(self) -> bytes:
        """For the cache; without its line end."""
        text = self._text or _json(self.summary.to_json())
        config = self._config_text or _json(self.config)
        return b"\t".join(
            (self.id.encode(), self.stamp.encode(), self.judge.encode(), text, config)
        )

    def _decode(self) -> None:
        # Somebody else's text in the cache counts for nothing.
        with suppress(AttributeError, TypeError, ValueError):
            self._summary = RunSummary(**json.loads(self._text))


class Listing:
    """The runs of a workspace, looked at again and again."""

    def __init__(self, workspace: Workspace, *, cached: bool = True) -> None:
        """`cached`: what an earlier process has read may be used, and what this one reads is
        kept for the next."""
        self.workspace = workspace
        self.complete = False
        """Whether the last list is of all runs."""
        self._cached = cached
        self._bases = Bases()
        self._known: dict[str, Line] = {}
        self._loaded = not cached
        self._read: dict[bytes, bytes] = {}
        """Lines of the cache by id, as far as nobody has asked for them yet."""
        self._in_cache: set[str] = set()
        """Ids of those that the cache has as they are known."""

    def look(self) -> list[Line]:
        """Every run as it is now, the newest first; one whose files can't be read is `damaged`, or
        `newer`."""
        (*_, last) = self.looks()
        return last

    def looks(self, first: int = 0, every: int = 0) -> Iterator[list[Line]]:
        """As `look`, by and by: first the newest `first`, then what is there whenever `every` runs
        more had to be read, at last all. Zero: there is no such list before the last."""
        self._load()
        self._bases.look_again()
        self.complete = False
        found: list[Line] = []
        read = 0
        root = str(self.workspace.runs)
        for name in names(self.workspace):
            line, fresh = self._line(root, name)
            if line is None:
                continue
            found.append(line)
            read += fresh
            if len(found) == first or (every and read >= every):
                read = 0
                yield list(found)
        self._read.clear()
        here = {line.id for line in found}
        for gone in self._known.keys() - here:
            del self._known[gone]
        self.complete = True
        yield found

    def _line(self, root: str, name: str) -> tuple[Line | None, bool]:
        """A run's line, and whether its files had to be read; None where there is no run."""
        known = self._known.get(name) or self._from_cache(root, name)
        stamp, settled = _stamp(f"{root}/{name}", known.stamp if known is not None else "")
        if known is not None and known.stamp == stamp and known.judge in ("", _judge()):
            return known, False
        if not stamp:
            return None, False
        line = self._known[name] = Line(root, name, self._bases)
        judge = _judged_by(line.read().status)
        if settled and judge is not None and line.alone:
            # What was changed while it was read is read again.
            line.keep(stamp, judge)
        self._in_cache.discard(name)
        return line, True

    def _from_cache(self, root: str, name: str) -> Line | None:
        if not self._read or (text := self._read.pop(os.fsencode(name), None)) is None:
            return None
        parts = text.split(b"\t")
        if len(parts) != _PARTS:
            return None
        line = self._known[name] = Line(root, name, self._bases)
        line.take(*parts[1:])
        return line

    def _load(self) -> None:
        """Take over what an earlier process has read."""
        if self._loaded:
            return
        self._loaded = True
        try:
            head, *lines = (self.workspace.cache / CACHE).read_bytes().split(b"\n")
        except OSError:
            return
        if head != _head():
            return
        self._read = {text.partition(b"\t")[0]: text for text in lines}
        self._in_cache = {id.decode("ascii", "replace") for id in self._read if id}

    def save(self) -> None:
        """Keep what was read for the next process, if there is something new; where nothing can be
        written, nothing is kept. For when all runs were looked at."""
        if not self._cached:
            return
        lines = [line for line in self._known.values() if line.is_lasting()]
        if {line.id for line in lines} == self._in_cache:
            return
        # Decoding one may find that it has to be read.
        kept = [text for line in lines if (text := line.kept()) and line.stamp]
        with suppress(WorkbenchError):
            body = b"\n".join([_head(), *kept, b""])
            write_text(self.workspace.cache / CACHE, body.decode("ascii"))
            self._in_cache = {line.id for line in lines}


def list_runs(workspace: Workspace) -> list[RunSummary]:
    """The line of every run, the newest first; one whose files can't be read is `damaged`."""
    listing = Listing(workspace)
    lines = listing.look()
    listing.save()
    return [replace(line.summary, problems=line.problems) for line in lines]


def _head() -> bytes:
    return _json({"v": _V, "workbench": __version__, "fields": summary.FIELDS})


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _judged_by(status: str) -> str | None:
    """Who may tell a run's state by the word that was told: everybody (empty), who sees the same
    processes, or, of what goes on or can't be read, nobody."""
    if status == "dead":
        return _judge()
    lasting = status in ENDED and status not in UNREADABLE
    return "" if lasting or status == NOT_STARTED else None


_JUDGES: list[str] = []


def _judge() -> str:
    """What names the processes that this one sees."""
    if not _JUDGES:
        space = ""
        with suppress(OSError):
            space = str(Path("/proc/self/ns/pid").readlink())
        _JUDGES.append(f"{socket.gethostname()} {boot_id()} {space}")
    return _JUDGES[0]


def _stamp(folder: str, known: str) -> tuple[str, bool]:
    """What changes when a run's files do, and whether a change from now on surely changes it;
    empty where there is no run.

    `known` is that of before: in a folder that is as it was there are the names that there were.
    """
    before = known.split(_APART)
    seen = [_mark(folder)]
    same = before[0] == seen[0] and len(before) >= _OWN
    for place, name in enumerate(_LOOKED_AT, 1):
        absent = same and before[place] == _ABSENT and "/" not in name
        seen.append(_ABSENT if absent else _mark(f"{folder}/{name}"))
    if all(mark == _ABSENT for mark in seen[1 : 2 + len(HALVES)]):
        return "", False  # neither a manifest, nor what a half-written run has
    if seen[-1] != _ABSENT:
        evaluations = f"{folder}/{summary.EVALUATIONS}"
        if same and before[_OWN - 1] == seen[-1]:
            found = [part.partition("=")[2] for part in before[_OWN:]]
        else:
            found = _names(evaluations)
        seen += [f"{_result(f'{evaluations}/{name}')}={name}" for name in found]
    stamp = _APART.join(seen)
    return stamp, stamp == known or _newest(seen) < (time.time() - _SETTLED) * 1e9


def _result(evaluation: str) -> str:
    """What an evaluation's result looks like; one has either of two."""
    mark = _mark(f"{evaluation}/{summary.SCORES}")
    return _mark(f"{evaluation}/{summary.HARNESS}") if mark == _ABSENT else mark


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  thousands of them
    except OSError:
        return []


def _newest(marks: list[str]) -> int:
    return max(int(mark.partition(".")[0], 16) for mark in marks if mark[0] != _ABSENT)


def _mark(path: str) -> str:
    """What a file or a folder looks like."""
    try:
        seen = os.stat(path)  # noqa: PTH116  thousands of them
    except OSError:
        return _ABSENT
    return f"{seen.st_ctime_ns:x}.{seen.st_size:x}.{seen.st_ino:x}"
