"""Changes with their intervals as a chart, those that are of one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.reporting import svg
from workbench.reporting.page import Chart
from workbench.reporting.svg import Interval

_SHARE = "0 to 1"
"""The unit, in an evaluation, of what can be drawn on one axis."""
_EDGES = (0.05, 0.1, 0.2, 0.5, 1.0)


def of_changes(
    compared: Sequence[Mapping[str, Any]], measures: Mapping[str, Mapping[str, Any]]
) -> Iterator[Chart]:
    """What each system differs by from the first, of the measures from 0 to 1, on one scale; the
    others have scales of their own, and stand in the table."""
    drawn: dict[str, list[Interval]] = {}
    for one in compared:
        is_share = measures.get(one["measure"], {}).get("unit") == _SHARE
        if is_share and None not in (one["value"], one["low"], one["high"]):
            name = str(one["measure"]).replace("_", " ")
            interval = Interval(name, one["value"], one["low"], one["high"])
            drawn.setdefault(one["to"], []).append(interval)
    if not drawn:
        return
    far = max(abs(bound) for of in drawn.values() for one in of for bound in (one.low, one.high))
    edge = next((edge for edge in _EDGES if far <= edge), 1.0)
    first = compared[0]["from"]
    for other, of in drawn.items():
        picture = svg.intervals(f"Change from {first} to {other}", of, -edge, edge, 0.0)
        yield Chart(
            picture,
            f"Change from {first} to {other} with 95 % intervals, of figures from 0 to 1. One that "
            "crosses the dashed line may be none.",
        )
