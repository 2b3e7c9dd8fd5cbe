"""Reads TensorBoard's event files by the published format alone: nothing of ours."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Shown = dict[str, dict[int, float]]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> list[tuple[int, Any]]:
    """The fields of a protocol buffer by their numbers, in order."""
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            found.append((number, value))
        elif kind == 2:
            size, at = _varint(data, at)
            found.append((number, data[at : at + size]))
            at += size
        else:
            form, size = {1: ("<d", 8), 5: ("<f", 4)}[kind]
            found.append((number, struct.unpack_from(form, data, at)[0]))
            at += size
    return found


def events(path: Path) -> Iterator[list[tuple[int, Any]]]:
    data = path.read_bytes()
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert at + 16 + length <= len(data), "a torn record"
        yield fields(data[at + 12 : at + 12 + length])
        at += 16 + length


def shown(path: Path) -> Shown:
    """What TensorBoard shows of a file: figures by name and step. A START of a session (its
    event_accumulator.py) forgets this step and later ones. No figure is there twice."""
    found: Shown = {}
    for event in events(path):
        body = dict(event)
        step = body.get(2, 0)
        if 7 in body and dict(fields(body[7])) == {1: 1}:
            for steps in found.values():
                for later in [s for s in steps if s >= step]:
                    del steps[later]
        for number, value in fields(body.get(5, b"")):
            assert number == 1
            part = dict(fields(value))
            if 2 in part:
                steps = found.setdefault(part[1].decode(), {})
                assert step not in steps, f"{part[1]!r} of step {step} is there twice"
                steps[step] = part[2]
    return found
