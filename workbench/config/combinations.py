"""The runs that a sweep makes: combinations of values, each a config of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from workbench.config import loading
from workbench.config.problems import ConfigError, ConfigProblem, shortened
from workbench.config.schema import RunConfig
from workbench.config.sweep import Choices, Follow, Range, Sweep, Swept
from workbench.errors import WorkbenchError

_VAIN = 1000
"""Draws in a row without anything new after which nothing new is left."""
_TRIED = 256
"""Combinations of what optuna may choose that are tried before it begins."""
DIGITS = 4
"""Significant digits of a number that is drawn: a rate of 0.0002183, not of 0.00021829571."""


@dataclass(frozen=True, slots=True)
class Combination:
    """One run of a sweep, before it is made."""

    values: dict[str, Any]
    """The varied fields, those that follow others too, as its config has them."""
    config: RunConfig


def combinations(swept: Swept, origin: str) -> list[Combination]:
    """Every run that a grid or a random sweep makes, each once, in the order in which they are
    made. Of optuna, which chooses by results, there are none yet.

    Raises ConfigError naming every combination that is no config, and WorkbenchError when a grid
    is larger than its budget. The same seed gives the same draws.
    """
    sweep = swept.sweep
    if sweep.method == "optuna":
        _all_valid(swept, islice(_corners(sweep), _TRIED), origin)
        return []
    if sweep.method == "grid" and (count := grid_size(sweep)) > sweep.budget:
        raise WorkbenchError(
            f"{origin}: the grid has {count:,} combinations, and sweep.budget allows "
            f"{sweep.budget:,} runs.",
            "Raise sweep.budget, name fewer values, or set sweep.method to random for a part of "
            "them.",
        )
    whole = _has_no_range(sweep) and grid_size(sweep) <= sweep.budget
    return _all_valid(swept, _grid(sweep) if whole else _draws(sweep), origin)


def grid_size(sweep: Sweep) -> int:
    """How many combinations of its choices there are."""
    return math.prod(len(spec.values) for _, spec in _choices(sweep))


def make(swept: Swept, values: Mapping[str, Any]) -> Combination:
    """The run with these values of the fields that follow no other.

    Raises ConfigError, whose problems don't name the combination.
    """
    chosen = dict(values)
    for path, spec in swept.sweep.fields.items():
        if isinstance(spec, Follow):
            chosen[path] = _following(swept.config, spec, chosen, path)
    config = loading.with_values(swept.config, chosen)
    return Combination({path: loading.value_at(config, path) for path in chosen}, config)


def _following(config: RunConfig, spec: Follow, chosen: Mapping[str, Any], path: str) -> Any:
    followed = chosen.get(spec.of, loading.value_at(config, spec.of))
    try:
        # A product such as 0.1 x 3 is 0.3.
        value = float(f"{spec.times * float(followed):.12g}")
    except (TypeError, ValueError) as error:
        text = f"it follows {spec.of}, which is {shortened(followed)}."
        raise ConfigError("The config", [ConfigProblem(path, text)]) from error
    return int(value) if value.is_integer() else value


def _all_valid(
    swept: Swept, candidates: Iterable[dict[str, Any]], origin: str
) -> list[Combination]:
    """The runs of all candidates, equal ones once. Raises ConfigError for those that are none."""
    found: dict[str, Combination] = {}
    wrong: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for values in candidates:
        try:
            made = make(swept, values)
        except ConfigError as error:
            for problem in error.problems:
                wrong.setdefault((problem.path, problem.text), []).append(values)
        else:
            found.setdefault(made.config.model_dump_json(), made)
    if wrong:
        problems = [_problem(*where, values, swept.lines) for where, values in wrong.items()]
        raise ConfigError(origin, problems)
    return list(found.values())


def _problem(
    path: str, text: str, combinations: Sequence[dict[str, Any]], lines: Mapping[str, int]
) -> ConfigProblem:
    """A problem of some combinations, named by what they have in common."""
    first, *others = combinations
    common = {p: v for p, v in first.items() if all(other[p] == v for other in others)}
    more = f", and {len(others)} more" if others and not common else ""
    said = f"{text.removesuffix('.')} (with {words(common or first)}{more})."
    line = next((lines[varied] for varied in (path, *common) if varied in lines), None)
    return ConfigProblem(path, said, line)


def words(values: Mapping[str, Any]) -> str:
    """`lora.rank=8, training.learning_rate=0.0002`."""
    return ", ".join(f"{path}={_plain(value)}" for path, value in values.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else shortened(value)


def _choices(sweep: Sweep) -> list[tuple[str, Choices]]:
    return [(path, spec) for path, spec in sweep.fields.items() if isinstance(spec, Choices)]


def _has_no_range(sweep: Sweep) -> bool:
    return not any(isinstance(spec, Range) for spec in sweep.fields.values())


def _grid(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """The last field changes fastest."""
    varied = _choices(sweep)
    for values in product(*(spec.values for _, spec in varied)):
        yield dict(zip((path for path, _ in varied), values, strict=True))


def _draws(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """As many different draws as the budget allows, or as there are."""
    dice = random.Random(sweep.seed)  # noqa: S311 - a choice, not a secret
    whole = {item.path for item in loading.fields() if item.kind == "int"}
    seen: set[str] = set()
    in_vain = 0
    while len(seen) < sweep.budget and in_vain < _VAIN:
        values = {
            path: dice.choice(spec.values)
            if isinstance(spec, Choices)
            else _drawn(spec, dice, path in whole)
            for path, spec in sweep.fields.items()
            if not isinstance(spec, Follow)
        }
        in_vain = in_vain + 1 if repr(values) in seen else 0
        if not in_vain:
            seen.add(repr(values))
            yield values


def _drawn(spec: Range, dice: random.Random, whole: bool) -> float:
    if spec.scale == "log":
        value = math.exp(dice.uniform(math.log(spec.min), math.log(spec.max)))
    elif whole:
        return dice.randint(int(spec.min), int(spec.max))
    else:
        value = dice.uniform(spec.min, spec.max)
    return round(value) if whole else within(spec, value)


def within(spec: Range, value: float) -> float:
    """A number in a few digits, which rounding does not take out of its range."""
    return min(spec.max, max(spec.min, float(f"{value:.{DIGITS}g}")))


def _corners(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Every choice with the ends of every range."""
    varied = {
        path: spec.values if isinstance(spec, Choices) else [spec.min, spec.max]
        for path, spec in sweep.fields.items()
        if not isinstance(spec, Follow)
    }
    for values in product(*varied.values()):
        yield dict(zip(varied, values, strict=True))
