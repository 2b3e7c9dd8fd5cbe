"""The loss curves of two runs of the same thing: equal to the bit, or how far apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Step
from workbench.jobs.log import read_all
from workbench.jobs.state import describe
from workbench.tracking import manifest, runs
from workbench.tracking.finding import ADAPTER, MODEL

TOLERANCE = 0.01
"""Of a loss, relative, where no equality to the bit is owed. Ours: atomic additions and other
kernels round otherwise, and training carries that on; what is wrong in a run shows as more."""
_DECISIVE = ("machine", "processor", "threads", "processes", "dtype", "trained_dtype", "attention")
"""Of what was around a run on a processor, all that its sums' last bits depend on beside the
packages."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Where two curves differ."""

    step: int
    first: float | None
    second: float | None
    """None is a loss that is no number."""
    difference: float | None
    """|first - second| over the larger of both, which the tolerance is held against."""

    @classmethod
    def of(cls, step: int, first: float, second: float) -> Apart:
        apart = _apart(first, second)
        numbers = (value if math.isfinite(value) else None for value in (first, second, apart))
        return cls(step, *numbers)


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure of both runs."""

    compared: int
    """Steps that both have."""
    last: int
    """The last of them; 0 where there is none."""
    alone: tuple[int, int]
    """Steps that only the first has, and only the second, or that both have as the end of other
    stretches."""
    equal: bool
    """To the bit, at every step that both have."""
    first_apart: Apart | None
    """The first step that differs at all."""
    furthest: Apart | None
    first_beyond: Apart | None
    """The first step that differs by more than the tolerance."""


def compare(first: Path, second: Path, tolerance: float | None = None) -> dict[str, Any]:
    """Both runs' training and validation losses, and the hashes of their weights.

    `tolerance` is relative; None: nothing where the second owes equality to the bit (`why_not`
    says what is in the way of that), else TOLERANCE. `repeated` is the verdict: no step is beyond
    it, and there was one to compare. Raises WorkbenchError when a manifest or a log can't be read.
    """
    made = manifest.read(first), manifest.read(second)
    around = [manifest.last_environment(one) for one in made]
    why_not = _why_no_bits(*around)
    codes = [(one.get("workbench") or {}).get("sha256") for one in around]
    allowed = tolerance if tolerance is not None else TOLERANCE if why_not else 0.0
    losses = _curves(first), _curves(second)
    training = _compared(losses[0][0], losses[1][0], allowed)
    validation = _compared(losses[0][1], losses[1][1], allowed)
    if not training.compared and not validation.compared:
        raise WorkbenchError(
            f"{first.name} and {second.name} have no step in common: there is nothing to compare."
        )
    within = training.first_beyond is None and validation.first_beyond is None
    return {
        "run": first.name,
        "repeat": second.name,
        "states": [describe(folder)[0] for folder in (first, second)],
        "tolerance": allowed,
        "bit_for_bit_expected": not why_not,
        "why_not": why_not,
        "code_changed": codes[0] != codes[1],
        "training": asdict(training),
        "validation": asdict(validation),
        "weights": _weights(*made),
        "repeated": within,
    }


def _curves(folder: Path) -> tuple[dict[int, tuple[float, int]], dict[int, tuple[float, int]]]:
    """By step the training losses, each with the steps that it is the mean of, and the validation
    losses. Of steps that were taken again after a crash, the last counts."""
    training, validation = {}, {}
    for record in read_all(folder / runs.LOG):
        event = record.event
        if isinstance(event, Step):
            training[event.step] = (event.loss, event.steps)
        elif isinstance(event, Evaluated):
            validation[event.step] = (event.loss, 1)
    return training, validation


def _compared(
    first: Mapping[int, tuple[float, int]], second: Mapping[int, tuple[float, int]], allowed: float
) -> Curve:
    # A mean over other steps is another figure.
    both = sorted(s for s in first.keys() & second.keys() if first[s][1] == second[s][1])
    differing = [
        (step, first[step][0], second[step][0])
        for step in both
        if not _equal(first[step][0], second[step][0])
    ]
    furthest = max(differing, key=lambda d: _apart(d[1], d[2]), default=None)
    beyond = next((d for d in differing if not _apart(d[1], d[2]) <= allowed), None)
    return Curve(
        compared=len(both),
        last=both[-1] if both else 0,
        alone=(len(first) - len(both), len(second) - len(both)),
        equal=not differing,
        first_apart=Apart.of(*differing[0]) if differing else None,
        furthest=Apart.of(*furthest) if furthest else None,
        first_beyond=Apart.of(*beyond) if beyond else None,
    )


def _equal(first: float, second: float) -> bool:
    """A log has each loss to its last bit; of what is no number there is one kind."""
    return first == second or (math.isnan(first) and math.isnan(second))


def _apart(first: float, second: float) -> float:
    if math.isfinite(first) and math.isfinite(second):
        larger = max(abs(first), abs(second))
        return abs(first - second) / larger if larger else 0.0
    return math.inf


def _why_no_bits(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What is in the way of curves that are equal to the bit; empty where they are to be."""
    if not first or not second:
        return ["a manifest doesn't say where its run was trained"]
    devices = [str(around.get("device", "")) for around in (first, second)]
    if not all(device.startswith("CPU") for device in devices):
        return [f"trained on {' and '.join(dict.fromkeys(devices))}: GPUs add in no fixed order"]
    return list(_differing(first, second))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for name in _DECISIVE:
        if first.get(name) != second.get(name):
            yield f"{name}: {first.get(name)} and {second.get(name)}"
    was, now = first.get("packages", {}), second.get("packages", {})
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield f"{name}: {was.get(name) or 'none'} and {now.get(name) or 'none'}"


def _weights(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """The SHA-256 of each file of what both have made, and whether all are equal; None where one
    has made nothing."""
    sides = []
    for made in (first, second):
        kind = ADAPTER if made.get(ADAPTER) else MODEL
        files = made.get(kind) or {}
        # The other files name places and sets, in any order.
        sides.append({n: h for n, h in files.items() if n.endswith(".safetensors")})
    if not all(sides):
        return None
    names = sorted(sides[0].keys() | sides[1].keys())
    files = [
        {"file": name, "run": sides[0].get(name), "repeat": sides[1].get(name)} for name in names
    ]
    return {"equal": sides[0] == sides[1], "files": files}
