"""The time of a run before it runs: operations, by `flops`, over what the machine reaches.

Always between two bounds. What it reaches is known from an earlier run of the workspace on the same
device, else from the device's name (`speeds`). Loading, encoding and checkpoints are left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from workbench.config import flops, speeds
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import TRAIN, VALIDATION, Circumstances, PastRun
from workbench.config.effective import plan, rows_of, validations
from workbench.config.flops import Passing
from workbench.config.memory import base_dtype, weight_bytes
from workbench.config.schema import RunConfig
from workbench.config.speeds import Speed
from workbench.config.steps import StepSize
from workbench.config.trained import trained_tensors

if TYPE_CHECKING:
    from workbench.data.lengths import Lengths

SAME, OTHER = (0.8, 1.3), (0.5, 2.0)
"""Times the speed of an earlier run that another reaches: of the same base and method, and of
others on the same device. Our own bounds; docs/forecast.md has what was measured."""
_BELIEVED = 3
"""Earlier runs that are asked."""
_QUANTISED = {"none": (1.0, 1.0), "nf4": (1.02, 1.62), "fp4": (1.02, 1.62), "int8": (1.15, 3.0)}
"""Times as long as with the base whole. 4 bits: 1.02 in large batches and compiled (torchtune's
README, 3B on an A100), 1.44 (H2O LLM Studio's page on performance, 7B on an A100), 1.62 in small
ones (LitGPT's tutorial on LoRA). 8 bits: 1.15 of a model of 176B to 3 of one of 3B (Hugging Face's
"A Gentle Introduction to 8-bit Matrix Multiplication", 2022)."""
_DORA = (1.1, 1.4)
"""Times as long as LoRA: 1.26 in PEFT's MetaMathQA benchmark, 1191 s to 942."""
_READING = {False: (1e9, 2e10), True: (2e11, 3e12)}
"""Bytes of weights that go through a processor, or a GPU, in a second while answers are generated a
token at a time: from a fifth of the slowest memory that is usual to the fastest's own."""
_A_TOKEN = (0.15e-3, 1.5e-3)
"""Seconds a layer that launching the kernels of one token's forward pass takes on a GPU."""
_EARLIEST = 0.2
"""Share of evaluation.sample_tokens that answers have at least, taken together."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds, between two bounds."""

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def times(self, count: float) -> Span:
        return Span(count * self.low, count * self.high)

    @property
    def middle(self) -> float:
        """The geometric mean: bounds are factors, not distances."""
        return math.sqrt(self.low * self.high)


@dataclass(frozen=True, slots=True)
class TimeForecast:
    """How long a run takes; None is what isn't known."""

    step: Span | None
    epoch: Span | None
    """Its steps alone."""
    training: Span | None
    """All steps."""
    validations: Span | None
    answers: Span | None
    """To `evaluation.samples` rows at each validation."""
    whole: Span | None
    tokens_per_second: Span | None
    """Of training, prompts included, padding not: `low` is the slowest."""
    steps: int | None
    tokens: float | None
    """Of an epoch."""
    flops: dict[str, float] | None
    """Operations of a step, by part."""
    basis: str
    """What the speed is taken from."""
    unknown: tuple[str, ...] = ()
    """Why something isn't known, and what is left out, a sentence each."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def forecast_time(config: RunConfig, known: Circumstances) -> TimeForecast:
    """How long a run of `config` takes on the machine of `known`.

    Raises WorkbenchError for modules that the config names and the base has not.
    """
    facts = known.base
    if facts is None:
        return _nothing("the base isn't known")
    speed = _speed(config, known)
    if speed is None:
        where = known.machine.model or known.machine.name
        return _nothing(f"nobody knows how fast {where} is; the first run here will tell")
    return _forecast(config, known, facts, speed)


def _nothing(why: str) -> TimeForecast:
    return TimeForecast(*(None,) * 10, basis=why)


def _forecast(
    config: RunConfig, known: Circumstances, facts: BaseFacts, speed: Speed
) -> TimeForecast:
    unknown = []
    lengths = known.dataset.lengths if known.dataset else {}
    epoch, total = plan(config, known)
    trained = trained_tensors(config, facts, known.new_ids)
    if TRAIN in lengths and epoch is not None:
        passing = Passing.of(lengths[TRAIN], config, facts, epoch.rows_a_step)
    else:
        passing = Passing.of_equal(_rows_at_most(config), config.data.max_length, facts)
        unknown.append("Rows were never measured: each is taken to have data.max_length tokens.")
    tokens = passing.tokens
    if TRAIN in lengths and epoch and not config.training.packing and not speed.padded:
        passing = passing.padded(_padding(lengths[TRAIN], config, round(epoch.rows_a_step)))
    counted = flops.of_training(config, facts, trained, passing)
    ways = _ways(config, known)
    batches = math.ceil(passing.tokens / max(1, known.largest_work(config).tokens))
    step = _span(counted.total / ways, speed, known, facts, batches / ways)
    training = step.times(total) if total else None
    validations, answers = _validating(config, known, facts, speed, total, ways)
    if total is None:
        unknown.append("How many rows there are isn't known, so only a step can be told.")
    if ways > 1:
        unknown.append("What processes tell each other is not counted.")
    if config.training.compile:
        unknown.append("Nor is what torch.compile takes to begin with, and saves later.")
    whole = training + validations + answers if training and validations and answers else None
    return TimeForecast(
        step=step,
        epoch=step.times(epoch.steps) if epoch else None,
        training=training,
        validations=validations,
        answers=answers,
        whole=whole,
        tokens_per_second=Span(tokens / step.high, tokens / step.low),
        steps=total,
        tokens=epoch.tokens if epoch else None,
        flops=asdict(counted),
        basis=speed.why,
        unknown=tuple(unknown),
    )


def _ways(config: RunConfig, known: Circumstances) -> int:
    """Devices that share the work; processes without GPUs share the one there is."""
    return config.job.processes if known.machine.device.gpu else 1


def _span(
    operations: float, speed: Speed, known: Circumstances, facts: BaseFacts, batches: float
) -> Span:
    low, high = operations / speed.high, operations / speed.low
    if known.machine.device.gpu and not speed.measured:
        launched = batches * facts.layers
        low = max(low, launched * speeds.LAUNCHING[0])
        high += launched * speeds.LAUNCHING[1]
    return Span(low, high)


def _speed(config: RunConfig, known: Circumstances) -> Speed | None:
    machine = known.machine
    dtype = base_dtype(config, machine.device)
    if past := _past(config, known, dtype):
        return _of_past(past, config)
    if machine.device.gpu:
        found = speeds.of_gpu(machine.model, dtype)
    else:
        found = speeds.of_processor(max(1, machine.processors), machine.vectors, dtype)
    return found and _slowed(found, _slowness(config))


def _past(config: RunConfig, known: Circumstances, dtype: str) -> list[PastRun]:
    """The newest runs on this device in this format: of the same base and method, else of any."""
    machine = known.machine
    here = [
        run
        for run in known.past
        if run.gpu == machine.device.gpu
        and run.dtype == dtype
        and (run.model == machine.model or (not run.model and not run.gpu))
    ]
    return ([run for run in here if _is_like(run, config)] or here)[:_BELIEVED]


def _is_like(run: PastRun, config: RunConfig) -> bool:
    return run.base == config.model.base and _kind(run) == (
        config.training.method,
        config.model.quantization,
        config.lora.dora,
    )


def _kind(run: PastRun) -> tuple[str, str, bool]:
    return run.method, run.quantization, run.dora


def _of_past(past: list[PastRun], config: RunConfig) -> Speed:
    """Between the slowest and the fastest of them: others may have been on the machine."""
    newest = past[0]
    told = (
        f"{newest.run} did: {newest.tokens_per_second:,.0f} tokens/s, "
        f"{newest.flops / 1e9:,.0f} GFLOP/s"
    )
    if more := len(past) - 1:
        told += f" (and {more} before it)"
    if _is_like(newest, config):
        low, high, how = SAME[0], SAME[1], "with this base and method"
    else:
        low, high, how = OTHER[0], OTHER[1], f"with {newest.base} by {_method(newest)}"
    of_each = [(run.flops * factor) for run in past for factor in _against(run, config)]
    return Speed(
        low * min(of_each),
        high * max(of_each),
        f"as {told}, {how}, here",
        measured=True,
        padded=not newest.packed,
    )


def _against(run: PastRun, config: RunConfig) -> tuple[float, float]:
    """Times a run's speed that one with this config's base has for how it is held."""
    if (run.quantization, run.dora) == (config.model.quantization, config.lora.dora):
        return 1.0, 1.0
    before, now = _factors(run.quantization, run.dora), _slowness(config)
    return before[0] / now[1], before[1] / now[0]


def _method(run: PastRun) -> str:
    return run.method if run.quantization == "none" else f"{run.method} on {run.quantization}"


def _slowness(config: RunConfig) -> tuple[float, float]:
    return _factors(config.model.quantization, config.lora.dora)


def _factors(quantization: str, dora: bool) -> tuple[float, float]:
    low, high = _QUANTISED[quantization]
    return (low * _DORA[0], high * _DORA[1]) if dora else (low, high)


def _slowed(speed: Speed, slower: tuple[float, float]) -> Speed:
    if slower == (1.0, 1.0):
        return speed
    why = f"{speed.why}; {slower[0]:.2g} to {slower[1]:.2g} times as long for how its base is held"
    return Speed(speed.low / slower[1], speed.high / slower[0], why)


def _validating(
    config: RunConfig,
    known: Circumstances,
    facts: BaseFacts,
    speed: Speed,
    steps: int | None,
    ways: int,
) -> tuple[Span | None, Span | None]:
    """All validations of a run, and the answers that come with them."""
    rows = rows_of(config, known, VALIDATION)
    if rows is None or steps is None:
        return None, None
    count = validations(config, steps, rows)
    if not count:
        return Span(0, 0), Span(0, 0)
    measured = known.dataset.lengths.get(VALIDATION) if known.dataset else None
    if measured is not None:
        passing = Passing.of(measured, config, facts, rows)
    else:
        passing = Passing.of_equal(rows, config.data.max_length, facts)
    trained = trained_tensors(config, facts, known.new_ids)
    counted = flops.of_validation(config, facts, trained, passing)
    batches = math.ceil(rows / config.evaluation.batch_size)
    once = _span(counted.total / ways, speed, known, facts, batches / ways)
    return once.times(count), _answering(config, known, facts).times(count)


def _answering(config: RunConfig, known: Circumstances, facts: BaseFacts) -> Span:
    """The answers of one validation: every token reads all weights once."""
    evaluation, machine = config.evaluation, known.machine
    if not evaluation.asked:
        return Span(0, 0)
    dtype = base_dtype(config, machine.device)
    held = weight_bytes(config, facts, dtype, known.new_ids)
    read = [run.reading for run in _past(config, known, dtype) if run.reading is not None]
    low, high = _READING[machine.device.gpu]
    if read:
        low, high = OTHER[0] * min(read), OTHER[1] * max(read)
    tokens = evaluation.sample_tokens * math.ceil(evaluation.asked / evaluation.batch_size)
    a_token = Span(held / high, held / low)
    if machine.device.gpu and not read:
        a_token += Span(facts.layers * _A_TOKEN[0], facts.layers * _A_TOKEN[1])
    return Span(_EARLIEST * tokens * a_token.low, tokens * a_token.high)


def _rows_at_most(config: RunConfig) -> float:
    """Rows of the longest length that a step has."""
    size = StepSize.of(config.training, config.job.processes)
    return size.rows or size.tokens / config.data.max_length


def _padding(lengths: Lengths, config: RunConfig, a_step: int) -> float:
    """Tokens of padded batches to those of their rows: rows of a step go together by length, so a
    batch is as long as the longest of its share. By rows at even places of the distribution."""
    training, most = config.training, config.data.max_length
    shares = [(n + 0.5) / max(1, a_step) for n in range(max(1, a_step))]
    row = [min(lengths.percentile(share), most) for share in reversed(shares)]
    padded = start = 0
    while start < len(row):
        at_once = training.micro_batch or training.batch_size
        if training.micro_batch_tokens:
            at_once = training.micro_batch_tokens // max(1, row[start])
        taken = row[start : start + (training.batch_size if at_once == "auto" else max(1, at_once))]
        padded += row[start] * len(taken)
        start += len(taken)
    return padded / max(1, sum(row))
