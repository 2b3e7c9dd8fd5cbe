"""A job's record of what produced it is closed: how it ended, and the end of its log."""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.jobs.ending import Ending
from workbench.jobs.events import decode
from workbench.redaction import redacted

ENDED = "ended"
"""The section that says it."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A log up to its last whole line."""

    seq: int
    """Of its last event; -1 where there is none that can be read."""
    bytes: int
    sha256: str
    """Of those bytes."""


def log_end(path: Path, limit: int | None = None) -> LogEnd:
    """The end of a log, or of its first `limit` bytes. Raises OSError when it can't be read."""
    digest, whole, kept, line = hashlib.sha256(), 0, b"", b""
    with path.open("rb") as stream:
        left = stream.seek(0, 2) if limit is None else limit
        stream.seek(0)
        while left > 0 and (chunk := stream.read(min(1 << 20, left))):
            left -= len(chunk)
            kept += chunk
            end = kept.rfind(b"\n") + 1
            if end:
                line = kept[kept.rfind(b"\n", 0, end - 1) + 1 : end]
            digest.update(kept[:end])
            whole, kept = whole + end, kept[end:]
    return LogEnd(_seq(line), whole, digest.hexdigest())


def _seq(line: bytes) -> int:
    with contextlib.suppress(ValueError, RecursionError):
        if (record := decode(line)) is not None:
            return record.seq
    return -1


def close(record: Path, log: Path, ending: Ending) -> None:
    """Write into a job's record, a JSON object, how it ended. One that can't be written stays as
    it is: the state says it as well."""
    with contextlib.suppress(WorkbenchError, OSError):
        told: dict[str, Any] = {
            "time": time.time(),
            "status": ending.status,
            "cause": ending.cause,
            "text": ending.text,
            "log": None,
        }
        with contextlib.suppress(OSError):
            end = log_end(log)
            told["log"] = {"seq": end.seq, "bytes": end.bytes, "sha256": end.sha256}
        write_json(record, {**read_json_object(record), ENDED: redacted(told)})
