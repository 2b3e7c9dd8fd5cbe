"""A history on disk: derived from a run's logs, made again whenever it doesn't fit them.

`history.cache` in the run's folder: eight bytes that say what it is, a version, a CRC-32 of all
that follows, its length, the length of a JSON text and that text, and columns of doubles, all
little-endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import writing
from workbench.history.history import History

NAME = "history.cache"
VERSION = 2
"""Of the format and of what a history holds: one of another is not read."""
_MAGIC = b"WBCURVES"
_HEAD = struct.Struct("<8sIIQ")
_PRINT = 4096
"""Bytes of a log at its beginning, and before where it was read to, that tell whether it is the
one that was read."""


@dataclass(frozen=True, slots=True)
class Exact:
    """A history with how far in a run's logs it goes."""

    history: History
    training: int = 0
    """Bytes of the run's own log."""
    machine: int = 0
    """Bytes of its supervisor's."""


def read(folder: Path, training: Path, machine: Path) -> Exact | None:
    """The cache in a run's folder; None where there is none that fits these logs."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError:
        return None
    return unpack(content, training, machine)


def write(folder: Path, content: bytes) -> bool:
    """Keep what `pack` made, whole; False where the folder takes no files."""
    try:
        with writing(folder / NAME) as stream:
            stream.write(content)
    except WorkbenchError:
        return False
    return True


def pack(exact: Exact, training: Path, machine: Path) -> bytes:
    """As bytes. Raises OSError when a log can't be read."""
    told, columns = exact.history.state()
    told["logs"] = [
        [exact.training, _fingerprint(training, exact.training)],
        [exact.machine, _fingerprint(machine, exact.machine)],
    ]
    told["columns"] = [len(column) for column in columns]
    text = json.dumps(told).encode()
    body = struct.pack("<Q", len(text)) + text + b"".join(map(_little, columns))
    return _HEAD.pack(_MAGIC, VERSION, zlib.crc32(body), len(body)) + body


def unpack(content: bytes, training: Path, machine: Path) -> Exact | None:
    """What `pack` made; None where it is damaged, of another version or of other logs."""
    if len(content) < _HEAD.size:
        return None
    magic, version, check, length = _HEAD.unpack_from(content)
    body = memoryview(content)[_HEAD.size :]
    if (magic, version, length) != (_MAGIC, VERSION, len(body)) or zlib.crc32(body) != check:
        return None
    # The check says that it is as it was written; by a program that is not quite this one, perhaps.
    with suppress(ValueError, TypeError, LookupError, AttributeError, struct.error, StopIteration):
        (size,) = struct.unpack_from("<Q", body)
        told = json.loads(bytes(body[8 : 8 + size]))
        ends = [int(offset) for offset, _ in told["logs"]]
        for log, end, (_, known) in zip((training, machine), ends, told["logs"], strict=True):
            if end and _fingerprint(log, end) != known:
                return None
        columns = _columns(body[8 + size :], told["columns"])
        return Exact(History.of_state(told, columns), *ends)
    return None


def _fingerprint(log: Path, end: int) -> str:
    """What tells a log up to an offset from another; empty where it doesn't go so far."""
    if not end:
        return ""
    try:
        with log.open("rb") as stream:
            digest = hashlib.sha256(stream.read(min(end, _PRINT)))
            stream.seek(max(0, end - _PRINT))
            last = stream.read(min(end, _PRINT))
    except OSError:
        return ""
    if len(last) < min(end, _PRINT):
        return ""
    digest.update(last)
    return digest.hexdigest()


def _columns(data: memoryview, lengths: list[int]) -> Iterator[array[float]]:
    start = 0
    for length in lengths:
        column = array("d")
        column.frombytes(data[start : start + 8 * length])
        start += 8 * length
        if sys.byteorder == "big":
            column.byteswap()
        yield column


def _little(column: array[float]) -> bytes:
    if sys.byteorder == "big":
        column = array("d", column)
        column.byteswap()
    return column.tobytes()
