"""Logs into a history at speed: of a step only what is drawn is looked at.

It comes to what the records of `jobs.log.LogReader` come to, a few times as fast.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.history.history import History
from workbench.jobs.events import VERSION, Record, Sampled, Step, decode

Take = Callable[[History, bytes], None]
_CHUNK = 1 << 18
"""Bytes that are read at once."""
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def training(history: History, lines: bytes) -> None:
    """Feed whole lines of a run's own log."""
    add = history.add_step
    for line, body in _bodies(lines):
        if body is not None and body.get("type") == Step.type and body.get("v") == VERSION:
            try:
                for name in body.get("nan", ()):
                    body[name] = math.nan
                get = body.get
                body["trained_tokens"]
                add(
                    body["seq"],
                    body["t"],
                    body["step"],
                    body["epoch"],
                    body["tokens"],
                    body["seconds"],
                    (
                        body["loss"],
                        body["learning_rate"],
                        body["gradient_norm"],
                        get("tokens_per_second", 0.0),
                        get("allocated"),
                        get("reserved"),
                        get("memory"),
                    ),
                )
            except (TypeError, ValueError, KeyError, OverflowError):
                continue  # another program's line, as for who reads it whole
        elif (record := _record(line)) is not None:
            history.feed([record])


def machine(history: History, lines: bytes) -> None:
    """Feed whole lines of a supervisor's log."""
    for line, body in _bodies(lines):
        if body is not None and body.get("type") == Sampled.type and body.get("v") == VERSION:
            try:
                body["gpu_reason"], body["seq"]
                history.add_sample(body["t"], body["host"], body["gpus"])
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
                continue
        elif (record := _record(line)) is not None:
            if isinstance(record.event, Sampled):
                history.feed_samples([(record.time, record.event)])
            else:
                history.feed_supervision([record])


def pass_over(history: History, log: Path, take: Take, start: int, until: int) -> Iterator[int]:
    """Feed a log from one offset to another, and yield how far it is: the start of a line.

    What isn't a whole line at the end is left for the next time.
    """
    if start >= until:
        return  # perhaps there is no log yet
    with log.open("rb") as stream:
        stream.seek(start)
        while start < until:
            chunk = stream.read(min(_CHUNK, until - start))
            if b"\n" not in chunk:
                chunk += stream.readline()
            whole = chunk.rfind(b"\n") + 1
            if not whole:
                return
            take(history, chunk[:whole])
            start += whole
            stream.seek(start)
            yield start


def _bodies(lines: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Each line with its JSON object; None where that takes more than a glance."""
    for line in lines.splitlines():
        try:
            text = line.decode("utf-8", "surrogatepass")
            body, end = _scan(text, 0)
        except (ValueError, StopIteration, RecursionError):
            yield line, None
            continue
        yield line, body if end == len(text) and isinstance(body, dict) else None


def _record(line: bytes) -> Record | None:
    try:
        return decode(line)
    except (ValueError, RecursionError):
        return None
