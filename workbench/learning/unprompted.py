"""Reads `without_prompt.jsonl` of a run: what each row loses without its prompt.

`training.unprompted` measures it before the first step. A line is
`{"row":42,"loss":3.21,"tokens":56}`, as in `examples.jsonl`; rows without a prompt have none.
"""

from __future__ import annotations

import math
import re
from array import array
from pathlib import Path

from workbench.files import explain_os_error

NAME = "without_prompt.jsonl"
_LINE = re.compile(
    rb'^\{"row": ?(\d{1,15}), ?"loss": ?(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?), ?"tokens": ?\d{1,9}\}$'
)


def read(run: Path, rows: int) -> array[float] | None:
    """Of a run whose dataset version has `rows` rows: at n the loss of row n + 1 in nats, mean
    over its trained tokens, NaN where there is none; None where nothing was measured.

    Lines that say nothing that can be understood are passed over. Raises WorkbenchError for a
    file that can't be read.
    """
    path = run / NAME
    losses = array("f", [math.nan]) * rows
    try:
        with path.open("rb") as stream:
            for line in stream:
                found = _LINE.match(line.rstrip())
                if found and 0 < int(found[1]) <= rows:
                    losses[int(found[1]) - 1] = float(found[2])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    return losses if any(map(math.isfinite, losses)) else None
