"""Forecasts that rules ask for, each computed once: one of a base of 8B takes some 3 ms."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError

_KEPT = 64
_IDLE: Any = {
    "name": True,
    "accept": True,
    "checkpoints": True,
    "logging": True,
    "job": True,
    "data": {"dataset", "train_rows", "validation_rows"},
    "training": {
        "epochs",
        "max_steps",
        "learning_rate",
        "schedule",
        "warmup_ratio",
        "warmup_steps",
        "weight_decay",
        "max_gradient_norm",
        "neftune_alpha",
        "skip_limit",
        "rehearsal",
        "seed",
    },
    "evaluation": {
        "every",
        "patience",
        "samples",
        "sample_tokens",
        "sample_prompts",
        "metrics",
        "labels",
        "pattern",
        "against",
    },
}
"""Fields of a config that no forecast depends on: they may change without another one."""
_memory: OrderedDict[tuple[object, ...], tuple[BaseFacts, Forecast | None]] = OrderedDict()
"""The newest forecasts. The base is kept with each, so that no other can have its id."""


def foretell(known: Circumstances, config: RunConfig) -> Forecast | None:
    """The forecast of a config; None where the base isn't known, or has no such modules."""
    if known.base is None:
        return None
    key = (
        id(known.base),
        config.model_dump_json(exclude=_IDLE),
        known.machine.device,
        known.largest_work(config),
        known.new_ids,
    )
    if key not in _memory:
        try:
            found = known.forecast(config)
        except WorkbenchError:
            found = None
        _memory[key] = (known.base, found)
        if len(_memory) > _KEPT:
            _memory.popitem(last=False)
    _memory.move_to_end(key)
    return _memory[key][1]
