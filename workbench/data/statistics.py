"""What a dataset version holds, in figures: `statistics.json` beside its rows.

Rows, different rows and characters by task and split, turns by role, how long rows are, and why
rows were left out. Characters are Unicode code points.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.data.tokens import spread
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json_object, write_json

NAME = "statistics.json"
_V = 1
_REASONS = 20
"""Reasons for which rows were left out that are named; the others are counted together."""


class Statistics:
    """Counts rows, one after another. 12 bytes of memory a row."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("Q"))
        self._characters: Counter[tuple[str, str]] = Counter()
        self._trained: Counter[tuple[str, str]] = Counter()
        self._lengths = array("I")
        self._turns: Counter[str] = Counter()
        self._in_turns: Counter[str] = Counter()
        self._texts = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count a row, as a line of `data.jsonl` holds it. Raises KeyError for another."""
        part = (row.get("task", ""), row["split"])
        text, messages = row.get("text", ""), row.get("messages", ())
        body = json.dumps(text or messages, sort_keys=True).encode()
        digest = hashlib.blake2b(body, digest_size=8).digest()
        self._digests[part].append(int.from_bytes(digest))
        length, trained = len(text), len(text)
        self._texts += bool(text)
        for message in messages:
            size, role = len(message["content"]), message["role"]
            self._turns[role] += 1
            self._in_turns[role] += size
            length += size
            trained += size * (role == "assistant")
        self._lengths.append(length)
        self._characters[part] += length
        self._trained[part] += trained

    def to_json(self) -> dict[str, Any]:
        import numpy as np

        parts = [
            {
                "task": task,
                "split": split,
                "rows": len(digests),
                "different_rows": len(np.unique(np.array(digests, np.uint64))),
                "characters": self._characters[task, split],
                "trained_characters": self._trained[task, split],
            }
            for (task, split), digests in sorted(self._digests.items())
        ]
        roles = {
            role: {"turns": turns, "characters": self._in_turns[role]}
            for role, turns in self._turns.most_common()
        }
        return {
            "v": _V,
            "parts": parts,
            "plain_texts": self._texts,
            "roles": roles,
            "characters": spread(self._lengths),
        }


def of(folder: Path, data: str, removed: str) -> dict[str, Any]:
    """The statistics of a version's folder, whose files have these names. Those of a version that
    was made without are counted, and kept where that is possible.

    Raises WorkbenchError when the rows can't be read.
    """
    with suppress(WorkbenchError):
        body = read_json_object(folder / NAME)
        if body.get("v") == _V:
            return body
    statistics = Statistics()
    try:
        for line in _lines(folder / data):
            statistics.add(json.loads(line))
        body = {**statistics.to_json(), "removed": reasons(folder / removed)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbenchError(
            f"The rows in {folder} were changed: some are no rows of a dataset version.",
            "`workbench data check` proves a version whole. Import the rows again.",
        ) from error
    with suppress(WorkbenchError, OSError):
        write_json(folder / NAME, body)
    return body


def reasons(path: Path) -> list[dict[str, Any]]:
    """How many rows of a `removed.jsonl` each step left out for which reason, the most first:
    what differs from row to row is not told. Raises WorkbenchError when it can't be read."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in _lines(path):
        row = json.loads(line)
        counted[row["step"], _reason(row["step"], row["reason"])] += 1
    common = counted.most_common()
    named = [{"step": s, "reason": r, "rows": n} for (s, r), n in common[:_REASONS]]
    if more := sum(n for _, n in common[_REASONS:]):
        named.append({"step": "", "reason": "other reasons", "rows": more})
    return named


def _reason(step: str, reason: str) -> str:
    """What of a reason is the same in other rows: a finding's kind, a problem, or nothing."""
    if step.startswith("drop "):
        return reason.partition(":")[0]
    return reason if step in ("read", "remove", "mix") else ""


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            yield from stream
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
