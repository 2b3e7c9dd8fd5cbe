"""Append to an event log, and follow one.

One writer, any number of readers. A line is one `os.write` to a file opened with
O_APPEND; a reader stops at the last newline, so a torn tail is never parsed.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from workbench.files import explain_os_error
from workbench.jobs.events import Event, Record, decode, encode


def rank_log(rank: int | str) -> str:
    """The name, in a job's folder, of the log of a rank other than the first; `*` for all."""
    return f"ranks/rank-{rank}.jsonl"


class LogWriter:
    """The one writer of a log. Goes on with the numbering of a log that exists."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; cuts off a torn last line that a crash left.

        Raises WorkbenchError when the file can't be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._next = self._recover()
        except OSError as error:
            raise explain_os_error(error, f"write {path}") from error

    def _recover(self) -> int:
        lines = whole = size = 0
        until = os.fstat(self._handle).st_size
        with self.path.open("rb") as stream:
            while size < until and (chunk := stream.read(1 << 20)):
                lines += chunk.count(b"\n")
                if (last := chunk.rfind(b"\n")) != -1:
                    whole = size + last + 1
                size += len(chunk)
        if whole < size:
            os.ftruncate(self._handle, whole)
        return lines

    def write(self, event: Event) -> None:
        """Append one event. Raises WorkbenchError on a full disk and the like."""
        line = encode(event, self._next, time.time())
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error
        if written < len(line):
            # A disk that filled up in the middle of a line. What is there of it must go, or a
            # line that is written once there is room again would be lost in it.
            os.ftruncate(self._handle, os.fstat(self._handle).st_size - written)
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise explain_os_error(full, f"write {self.path}")
        self._next += 1

    def close(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LogReader:
    """Follows a log from its first event; reading again gives only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Bytes read so far; always at the start of a line."""
        self.failed: OSError | None = None
        """Why the last look at the log found nothing, where that is no matter of its having
        nothing new: its file server is away, or a log that was there is gone."""
        self.unknown = 0
        """Lines that this release doesn't know, as long as there was none that it does."""
        self._understood = False
        self._identity: tuple[int, int] | None = None

    def skip_to_tail(self, size: int) -> None:
        """Pass over all but about the last `size` bytes of the log as it is now."""
        try:
            with self.path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                stream.seek(max(0, status.st_size - size - 1))
                if stream.tell():
                    stream.readline()
                self.offset, self._identity = stream.tell(), (status.st_dev, status.st_ino)
        except PermissionError:
            raise
        except OSError:  # it is read from its start once it is there
            return

    def skip_to(self, offset: int) -> None:
        """Pass over the log's first `offset` bytes; a line begins there."""
        with suppress(OSError):
            status = self.path.stat()
            self.offset, self._identity = offset, (status.st_dev, status.st_ino)

    def replaced(self) -> bool:
        """Whether the log was replaced or cut short since it was read last."""
        if self._identity is None:
            return False
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != self._identity or status.st_size < self.offset

    def read(self, limit: int = 1 << 20) -> list[Record]:
        """The events that came since the last call, at most about `limit` bytes of them.

        An empty list means that nothing whole is there yet. A log that was replaced or
        cut short is read again from its start.
        """
        while True:
            lines = self._read_lines(limit)
            records = [record for line in lines if (record := _decode(line)) is not None]
            self._understood |= bool(records)
            self.unknown = 0 if self._understood else self.unknown + len(lines)
            # A stretch of lines that this release doesn't know is not the end of the log.
            if records or not lines:
                return records

    def _read_lines(self, limit: int) -> list[bytes]:
        try:
            with self.path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity != self._identity or status.st_size < self.offset:
                    self.offset = 0
                    self._identity = identity
                stream.seek(self.offset)
                chunk = stream.read(limit)
                if chunk and b"\n" not in chunk:
                    chunk += stream.readline()
        except PermissionError:
            raise  # nor will there ever be anything: that is to be told
        except OSError as error:  # there is none yet, or its file server is away
            missing_yet = isinstance(error, FileNotFoundError) and self._identity is None
            self.failed = None if missing_yet else error
            return []
        self.failed = None
        whole = chunk.rfind(b"\n") + 1
        self.offset += whole
        return chunk[:whole].splitlines()


def _decode(line: bytes) -> Record | None:
    try:
        return decode(line)
    except (ValueError, RecursionError):
        # Another program's line in our log: readers go on, the file still shows it.
        return None


