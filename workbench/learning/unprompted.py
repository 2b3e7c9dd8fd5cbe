"""Reads `without_prompt.jsonl` of a run: what each row loses without its prompt, and how well its
response fits others.

`training.unprompted` and `training.misfit` measure it before the first step. A line is
`{"row":42,"loss":3.21,"tokens":56,"misfit":0.0077}`, the first three as in `examples.jsonl`; rows
without a prompt have none, and runs of before it was there no `misfit`.
"""

from __future__ import annotations

import math
import re
from array import array
from pathlib import Path

from workbench.files import explain_os_error

NAME = "without_prompt.jsonl"
_LINE = re.compile(
    rb'^\{"row": ?(\d{1,15}), ?"loss": ?(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?), ?"tokens": ?\d{1,9}'
    rb'(?:, ?"misfit": ?(0?\.\d+|\d(?:\.\d+)?(?:[eE]-\d+)?))?\}$'
)


def read(run: Path, rows: int) -> array[float] | None:
    """Of a run whose dataset version has `rows` rows: at n the loss of row n + 1 in nats, mean
    over its trained tokens, NaN where there is none; None where nothing was measured.

    Lines that say nothing that can be understood are passed over. Raises WorkbenchError for a
    file that can't be read.
    """
    return _read(run, rows, 2)


def misfits(run: Path, rows: int) -> array[float] | None:
    """As `read`, the share of others' prompts that a row's response fits as well as its own."""
    return _read(run, rows, 3)


def _read(run: Path, rows: int, group: int) -> array[float] | None:
    path = run / NAME
    values = array("f", [math.nan]) * rows
    try:
        with path.open("rb") as stream:
            for line in stream:
                found = _LINE.match(line.rstrip())
                if found and found[group] and 0 < int(found[1]) <= rows:
                    values[int(found[1]) - 1] = float(found[group])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    return values if any(map(math.isfinite, values)) else None
