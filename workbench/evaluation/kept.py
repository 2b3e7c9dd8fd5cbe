"""Files of what is known already, a line each: made once, whatever becomes of who makes it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.files import explain_os_error

_VERSION = 1
_KEY = "row"


class KeptFile:
    """What was made in one way: `FOLDER/ID.jsonl`.

    ID is the SHA-256 over all that decides it, which the file's first line holds; so what is
    changed has another file, and nothing is ever mixed. Each other line is one piece, written by
    one `write`: a process that is killed loses at most the one it was at. Several may append at
    the same time.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """`identity` is plain JSON."""
        told = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        self.id = hashlib.sha256(told.encode()).hexdigest()
        self.path = folder / f"{self.id}.jsonl"
        self._head = _line({"v": _VERSION, "identity": identity})

    def read(self) -> dict[str, dict[str, Any]]:
        """The pieces so far, by their keys. What a killed process left half is passed over. Raises
        WorkbenchError when the file can't be read."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise explain_os_error(error, f"read {self.path}") from error
        return dict(filter(None, map(_parse, lines)))

    @contextmanager
    def appending(self) -> Iterator[Callable[[str, dict[str, Any]], None]]:
        """Gives what appends a piece by its key. Raises WorkbenchError when it can't be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error
        try:
            size = os.fstat(handle).st_size
            if not size:
                self._write(handle, self._head)
            elif os.pread(handle, 1, size - 1) != b"\n":
                # What another was killed at becomes a line of its own.
                self._write(handle, b"\n")
            yield lambda key, body: self._write(handle, _line({_KEY: key, **body}))
        finally:
            os.close(handle)

    def _write(self, handle: int, line: bytes) -> None:
        try:
            written = os.write(handle, line)
            if written < len(line):  # the disk is full: the next write says so
                os.write(handle, line[written:])
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error


def _line(body: dict[str, Any]) -> bytes:
    # In ASCII: a text may hold half of a surrogate pair, and line separators of Unicode.
    return json.dumps(body).encode() + b"\n"


def _parse(line: bytes) -> tuple[str, dict[str, Any]] | None:
    try:
        body = json.loads(line)
        return str(body.pop(_KEY)), body
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
