"""TensorBoard's event files, as bytes.

A file of records as TensorFlow's record_writer.cc has them: an unsigned 64-bit length, the masked
CRC-32C of its 8 bytes, the data, the masked CRC-32C of the data, little-endian. Each is an `Event`
of TensorFlow's event.proto. The libraries that write them (tensorboard, tensorboardX) import numpy
and protobuf, which is more than the process that keeps them beside a run takes in all.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reversed: RFC 3720, appendix B.4
_MASK = 0xA282EAD8
_HEAD, _FOOT = 12, 4
"""Bytes around a record's data."""


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C of some bytes."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def version(time: float) -> bytes:
    """The record that a file begins with."""
    return _record(_double(1, time) + _text(3, "brain.Event:2"))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """A record of a step's figures by name; `time` is in unix seconds."""
    summary = b"".join(
        _bytes(1, _text(1, name) + b"\x15" + struct.pack("<f", _in_range(value)))
        for name, value in values.items()
    )
    return _record(_double(1, time) + _number(2, step) + _bytes(5, summary))


def text(time: float, name: str, markdown: str) -> bytes:
    """A record of a text that TensorBoard's text page shows."""
    plugin = _bytes(1, _text(1, "text"))
    tensor = _number(1, 7) + _bytes(2, b"") + _text(8, markdown)  # DT_STRING, of no dimension
    value = _text(1, name) + _bytes(8, tensor) + _bytes(9, plugin)
    return _record(_double(1, time) + _bytes(5, _bytes(1, value)))


def begins(time: float, step: int) -> bytes:
    """A record that has TensorBoard forget what was shown of this step and later ones."""
    return _record(_double(1, time) + _number(2, step) + _bytes(7, _number(1, 1)))


def whole(path: Path) -> tuple[int, float | None]:
    """Bytes of the whole records of a file, and the time of the last one; a torn one behind them
    isn't counted. Of what isn't an event file, 0 and None. Raises OSError."""
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            return 0, None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end, last = 0, None
            while end + _HEAD + _FOOT <= len(content):
                length, check = struct.unpack_from("<QI", content, end)
                after = end + _HEAD + length + _FOOT
                if check != _masked(content[end : end + 8]) or after > len(content):
                    break
                last, end = end + _HEAD, after
            if last is None or content[last] != 0x09:
                return 0, None
            return end, struct.unpack_from("<d", content, last + 1)[0]


def _in_range(value: float) -> float:
    """A number that 32 bits hold, as infinity where it is too large."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return value


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    checks = struct.pack("<I", _masked(length)), struct.pack("<I", _masked(data))
    return length + checks[0] + data + checks[1]


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "backslashreplace"))
