"""A config with its circumstances, and what several rules ask of the two."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from workbench.config import effective, processes
from workbench.config.advice.foretelling import foretell
from workbench.config.circumstances import TRAIN, VALIDATION, Circumstances, Machine
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.config.steps import Epoch, an_epoch
from workbench.config.trained import TrainedTensors, trained_tensors
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.data.lengths import Kept, Lengths

ROOM = 0.8
"""Share of the free memory that what is advised may take: what else goes on there changes."""
TIGHT = 0.9


@dataclass
class Case:
    """What the rules look at; figures are None where what they need isn't known."""

    config: RunConfig
    known: Circumstances

    @property
    def is_lora(self) -> bool:
        return self.config.training.method == "lora"

    @property
    def quantised(self) -> bool:
        return self.config.model.quantization != "none"

    @property
    def four_bits(self) -> bool:
        return self.config.model.quantization in ("nf4", "fp4")

    @property
    def machine(self) -> Machine:
        return self.known.machine

    @cached_property
    def parameters(self) -> int | None:
        """Of the base."""
        return self.known.base.parameters if self.known.base else None

    @property
    def scale(self) -> float:
        """What the adapter's update is multiplied by; 1 where there is none."""
        return effective.scale(self.config) or 1.0

    @property
    def limited(self) -> bool:
        """Whether not all rows are used."""
        data = self.config.data
        return data.train_rows is not None or data.validation_rows is not None

    @property
    def by_tokens(self) -> bool:
        """Whether a step has so many tokens, not rows."""
        return self.config.training.step_tokens is not None

    @property
    def rows_a_step(self) -> float | None:
        """By tokens on average."""
        if not self.by_tokens:
            return self.config.training.batch_size * self.config.training.accumulation
        return self.epoch.rows_a_step if self.epoch else None

    @property
    def rows_at_once(self) -> int | None:
        """None for `auto`, and where so many tokens go through the model at once."""
        training = self.config.training
        if training.micro_batch == "auto" or training.micro_batch_tokens is not None:
            return None
        return training.micro_batch or training.batch_size

    @cached_property
    def rows(self) -> int | None:
        """Training rows that are used, without those that the cutoff leaves out."""
        if self.known.dataset is None:
            return None
        rows = self.known.dataset.train
        data, lengths = self.config.data, self.lengths_of(TRAIN)
        # Where too long rows are refused none is left out: the run doesn't start.
        if lengths and data.too_long != "refuse":
            rows = lengths.at(data.max_length, data.too_long).rows_kept
        return min(data.train_rows or rows, rows)

    @property
    def validation_rows(self) -> int | None:
        if self.known.dataset is None:
            return None
        rows = self.known.dataset.validation
        return min(self.config.data.validation_rows or rows, rows)

    @cached_property
    def epoch(self) -> Epoch | None:
        """A pass over the training rows."""
        if not self.rows:
            return None
        config = self.config
        if config.data.too_long == "refuse":
            # Cut or not, each of them is a row.
            config = self.with_values(data={"too_long": "truncate"}) or config
            if not self.by_tokens:
                return an_epoch(config, self.rows, None)
        return an_epoch(config, self.rows, self.lengths_of(TRAIN))

    @property
    def steps_an_epoch(self) -> int | None:
        return self.epoch.steps if self.epoch else None

    @cached_property
    def steps(self) -> int | None:
        """Of the whole run."""
        training = self.config.training
        if training.max_steps is not None:
            return training.max_steps
        if self.steps_an_epoch is None:
            return None
        return math.ceil(round(training.epochs * self.steps_an_epoch, 6))

    @property
    def passes(self) -> float | None:
        """Passes over the training rows."""
        training = self.config.training
        if training.max_steps is None:
            return training.epochs
        return training.max_steps / self.steps_an_epoch if self.steps_an_epoch else None

    def lengths_of(self, split: str) -> Lengths | None:
        """None for a split that nobody measured, or that has no row."""
        lengths = self.known.dataset.lengths.get(split) if self.known.dataset else None
        return lengths if lengths and lengths.rows else None

    @property
    def lengths(self) -> list[Lengths]:
        """Of all splits that were measured."""
        found = (self.lengths_of(split) for split in (TRAIN, VALIDATION))
        return [lengths for lengths in found if lengths]

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row of all."""
        return max((lengths.longest for lengths in self.lengths), default=None)

    def kept(self, cutoff: int | None = None, too_long: str | None = None) -> list[Kept]:
        """What a cutoff (default: the config's) leaves of each split."""
        data = self.config.data
        return [
            lengths.at(cutoff or data.max_length, too_long or data.too_long)
            for lengths in self.lengths
        ]

    @cached_property
    def trained(self) -> TrainedTensors | None:
        """What is trained; None where the base isn't known, or has no such modules."""
        with suppress(WorkbenchError):
            if self.known.base is not None:
                return trained_tensors(self.config, self.known.base, self.known.new_ids)
        return None

    @property
    def free(self) -> int | None:
        """Bytes that one device has free; None where nobody tells, and for a model that is
        spread over several, of which the forecast says nothing."""
        spread = False
        with suppress(WorkbenchError):  # a file of accelerate that can't be used is told elsewhere
            spread = processes.spreads_weights(self.config)
        return None if spread else self.machine.free

    @property
    def forecast(self) -> Forecast | None:
        """None where it can't be told."""
        return foretell(self.known, self.config)

    def share(self, forecast: Forecast | None) -> float | None:
        """What a forecast takes of the memory that is free."""
        if forecast is None or not self.free:
            return None
        return forecast.total / self.free

    def foretold(self, **sections: dict[str, Any]) -> Forecast | None:
        """The forecast of this config with other values: `training={"micro_batch": 1}`."""
        changed = self.with_values(**sections)
        return foretell(self.known, changed) if changed else None

    def with_values(self, **sections: dict[str, Any]) -> RunConfig | None:
        """This config with other values; None where these can't be had together."""
        body = self.config.model_dump()
        for section, values in sections.items():
            body[section] = {**body[section], **values}
        try:
            return RunConfig.model_validate(body)
        except ValidationError:
            return None

    def seen(self) -> Iterator[tuple[str, float]]:
        """How often each different row of a task is seen on average, by task."""
        dataset = self.known.dataset
        if dataset is None or self.passes is None:
            return
        total = sum(task.rows for task in dataset.tasks.values())
        used = min(self.config.data.train_rows or total, total)
        for name, task in dataset.tasks.items():
            if task.different:
                yield name, self.passes * used / total * task.rows / task.different
