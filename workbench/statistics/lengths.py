"""A win rate as it would be if both answers were equally long."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean

from workbench.statistics.proportions import CONFIDENCE, two_sided

_RIDGE = 0.01
"""The weight of a prior of standard deviation 10 on both coefficients: nothing beside data that
say anything, and finite where they are all wins."""
_STEPS = 100


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """A win rate freed of what length explains, with its 95 % interval."""

    value: float
    low: float
    high: float
    slope: float
    """Of the log odds to win, per unit of tanh(difference in length / its spread)."""
    slope_low: float
    slope_high: float
    n: int
    clusters: int


def length_controlled(
    points: Sequence[float], longer_by: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> LengthControlled | None:
    """The win rate at equal length, by logistic regression.

    `points` are 1 for a win, 0 for a loss and 1/2 for a tie; `longer_by` is the length of the
    candidate's answer less that of the other's. The log odds of a point are a + b·tanh(difference
    / its root mean square distance from its mean), and the length-controlled win rate is that at
    b = 0. The interval is that of a by a covariance that is robust to clusters (Liang and Zeger
    1986). None without points or when all answers are equally long.

    Source: Dubois, Galambosi, Liang and Hashimoto 2024, "Length-Controlled AlpacaEval", of which
    this is a simplification: no term for the difficulty of the instruction, which needs many
    models on the same prompts, and no answers of models told to be long or short to regularise
    by; instead of an L1 penalty chosen by cross-validation, a prior of standard deviation 10.
    Raises ValueError when lengths differ.
    """
    if not points or not (scale := _spread(longer_by)):
        return None
    names = range(len(points)) if clusters is None else clusters
    x = [math.tanh(each / scale) for each in longer_by]
    a = b = 0.0
    for _ in range(_STEPS):
        score, information = _slopes(points, x, a, b)
        inverse = _inverse(*information)
        step = _times(inverse, score)
        # At most two at a time: a full step from far away may overshoot.
        large = max(1.0, max(map(abs, step)) / 2)
        a, b = a + step[0] / large, b + step[1] / large
        if max(map(abs, step)) < 1e-10:
            break
    sums: dict[Hashable, list[float]] = {}
    for name, each, y in zip(names, x, points, strict=True):
        residual = y - _logistic(a + b * each)
        total = sums.setdefault(name, [0.0, 0.0])
        total[0] += residual
        total[1] += residual * each
    inverse = _inverse(*_slopes(points, x, a, b)[1])
    moved = [_times(inverse, (total[0], total[1])) for total in sums.values()]
    few = len(moved) / (len(moved) - 1) if len(moved) > 1 else 1.0
    z = two_sided(CONFIDENCE)
    width_a = z * math.sqrt(few * math.fsum(each[0] ** 2 for each in moved))
    width_b = z * math.sqrt(few * math.fsum(each[1] ** 2 for each in moved))
    return LengthControlled(
        value=_logistic(a),
        low=_logistic(a - width_a),
        high=_logistic(a + width_a),
        slope=b,
        slope_low=b - width_b,
        slope_high=b + width_b,
        n=len(points),
        clusters=len(sums),
    )


_Two = tuple[float, float]


def _slopes(
    points: Sequence[float], x: Sequence[float], a: float, b: float
) -> tuple[_Two, tuple[float, float, float]]:
    """The gradient of the penalised log likelihood, and its information: aa, ab, bb."""
    score_a, score_b = -_RIDGE * a, -_RIDGE * b
    aa, ab, bb = _RIDGE, 0.0, _RIDGE
    for y, each in zip(points, x, strict=True):
        p = _logistic(a + b * each)
        weight = p * (1 - p)
        score_a += y - p
        score_b += (y - p) * each
        aa += weight
        ab += weight * each
        bb += weight * each * each
    return (score_a, score_b), (aa, ab, bb)


def _inverse(aa: float, ab: float, bb: float) -> tuple[float, float, float]:
    determinant = aa * bb - ab * ab
    return bb / determinant, -ab / determinant, aa / determinant


def _times(matrix: tuple[float, float, float], vector: _Two) -> _Two:
    aa, ab, bb = matrix
    return aa * vector[0] + ab * vector[1], ab * vector[0] + bb * vector[1]


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _spread(values: Sequence[float]) -> float:
    """The root mean square distance from the mean; 0 without values."""
    if not values:
        return 0.0
    middle = fmean(values)
    return math.sqrt(fmean([(value - middle) ** 2 for value in values]))
