"""The systems of an evaluation, loaded: a base, what runs made of it, and whole models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel

from workbench.config.schema import RunConfig
from workbench.evaluation.sources import Source
from workbench.training import embeddings, model
from workbench.training.memory import advised
from workbench.training.saving import Trained


class Systems:
    """Gives one system's model at a time.

    A base and all adapters of it are one model, loaded once: the adapters are switched off for
    the base, and on one at a time. Of whole models one is in memory at a time.
    """

    def __init__(
        self,
        config: RunConfig,
        sources: Sequence[Source],
        device: torch.device,
        new_ids: tuple[int, ...],
    ) -> None:
        """`sources` in the order in which they will be asked for; `new_ids` are the tokens that
        the run adds to its base."""
        self._config, self._sources = config, sources
        self._device, self._new_ids = device, new_ids
        self._loaded: tuple[Path, Trained] | None = None

    @contextmanager
    def of(self, source: Source) -> Iterator[Trained]:
        """The model of a system, for as long as the context lasts.

        Raises WorkbenchError when it can't be loaded.
        """
        if self._loaded is None or self._loaded[0] != source.model:
            self.drop()
            self._loaded = source.model, self._load(source)
        loaded = self._loaded[1]
        if not isinstance(loaded, PeftModel):
            yield loaded
        elif source.adapter is None:
            with loaded.disable_adapter():
                yield loaded
        else:
            loaded.set_adapter(self._name(source))
            yield loaded.eval()

    def drop(self) -> None:
        """Let go of what is loaded: there is room for another."""
        self._loaded = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, source: Source) -> Trained:
        dtype = model.training_dtype(self._config, self._device)
        how = self._config.model
        if source.whole:
            how = how.model_copy(update={"quantization": "none"})
        with advised(self._config, "loading"):
            base = model.load_base(source.model, how, self._device, dtype)
            if not source.whole:
                embeddings.make_room(base, self._new_ids)
            loaded: Trained = base
            for other in self._sources:
                if other.model == source.model and other.adapter is not None:
                    loaded = model.load_adapter(loaded, other.adapter, self._name(other))
        return loaded.eval()

    def _name(self, source: Source) -> str:
        """By which PEFT knows an adapter: a run's id may have a dot, which no module has."""
        return f"adapter_{self._sources.index(source)}"
