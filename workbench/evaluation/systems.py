"""The two systems of an evaluation: a run's base, and what the run made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel

from workbench.config.schema import RunConfig
from workbench.evaluation.request import BASE
from workbench.training import embeddings, model
from workbench.training.memory import advised
from workbench.training.saving import Trained


class Systems:
    """Gives one system's model at a time.

    With an adapter both are one model, loaded once, whose adapter is switched off for the base.
    Of a run that trained all weights there are two, of which one is in memory.
    """

    def __init__(
        self,
        config: RunConfig,
        base: Path,
        result: Path,
        device: torch.device,
        new_ids: tuple[int, ...],
    ) -> None:
        """`base` and `result` are the folders of both; `new_ids` the tokens that the run adds.

        Raises WorkbenchError when they can't be loaded.
        """
        self._config = config
        self._base, self._result = base, result
        self._device, self._new_ids = device, new_ids
        self._adapted = None
        if config.training.method == "lora":
            self._adapted = model.load_adapter(self._load(base), result)

    @contextmanager
    def of(self, system: str) -> Iterator[Trained]:
        """The model of a system, for as long as the context lasts."""
        if self._adapted is None:
            yield self._load(self._base if system == BASE else self._result)
        elif system == BASE:
            with self._adapted.disable_adapter():
                yield self._adapted
        else:
            yield self._adapted

    def _load(self, folder: Path) -> PreTrainedModel:
        dtype = model.training_dtype(self._config, self._device)
        with advised(self._config, "loading"):
            loaded = model.load_base(folder, self._config.model, self._device, dtype)
            if folder == self._base:
                embeddings.make_room(loaded, self._new_ids)
        loaded.eval()
        return loaded