def read_all(path: Path) -> Iterator[Record]:
    """Every event of a log, in order."""
    reader = LogReader(path)
    while records := reader.read():
        yield from records


def before(path: Path, offset: int, size: int) -> list[Record]:
    """The events in about the last `size` bytes before an offset, at which a line begins."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, offset - size - 1))
            if stream.tell():
                stream.readline()
            content = stream.read(max(0, offset - stream.tell()))
    except OSError:
        return []
    return [record for line in content.splitlines() if (record := _decode(line)) is not None]


def marked(path: Path, kinds: Collection[type[Event]], start: int = 0) -> tuple[list[Record], int]:
    """The events of some kinds that a log has from byte `start` on, in order, and the byte after
    its last whole line, from which to go on.

    The others are not decoded: 400 MB of steps are passed over in a second. A log that is shorter
    than `start` was replaced, and is read from its beginning.
    """
    # No text holds this: the quotes of a text are escaped in JSON.
    mark = re.compile(rb'"type":"(?:%s)"' % b"|".join(kind.type.encode() for kind in kinds))
    found: list[Record] = []
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as m:
            whole = m.rfind(b"\n") + 1
            start = start if start <= whole else 0
            with memoryview(m) as content:
                places = [place.start() for place in mark.finditer(content, start, whole)]
            for place in places:
                line = m[m.rfind(b"\n", 0, place) + 1 : m.find(b"\n", place)]
                record = _decode(line)
                if record is not None and type(record.event) in kinds:
                    found.append(record)
            return found, whole
    except (FileNotFoundError, ValueError):
        return [], 0  # none, or an empty one


def ends(path: Path, size: int = 1 << 16, *, always: Collection[type[Event]] = ()) -> list[Record]:
    """The events in the first and the last `size` bytes of a log, and those `always` wanted.

    A summary's worth: a log of a hundred thousand steps is searched in some 10 ms.
    """
    lines = _lines_at_ends(_content(path), size, always)
    return [record for line in lines if (record := _decode(line)) is not None]


def outline(path: Path, kinds: Collection[type[Event]], last: type[Event]) -> list[Record]:
    """The events of some kinds in a log, in order, and of kind `last` those that came last before
    each of the first of `kinds` and before the end: what a line in a list says.

    The others are not decoded: a log of a hundred steps is searched in 0.2 ms.
    """
    content = _content(path)
    whole = content.rfind(b"\n") + 1
    bounds = [(whole, _AT_THE_END)]
    found: set[int] = set()
    for n, kind in enumerate(kinds):
        place = content.find(_mark(kind), 0, whole)
        while place != -1:
            found.add(place)
            if n == 0:
                bounds.append((place, _BEFORE))
            place = content.find(_mark(kind), place + 1, whole)
    mark = _mark(last)
    for place, count in bounds:
        for _ in range(count):
            place = content.rfind(mark, 0, place)
            if place == -1:
                break
            found.add(place)
    wanted = {*kinds, last}
    lines = (
        content[content.rfind(b"\n", 0, place) + 1 : content.find(b"\n", place)]
        for place in sorted(found)
    )
    records = (record for line in lines if (record := _decode(line)) is not None)
    return [record for record in records if type(record.event) in wanted]


def _content(path: Path) -> bytes:
    """All of a log; nothing where there is none."""
    try:
        return path.read_bytes()
    except PermissionError:
        raise
    except OSError:
        return b""


_AT_THE_END, _BEFORE = 3, 20
"""The very last one may be damaged; a resume takes back some of those before it."""


def _mark(kind: type[Event]) -> bytes:
    # No text holds this: the quotes of a text are escaped in JSON.
    return f'"type":"{kind.type}"'.encode()


def _lines_at_ends(content: bytes, size: int, always: Collection[type[Event]]) -> list[bytes]:
    whole = content.rfind(b"\n") + 1
    if whole <= 2 * size:
        return content[:whole].splitlines()
    head = content.rfind(b"\n", 0, size) + 1
    tail = content.rfind(b"\n", 0, whole - size) + 1
    starts: set[int] = set()
    for kind in always:
        mark = _mark(kind)
        place = content.find(mark, head, tail)
        while place != -1:
            starts.add(content.rfind(b"\n", 0, place) + 1)
            place = content.find(mark, place + 1, tail)
    between = [content[start : content.find(b"\n", start)] for start in sorted(starts)]
    return content[:head].splitlines() + between + content[tail:whole].splitlines()
