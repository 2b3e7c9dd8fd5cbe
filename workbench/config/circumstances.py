"""What a config is judged by: its base, its rows and the machine, as far as they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.config.activations import Work
from workbench.config.base_facts import BaseFacts
from workbench.config.memory import Device, Forecast, forecast, largest_work
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize

if TYPE_CHECKING:
    from workbench.data.lengths import Lengths

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the run would be computed: the GPU with the most free memory, else the processor."""

    device: Device
    name: str
    free: int | None
    """Bytes; None where nobody tells."""
    total: int | None = None
    gpus: int = 0
    """GPUs that the driver tells of."""
    model: str = ""
    """The GPU's name, or the processor's; empty where nobody tells."""
    processors: int = 0
    """That this process may use."""
    vectors: str = ""
    """The processor's best vector unit, by the kernel's name of it."""


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a base's tokenizer and chat template do."""

    chat: bool
    """Whether it has a chat template."""
    system: bool
    """Whether the template writes what a system turn says."""
    pad_ends: bool
    """Whether padding is a token that ends an answer, or the tokenizer has none of its own."""
    new_ids: tuple[int, ...] = ()
    """Token ids of `model.new_tokens`."""
    bytes: int = 0
    """Of the tokenizer's files, which are copied beside an adapter or a model."""


@dataclass(frozen=True, slots=True)
class TaskRows:
    """Training rows of a task."""

    rows: int
    """With repeats."""
    different: int


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a dataset version without reading its rows."""

    reference: str
    """`NAME@VERSION`."""
    train: int
    """Rows."""
    validation: int
    systems: int = 0
    """Turns that a system field makes."""
    plain_texts: int = 0
    """Rows that are text without turns."""
    tasks: Mapping[str, TaskRows] = field(default_factory=dict)
    """Training rows by task; the empty name is that of rows without one."""
    lengths: Mapping[str, Lengths] = field(default_factory=dict)
    """Tokens of rows by split, under this base's template; empty where no verdict was made."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """What an earlier run of the workspace has reached."""

    run: str
    model: str
    """The GPU or the processor, as in `Machine`; empty in runs of earlier releases."""
    gpu: bool
    dtype: str
    """Of its base."""
    base: str
    method: str
    quantization: str
    dora: bool
    packed: bool
    tokens_per_second: float
    flops: float
    """Operations a second, by `config.flops`, of each of its devices: the middle step's."""
    reading: float | None = None
    """Bytes of weights a second while it answered rows; None where it answered none."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All of it; None stands for what isn't known."""

    machine: Machine
    base: BaseFacts | None = None
    template: TemplateFacts | None = None
    dataset: DatasetFacts | None = None
    unknown: tuple[str, ...] = ()
    """What isn't known and how to have it known, a sentence each."""
    past: tuple[PastRun, ...] = ()
    """Runs that took steps here, the newest first."""
    disk_free: int | None = None
    """Bytes where runs are written."""

    @property
    def new_ids(self) -> tuple[int, ...]:
        return self.template.new_ids if self.template else ()

    def largest_work(self, config: RunConfig, *, full_length: bool = False) -> Work:
        """The largest batch that the rows can give; of rows that were never measured, and at
        `full_length`, each is taken to have `data.max_length` tokens."""
        lengths = self.dataset.lengths if self.dataset and not full_length else {}
        train, validation = lengths.get(TRAIN), lengths.get(VALIDATION)
        share = 1.0
        if measured := self.dataset and self.dataset.lengths.get(TRAIN):
            kept = measured.at(config.data.max_length, config.data.too_long)
            share = kept.trained_kept / kept.tokens_kept if kept.tokens_kept else 1.0
            # The largest batch is of the longest rows, which may be long for their answers.
            share = max(share, measured.densest(config.training.batch_size))
        return largest_work(
            config,
            train.longest if train else None,
            share,
            validation.longest if validation else None,
        )

    def forecast(self, config: RunConfig, *, full_length: bool = False) -> Forecast | None:
        """What `config` takes of the machine's memory; None where the base isn't known.

        Raises WorkbenchError for modules that the config names and the base has not.
        """
        if self.base is None:
            return None
        if config.training.micro_batch == "auto":
            return self._fitting(config, full_length)
        work = self.largest_work(config, full_length=full_length)
        return forecast(config, self.base, work, self.machine.device, self.new_ids)

    def _fitting(self, config: RunConfig, full_length: bool) -> Forecast | None:
        """Of the rows at once that `auto` would find: 1, 2, 4, … of a step's as long as they fit
        into what is free; one, where that isn't known."""
        size = StepSize.of(config.training, config.job.processes)
        found, rows = None, 1
        while True:
            training = config.training.model_copy(update={"micro_batch": rows})
            tried = self.forecast(
                config.model_copy(update={"training": training}), full_length=full_length
            )
            if tried is None or (found and tried.total > (self.machine.free or 0)):
                return found
            most = size.rows or -(-size.tokens // tried.work.longest)
            if rows >= most or self.machine.free is None:
                return tried
            found, rows = tried, min(2 * rows, most)
