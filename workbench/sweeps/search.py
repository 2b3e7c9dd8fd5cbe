"""Optuna's part of a sweep: the next run, by the results of those before it.

Nothing is kept of a search but its runs: the study is made anew from them each time, in memory,
so that whoever is killed when, the next one goes on where the runs are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from workbench.config import loading
from workbench.config.combinations import Combination, make, within
from workbench.config.sweep import HIGHER_IS_BETTER, Choices, Follow, Range, Sweep, Swept

_TRIES = 32
"""Suggestions in a row that there are runs of already, after which the search is over."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a run that was suggested."""

    asked: Mapping[str, Any]
    going_on: bool
    value: float | None
    """The metric of one that has finished; None of any other."""


def suggest(
    swept: Swept, told: Sequence[Told], known: Sequence[Mapping[str, Any]]
) -> tuple[Combination, dict[str, Any]] | None:
    """The next run and what optuna calls it; None where it has nothing new to suggest. `known`
    are the values of the runs that there are.

    The sampler is optuna's TPE with its defaults, of which the first ten runs are draws, and
    `constant_liar`, so that runs which go on are not suggested again. The same results and seed
    give the same suggestion. Raises ConfigError when it is no config.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seen = [dict(values) for values in known]
    for attempt in range(_TRIES):
        seed = swept.sweep.seed + _TRIES * len(told) + attempt
        asked = _ask(swept.sweep, told, seed % (1 << 32))
        made = make(swept, _values(swept.sweep, asked))
        if made.values not in seen:
            return made, asked
    return None


def _ask(sweep: Sweep, told: Sequence[Told], seed: int) -> dict[str, Any]:
    space = distributions(sweep)
    study = optuna.create_study(
        direction="maximize" if sweep.metric in HIGHER_IS_BETTER else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    )
    for one in told:
        state = TrialState.RUNNING if one.going_on else TrialState.FAIL
        if one.value is not None:
            state = TrialState.COMPLETE
        study.add_trial(
            create_trial(state=state, params=dict(one.asked), distributions=space, value=one.value)
        )
    return dict(study.ask(space).params)


def distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """What each field may be, in optuna's terms; choices by their place in the list."""
    whole = {item.path for item in loading.fields() if item.kind == "int"}
    return {
        path: _distribution(spec, path in whole)
        for path, spec in sweep.fields.items()
        if not isinstance(spec, Follow)
    }


def _distribution(spec: Choices | Range, whole: bool) -> BaseDistribution:
    if isinstance(spec, Choices):
        return CategoricalDistribution(range(len(spec.values)))
    log = spec.scale == "log"
    if whole:
        return IntDistribution(int(spec.min), int(spec.max), log=log)
    return FloatDistribution(spec.min, spec.max, log=log)


def _values(sweep: Sweep, asked: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for path, suggested in asked.items():
        spec = sweep.fields[path]
        if isinstance(spec, Choices):
            values[path] = spec.values[suggested]
        elif isinstance(spec, Range) and isinstance(suggested, float):
            values[path] = within(spec, suggested)
        else:
            values[path] = suggested
    return values
