"""What a run is expected to take, said before its first step: its report holds it against what
was measured."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.config import processes
from workbench.config.activations import Work
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import (
    TRAIN,
    VALIDATION,
    Circumstances,
    DatasetFacts,
    Machine,
)
from workbench.config.duration import Span, forecast_time
from workbench.config.memory import Device, Forecast, forecast
from workbench.config.schema import Model, RunConfig
from workbench.data.lengths import Lengths
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.hardware import host
from workbench.jobs.events import Foretold
from workbench.planning.past import past_runs
from workbench.training import model
from workbench.training.token_cache import EncodedRows
from workbench.workspace import Workspace


class Foreteller:
    """Of one run, on the device that it is computed on."""

    def __init__(
        self, config: RunConfig, base: Path, template: ChatTemplate, device: torch.device
    ) -> None:
        """`base` is the folder of the base model."""
        self._config, self._base, self._template = config, base, template
        gpu = device.type == "cuda"
        processor = host.processor()
        self._machine = Machine(
            Device(gpu, model.pick_dtype(Model(), device) == torch.bfloat16),
            model.device_name(device),
            None,
            model=model.device_name(device) if gpu else processor.name,
            processors=processor.count,
            vectors=processor.vectors,
        )

    def memory(self, work: Work) -> Forecast | None:
        """By the base's files; None where they don't give it, or where each rank has a share of
        the model."""
        config = self._config
        if processes.spreads_weights(config):
            return None
        try:
            facts = BaseFacts.of(self._base)
            return forecast(config, facts, work, self._machine.device, self._template.new_ids)
        except WorkbenchError:
            return None

    def time(self, folder: Path, train: EncodedRows, validation: EncodedRows) -> Foretold | None:
        """Of the run in `folder`, with these very rows; None where the base's files don't give
        it."""
        splits = {TRAIN: train, VALIDATION: validation}
        lengths = {
            name: Lengths.of_rows(rows.lengths.tolist(), rows.trained.tolist())
            for name, rows in splits.items()
            if len(rows)
        }
        reference = self._config.data.dataset
        rows = DatasetFacts(reference, len(train), len(validation), lengths=lengths)
        past = past_runs(Workspace(folder.parent.parent), apart_from=folder.name)
        try:
            facts = BaseFacts.of(self._base)
            known = Circumstances(self._machine, facts, None, rows, (), past)
            found = forecast_time(self._config, known)
        except WorkbenchError:
            return None
        return Foretold(
            step_seconds=_bounds(found.step),
            epoch_seconds=_bounds(found.epoch),
            run_seconds=_bounds(found.whole),
            basis=found.basis,
        )


def _bounds(span: Span | None) -> list[float] | None:
    return None if span is None else [span.low, span.high]
