"""Changes with their intervals as a chart, those that are of one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.reporting import svg
from workbench.reporting.page import Chart
from workbench.reporting.svg import Interval

_SHARE = "0 to 1"
"""The unit, in an evaluation, of what can be drawn on one axis."""


def of_changes(
    compared: Sequence[Mapping[str, Any]], measures: Mapping[str, Mapping[str, Any]]
) -> Iterator[Chart]:
    """What systems differ by from the first, of the measures from 0 to 1; the others' scales are
    their own, and they stand in the table."""
    several = len({one["to"] for one in compared}) > 1
    drawn = [
        Interval(_name(one, several), one["value"], one["low"], one["high"])
        for one in compared
        if measures.get(one["measure"], {}).get("unit") == _SHARE
        and None not in (one["value"], one["low"], one["high"])
    ]
    if not drawn:
        return
    far = max(abs(bound) for one in drawn for bound in (one.low, one.high)) or 1.0
    edge = next(edge for edge in (0.05, 0.1, 0.2, 0.5, 1.0) if far <= edge or edge == 1.0)
    title = f"Change from {compared[0]['from']}"
    picture = svg.intervals(title, drawn, -edge, edge, 0.0)
    yield Chart(
        picture,
        f"{title} with 95 % intervals, of figures from 0 to 1. One that crosses the dashed line "
        "may be none.",
    )


def _name(one: Mapping[str, Any], several: bool) -> str:
    measure = str(one["measure"]).replace("_", " ")
    return f"{one['to']}: {measure}" if several else measure
