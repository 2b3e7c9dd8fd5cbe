"""How many tokens rows are under a base model's chat template, and how many are trained."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from workbench.data.example import Example
from workbench.data.template import ChatTemplate, MaskError
from workbench.jobs.progress import Tell, untold

LISTED = 1000
"""Refused rows that are named; the others are counted."""
_SHARES = {"median": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass
class _Count:
    """Of some of the rows: 4 bytes a row, whatever its length."""

    lengths: array[int] = field(default_factory=lambda: array("I"))
    trained: int = 0
    refused: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": len(self.lengths) + self.refused,
            "tokens": sum(self.lengths),
            "trained_tokens": self.trained,
            "refused": self.refused,
            "lengths": spread(self.lengths),
        }


def spread(lengths: Iterable[int]) -> dict[str, int | None]:
    """Least, median, 95th and 99th percentile, and most; each a length that occurs (nearest
    rank). None where there are none."""
    ordered = sorted(lengths)
    if not ordered:
        return dict.fromkeys(("min", *_SHARES, "max"))
    # Rounded up in whole numbers: 0.95 * 20 is 19.000000000000004 for a float.
    ranks = {name: -(-len(ordered) * round(share * 100) // 100) for name, share in _SHARES.items()}
    inner = {name: ordered[rank - 1] for name, rank in ranks.items()}
    return {"min": ordered[0], **inner, "max": ordered[-1]}


def count(
    rows: Iterable[Example], total: int, template: ChatTemplate, tell: Tell = untold
) -> dict[str, Any]:
    """Tokens and trained tokens of `total` rows, of all and by split and task.

    Of each also the rows' lengths in tokens: least, median, percentiles and most. A row whose
    trained tokens can't be proved is `refused`, with its number from 1 and the reason, and is
    in no figure of tokens.
    """
    whole = _Count()
    splits: dict[str, _Count] = {}
    tasks: dict[str, _Count] = {}
    refused: list[dict[str, Any]] = []
    tell("counting tokens", 0, total, "rows")
    for number, row in enumerate(rows, start=1):
        counts = (
            whole,
            splits.setdefault(row.split, _Count()),
            tasks.setdefault(row.task, _Count()),
        )
        try:
            encoded = template.encode(row)
        except MaskError as error:
            for part in counts:
                part.refused += 1
            if len(refused) < LISTED:
                refused.append({"row": number, "source": row.source, "reason": error.message})
        else:
            for part in counts:
                part.lengths.append(len(encoded.ids))
                part.trained += encoded.trained_tokens
        tell("counting tokens", number, total, "rows")
    return {
        "all": whole.to_json(),
        "splits": {name: part.to_json() for name, part in splits.items()},
        "tasks": {name: part.to_json() for name, part in tasks.items()},
        "refused": refused,
    }
