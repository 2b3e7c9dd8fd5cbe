"""The exponential moving average of TensorBoard, on the columns of a picture.

TensorBoard (`tensorboard/components/vz_line_chart2/line-chart.ts`, `resmoothDataset`) takes for
the points y of a curve and a weight w

    last = w * last + (1 - w) * y,    smoothed = last / (1 - w ** points so far)

where the division takes away the pull of the zero that it begins with, and values that aren't
finite are passed over. Here the weight is that of a point, too. A column of n points with mean m
counts as n points of that value,

    last = w ** n * last + (1 - w ** n) * m,    smoothed = last / (1 - w ** points so far)

which for n = 1 is the same, and otherwise differs by what the order within a column does. So the
curve looks alike whatever the zoom is. What lies before the window goes into it as far back as it
has weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from workbench.charts.line import Line

HIGHEST = 0.999
_NEGLIGIBLE = 1e-3
"""Share of the average that older points than those which are looked at would have."""


def smoothed(
    line: Line, edges: Sequence[int], weight: float, spacing: float | None = None
) -> list[float]:
    """The average at the end of each column; NaN where a column has no finite value.

    Buckets `edges[i]` up to `edges[i + 1]` are in column i. `weight` is cut to 0 to HIGHEST.
    `spacing` is the distance between neighbouring points on the x axis: with it a bucket counts
    as the points that fit into it, without as one.
    """
    weight = min(HIGHEST, max(0.0, weight))
    steps = _before(edges, weight) + list(pairwise(edges))
    last = points = 0.0
    values = []
    for begin, end in steps:
        total, buckets = line.total(begin, end) if end > begin else (0.0, 0.0)
        if not buckets or not math.isfinite(total):
            values.append(math.nan)
            continue
        count = buckets
        if spacing:
            count = max(
                count, buckets / (end - begin) * (_end(line, end) - line.x[begin]) / spacing
            )
        decay = weight**count
        last = decay * last + (1 - decay) * total / buckets
        points += count
        values.append(last / (1 - weight**points))
    return values[len(steps) - (len(edges) - 1) :]


def _before(edges: Sequence[int], weight: float) -> list[tuple[int, int]]:
    """What lies before the window and still has weight in it, in parts as large as its columns."""
    if weight <= 0 or edges[0] == 0:
        return []
    reach = min(edges[0], math.ceil(math.log(_NEGLIGIBLE) / math.log(weight)))
    each = max(1, (edges[-1] - edges[0]) // (len(edges) - 1))
    first = edges[0] - reach
    return [(a, min(a + each, edges[0])) for a in range(first, edges[0], each)]


def _end(line: Line, end: int) -> float:
    """Where the bucket before `end` ends: where the next begins, or as wide as the one before."""
    if end < len(line):
        return line.x[end]
    return 2 * line.x[-1] - line.x[-2] if len(line) > 1 else line.x[-1]
