"""What a person decides about rows, kept as it is decided: `datasets/NAME/VERSION/draft.jsonl`.

The version itself never changes. Rows that are to go and rows that were rewritten wait here,
a line each, until another version is made of them all; the last one can be taken back.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench.data import editing
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

DRAFT = "draft.jsonl"
Do = Literal["keep", "remove", "edit"]
_DECISIONS = ("keep", "remove", "edit")
_UNDO, _WRITTEN = "undo", "written"
_SESSION = secrets.token_hex(4)
"""Stands before the keys of what this process decides."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a row."""

    do: Do
    row: int
    """From 0."""
    id: str
    check: str = ""
    """The check whose finding it is about; empty where a person came to it without one."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What an edit puts in place of the row."""
    key: str = ""
    """What undoes it, and what a version was made of, names it by."""

    @property
    def own(self) -> bool:
        """Whether this process decided so."""
        return self.key.startswith(_SESSION)

    def to_json(self) -> dict[str, Any]:
        """With the row counted from 1, as people do."""
        body: dict[str, Any] = {"do": self.do, "row": self.row + 1, "id": self.id}
        if self.check:
            body["check"] = self.check
        if self.fields:
            body["fields"] = self.fields
        return body


class Draft:
    """The decisions about the rows of one version. Several processes may decide at once."""

    def __init__(self, folder: Path) -> None:
        """Those in a version's folder. Raises WorkbenchError for a file that was changed by
        hand."""
        self.path = folder / DRAFT
        self._size = -1
        self._read(_lines(self.path))

    def refresh(self) -> bool:
        """Take in what other processes have decided; whether there is something."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size == self._size:
            return False
        self._read(_lines(self.path))
        return True

    def _read(self, lines: Iterator[dict[str, Any]]) -> None:
        self._kept: set[tuple[str, str]] = set()
        """Checks and ids of rows that stay all the same."""
        waiting: dict[str, Decision] = {}
        for number, line in enumerate(lines):
            if line["do"] == _UNDO:
                waiting.pop(line.get("of") or next(reversed(waiting), ""), None)
            elif line["do"] == _WRITTEN:
                done = [waiting.pop(key, None) for key in line.get("of", list(waiting))]
                self._kept |= {(d.check, d.id) for d in done if d is not None and d.do == "keep"}
            else:
                row = {name: line[name] for name in ("do", "id", "check", "fields") if name in line}
                key = line.get("key", str(number))
                waiting[key] = Decision(row=line["row"] - 1, key=key, **row)
        self.waiting = list(waiting.values())
        """Those that no version was made of yet, in order."""
        self._size = self.path.stat().st_size if self.path.exists() else -1
        self._fold()

    def _fold(self) -> None:
        self.removed: dict[int, Decision] = {}
        """Rows that are to go."""
        self.edited: dict[int, Decision] = {}
        """Rows that are to be others."""
        self.kept: set[tuple[str, str]] = set(self._kept)
        """Checks and ids of rows that a person looked at, and that stay."""
        for decision in self.waiting:
            if decision.do == "remove":
                self.removed[decision.row] = decision
                continue
            self.removed.pop(decision.row, None)
            if decision.do == "edit":
                self.edited[decision.row] = decision
            else:
                self.kept.add((decision.check, decision.id))

    def __len__(self) -> int:
        """Rows that another version would have otherwise, or not at all."""
        return len(self.removed.keys() | self.edited.keys())

    def state_of(self, row: int) -> str:
        """`remove`, `edit` or nothing."""
        return "remove" if row in self.removed else "edit" if row in self.edited else ""

    def decide(
        self, do: Do, row: int, example: Example, check: str = "", fields: Any = None
    ) -> None:
        """Write down what is to become of row `row`, from 0, of which `example` is what the
        version has. Raises WorkbenchError when it can't be written."""
        key = f"{_SESSION}-{secrets.token_hex(4)}"
        decision = Decision(do, row, example.id, check, fields or {}, key)
        self._append({**decision.to_json(), "key": key})

    def undo(self) -> Decision | None:
        """Take a decision back, and return it: the last that this process made, else the last of
        all; None where there is none."""
        self.refresh()
        own = [decision for decision in self.waiting if decision.own]
        last = next(reversed(own or self.waiting), None)
        if last is not None:
            self._append({"do": _UNDO, "of": last.key})
        return last

    def written(self, reference: str, keys: Collection[str]) -> None:
        """Note that another version was made of the decisions that have these keys."""
        self._append({"do": _WRITTEN, "version": reference, "of": list(keys)})

    def _append(self, body: dict[str, Any]) -> None:
        line = json.dumps({"t": round(time.time(), 3), **body}, ensure_ascii=False) + "\n"
        try:
            with self.path.open("ab+") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                stream.seek(0)
                # Half a line, left by a crash, would spoil the one after it.
                stream.truncate(stream.read().rfind(b"\n") + 1)
                stream.write(line.encode("utf-8", "surrogatepass"))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error
        self._read(_lines(self.path))


def kept_in(folder: Path) -> set[tuple[str, str]]:
    """Checks and ids of rows that a person let stay, in any version of the dataset in `folder`:
    who has decided once isn't asked again in the next version."""
    drafts = folder.glob(f"[!.]*/{DRAFT}")
    return {kept for path in drafts for kept in Draft(path.parent).kept}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The decisions of a file; half a line at its end is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            body = json.loads(line)
            if body["do"] not in (_UNDO, _WRITTEN):
                _check(body)
        except (ValueError, KeyError, TypeError, WorkbenchError) as error:
            raise WorkbenchError(
                f"{path}:{number} is no decision about a row.",
                "It was changed by hand: mend the line, or remove the file with all decisions.",
            ) from error
        yield body


def _check(body: dict[str, Any]) -> None:
    """Raises one of several errors for what is no decision."""
    if body["do"] not in _DECISIONS or type(body["row"]) is not int or body["row"] < 1:
        raise ValueError
    if not all(isinstance(body.get(name, ""), str) for name in ("id", "check", "key")):
        raise TypeError
    if not isinstance(body["id"], str):
        raise TypeError
    if body["do"] == "edit":
        if not isinstance(body["fields"], dict):
            raise TypeError
        editing.check(body["fields"])
