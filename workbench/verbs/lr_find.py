"""`workbench lr-find`: a short learning-rate range test, drawn."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.charts import axes
from workbench.charts.line import Line
from workbench.charts.picture import plot
from workbench.charts.raster import text_of
from workbench.charts.scale import Scale, spread
from workbench.charts.series import Chart, Series, View
from workbench.charts.symbols import ASCII, BRAILLE
from workbench.charts.units import NUMBER
from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.planning import lr_find, range_test
from workbench.planning.lr_find import Request
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import add_settings, leaf, say
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_config
from workbench.workspace import Workspace

_WIDTH, _HEIGHT, _MARGIN = 64, 12, 9
"""Cells of the curve, and of the numbers beside it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "lr-find",
        help="try rising learning rates for a few steps, and draw the loss over them",
        run=_run,
        show=show_result(_show),
    )
    add_config(parser, required=False)
    add_settings(parser)
    parser.add_argument(
        "--from", dest="low", type=float, default=range_test.LOWEST, metavar="RATE",
        help="the first rate (default: 1e-7)",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="high", type=float, default=range_test.HIGHEST, metavar="RATE",
        help="the last rate (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=range_test.STEPS, metavar="N",
        help="optimiser steps, each at a higher rate (default: 100)",
    )  # fmt: skip
    parser.add_argument("--show", dest="job", metavar="JOB", help="draw one that was done before")
    add_detach(parser)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    if args.job:
        if args.config:
            raise WorkbenchError("--show draws a test that was done; leave CONFIG out.")
        return _result(finding.find_job(workspace, args.job), args.ascii)
    if args.config is None:
        raise WorkbenchError("Name the config to test.", "`workbench config new NAME` writes one.")
    path = loading.config_path(workspace, args.config)
    request = Request(loading.load(path, args.settings), args.low, args.high, args.steps)
    return do_job(
        args,
        lambda: lr_find.start(workspace, request, say),
        lambda folder: {
            **_result(folder, args.ascii),
            "path": str(path),
            "settings": args.settings,
        },
    )


def _result(folder: Path, ascii: bool) -> dict[str, Any]:
    found = lr_find.read_result(folder)
    config = found.request.config
    return {
        "job": folder.name,
        "folder": str(folder),
        "path": "CONFIG",
        "settings": [],
        "name": config.name,
        "base": config.model.base,
        "learning_rate": config.training.learning_rate,
        "low": found.request.low,
        "high": found.request.high,
        "steps": found.request.steps,
        "rates": found.rates,
        # JSON has no NaN.
        "losses": [loss if math.isfinite(loss) else None for loss in found.losses],
        "smoothed": [loss if math.isfinite(loss) else None for loss in found.smoothed],
        "suggestion": found.suggestion.to_json(),
        "ascii": ascii,
    }


def _show(result: dict[str, Any]) -> None:
    taken, steps = len(result["rates"]), result["steps"]
    print(visible(f"{result['name']} on {result['base']}: loss over the learning rate, smoothed"))
    for line in _chart(result):
        print(line)
    ended = f"the loss ended the test after {taken} of {steps} steps" if taken < steps else ""
    print(f"{taken} steps from {result['low']:.1e} to {result['rates'][-1]:.1e}", end="")
    print(f"; {ended}." if ended else ".")
    found = result["suggestion"]
    if found["problem"]:
        print(f"Inconclusive. {found['problem']}")
    if found["steepest"] is not None:
        print(f"The loss falls most steeply at {found['steepest']:.1e}", end="")
        print(f", and is lowest at {found['lowest']:.1e}.")
    if (rate := found["rate"]) is not None:
        print(f"Suggested: {rate:.1e}, a tenth of that; the config has ", end="")
        print(f"{result['learning_rate']:.1e}. To use it:")
        settings = [*result["settings"], f"training.learning_rate={rate:.1e}"]
        words = [word for setting in settings for word in ("--set", setting)]
        print(visible(f"  workbench train {shlex.join([result['path'], *words])}"))
    print(f"No weights were kept. `workbench lr-find --show {result['job']}` draws it again.")


def _chart(result: dict[str, Any]) -> Iterator[str]:
    """The smoothed loss over the rates, spaced by their logarithm, line by line.

    What lies further above the beginning than the lowest lies below it is drawn at the edge:
    where the loss explodes, nothing else would be seen.
    """
    course: list[float] = [math.nan if y is None else y for y in result["smoothed"]]
    finite = [loss for loss in course if math.isfinite(loss)]
    if not finite:
        return
    begin, low = finite[0], min(finite)
    top = min(max(finite), max(2 * begin - low, 1.02 * begin))
    points = [
        (math.log10(rate), min(loss, top))
        for rate, loss in zip(result["rates"], course, strict=True)
        if math.isfinite(loss)
    ]
    left, right = math.log10(result["low"]), math.log10(result["high"])
    scale = Scale(left, right, *spread(low, top), _WIDTH, _HEIGHT)
    ascii = result["ascii"] or not (sys.stdout.encoding or "").lower().startswith("utf")
    symbols = ASCII if ascii else BRAILLE
    rows = plot(Chart("", [Series("loss", Line.of(points))]), View(), scale, symbols)
    for number, row in zip(axes.y_labels(scale, NUMBER, _MARGIN, symbols), rows, strict=True):
        yield (number + text_of(row)).rstrip()
    yield " " * _MARGIN + _decades(scale)
    if (rate := result["suggestion"]["rate"]) is not None:
        place = min(max(0, scale.column(math.log10(rate))), _WIDTH - 1)
        yield " " * (_MARGIN + place) + f"{'^' if ascii else '▲'} {rate:.1e}, suggested"


def _decades(scale: Scale) -> str:
    """The powers of ten below the curve, each beginning where it stands."""
    axis = ""
    for power in range(math.ceil(scale.left - 1e-9), math.floor(scale.right + 1e-9) + 1):
        place = scale.column(power)
        if place >= len(axis):
            axis = f"{axis:<{place}}1e{power} "
    return axis.rstrip()
