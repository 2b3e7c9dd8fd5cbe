"""From a model to one whose batches are known to go through it: packing, sharding, rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from workbench.config import deepspeed, processes
from workbench.config.activations import Work
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.jobs.events import Notice, Progress, Rehearsed
from workbench.jobs.log import LogWriter
from workbench.training import (
    checkpoint,
    checks,
    compiled,
    compiling,
    fast_lora,
    four_bits,
    pointwise,
    rehearsal,
    sharding,
)
from workbench.training.batches import Batch, Layout, Row, collate, common_beginning, lengths_of
from workbench.training.decoder import decoder_layers
from workbench.training.loss import TrainedTokenLoss, causal_model
from workbench.training.memory import advised, is_shortage
from workbench.training.model import count_parameters
from workbench.training.neftune import Neftune
from workbench.training.optimizers import make_optimizer, parameter_groups
from workbench.training.ranks import Ranks
from workbench.training.saving import Trained
from workbench.training.zero import Zero

Foretell = Callable[[Work], Forecast | None]
"""What a rehearsal of these batches should take at most; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A model with its loss, and how rows are laid out for it."""

    config: RunConfig
    model: Trained
    measure: TrainedTokenLoss
    layout: Layout
    validation_layout: Layout
    sharded: bool
    """By FSDP2."""
    parameters: tuple[int, int]
    """Trained ones and all; a 4-bit weight that is spread no longer says what it stands for."""
    rehearsed: Rehearsed | None = None
    """What the rehearsal took; None where there was none."""
    zero: Zero | None = None
    """DeepSpeed's engine, where that is asked for; it has an optimiser."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """A new one, over what is trained."""
        return make_optimizer(parameter_groups(self.model, self.config), self.config.training)


def make_ready(
    config: RunConfig,
    model: Trained,
    train: Sequence[Row],
    validation: Sequence[Row],
    *,
    pad_id: int,
    device: torch.device,
    log: LogWriter,
    ranks: Ranks,
    found: int | None = None,
    foretell: Foretell = lambda work: None,
) -> Ready:
    """Prove the loss of this model, pack if it can, spread it if that is asked for, and rehearse.

    `found` is how many rows at once an earlier start of the run has found to fit: a run that is
    resumed goes on with them, whatever memory is free now. `foretell` says what the rehearsal is
    held against. Raises WorkbenchError for a model
    whose loss can't be computed here, and where memory is not enough for the largest batch, with
    what would help.
    """
    training = config.training
    some_row = next(row for row in train if row.trained_tokens)
    with advised(config, "training"):
        checks.check_loss(model, some_row, pad_id)
    longest = max(max(lengths_of(train)), max(lengths_of(validation), default=1))
    apart = checks.positions_depend_on_batch(model, longest)
    if apart:
        log.write(Notice(f"Rows go through the model one at a time: {apart}.", "warning"))
        layouts = (Layout(1, longest, pad_id, packed=False),) * 2
    else:
        layouts = _layouts(config, model, train, validation, pad_id, log, ranks)
    sharded = config.job.sharding == "fsdp" and ranks.count > 1
    asked = processes.of_deepspeed(config)
    # By DeepSpeed each module fetches its own weights, and all ranks have to call the same ones.
    by_module = asked is not None and deepspeed.spreads_weights(asked)
    if training.compile:
        _compile_layers(model)
        if training.rehearsal:
            log.write(Progress("compiling decoder layers", 0, 1))
            with advised(config, "training"):
                checks.check_compiled(model, train, layouts[0])
    elif not by_module:
        _speed_up(model, some_row, device, log, ranks, sharded=sharded)
    noise = None
    if training.neftune_alpha:
        noise = Neftune(causal_model(model), training.neftune_alpha)
    measure = TrainedTokenLoss(model, noise, at_once=by_module)
    parameters = count_parameters(model)
    if sharded:
        sharding.shard(measure, causal_model(model), device, ranks.count)
    ready = Ready(config, model, measure, *layouts, sharded, parameters)
    if asked is not None:
        settings = deepspeed.engine(asked, config)
        little = Row(torch.full((2,), pad_id), torch.tensor([False, True]), 1)
        batch = collate([little], [0], ready.layout, device)
        engine = Zero(measure, ready.make_optimizer(), settings, device, batch)
        ready = replace(ready, zero=engine)
    if not ranks.first:
        # What is trained began with the seed's own numbers, on all ranks with the same; dropout
        # and noise are to be each one's own.
        torch.manual_seed(training.seed + ranks.number)
    if training.micro_batch == "auto" and not apart:
        ready = _with_fitting_batch(ready, train, device, log, ranks, found)
    if training.rehearsal:
        rehearsed = _rehearse(ready, train, validation, device, log, ranks, foretell)
        ready = replace(ready, rehearsed=rehearsed)
    return ready


def _layouts(
    config: RunConfig,
    model: Trained,
    train: Sequence[Row],
    validation: Sequence[Row],
    pad_id: int,
    log: LogWriter,
    ranks: Ranks,
) -> tuple[Layout, Layout]:
    """How rows are laid out in training and in validation."""
    training = config.training
    size = training.batch_size if training.micro_batch is None else training.micro_batch
    packed = training.packing and _pack(model, train, pad_id, log, ranks)
    at_once = training.micro_batch_tokens or 0
    beginning = common_beginning(train) if packed and not training.neftune_alpha else ()
    some_row = next(row for row in train if row.trained_tokens)
    (alone,) = ranks.agree([not (beginning and checks.shares(model, some_row, pad_id))])
    how = (pad_id, packed, () if alone else beginning)
    return (
        Layout(
            0 if at_once else 1 if size == "auto" else size,
            max(lengths_of(train)),
            *how,
            tokens=at_once,
        ),
        Layout(config.evaluation.batch_size, max(lengths_of(validation), default=1), *how),
    )


def _pack(model: Trained, rows: Sequence[Row], pad_id: int, log: LogWriter, ranks: Ranks) -> bool:
    reason = checks.pack(model, rows, pad_id)
    (refused,) = ranks.agree([bool(reason)])
    if refused:
        reason = reason or "another rank can't"
        log.write(Notice(f"Rows are padded, not packed: {reason}.", "warning"))
    return not refused


def _compile_layers(model: Trained) -> None:
    fast_lora.for_compiler(model)
    for layer in decoder_layers(causal_model(model)):
        layer.compile(dynamic=True)


def _speed_up(
    model: Trained, row: Row, device: torch.device, log: LogWriter, ranks: Ranks, *, sharded: bool
) -> None:
    """The faster layers, where gradients stay what they are."""
    # A model that is to be spread is not on its device yet.
    there = next(model.parameters()).device.type == device.type
    plain = checks.first_gradients(model, row) if there else ()
    fast_lora.speed_up(model, copied=not sharded)
    if device.type == "cuda":
        _compile_parts(model, device, log)
    why = _wrong_with_faster(model, row, plain) if plain else ""
    (wrong,) = ranks.agree([bool(why)])
    if wrong:
        compiled.take_back(model)
        text = why or "the faster layers don't work for another process of this run"
        log.write(Notice(f"Steps are slower than they could be: {text}.", "warning"))


def _wrong_with_faster(model: Trained, row: Row, plain: Sequence[torch.Tensor]) -> str:
    """What is wrong with the faster layers, by the gradients without them; empty where nothing
    is."""
    try:
        off = checks.apart(checks.first_gradients(model, row), plain, model)
    except Exception as error:
        if is_shortage(error):
            raise
        # Such as a kernel that can't be compiled for this GPU, or not for these widths.
        return f"the faster layers don't work here: {' '.join(str(error).split())[:200]}"
    return f"the faster layers give this family gradients that are {off:.1%} off" if off else ""


def _compile_parts(model: Trained, device: torch.device, log: LogWriter) -> None:
    if why := compiling.problem(device) or pointwise.problem(device):
        text = f"Steps are slower than they could be: Triton doesn't work here: {why}"
        log.write(Notice(text, "warning"))
        return
    log.write(Progress("compiling norms and activations", 0, 1))
    compiled.speed_up(model)
    quantised = getattr(causal_model(model), "is_loaded_in_4bit", False)
    why = four_bits.problem(device) if quantised else ""
    if why:
        text = f"Steps are slower than they could be: bitsandbytes unpacks 4 bits itself: {why}"
        log.write(Notice(text, "warning"))


def _with_fitting_batch(
    ready: Ready,
    train: Sequence[Row],
    device: torch.device,
    log: LogWriter,
    ranks: Ranks,
    found: int | None,
) -> Ready:
    """As many rows at once as fit; each rank tries, and the least that fits on any counts."""
    most = rehearsal.most_at_once(lengths_of(train), ready.layout, _step_of(ready), ranks.count)

    def tell(size: int) -> None:
        log.write(Progress("trying micro-batches", size, most, "rows"))

    def attempt(layout: Layout) -> rehearsal.Result:
        return _go_through(replace(ready, layout=layout), train, (), device, ranks)

    if found is not None:
        return replace(ready, layout=replace(ready.layout, size=min(found, most)))
    layout = rehearsal.largest_that_fits(ready.layout, most, attempt, device, tell)
    # The least is the largest of what is left of it.
    (short,) = ranks.agree([most - layout.size])
    layout = replace(layout, size=most - short)
    log.write(Notice(f"micro_batch auto: {layout.size} rows at once fit, of {most} a step."))
    return replace(ready, layout=layout)


def _step_of(ready: Ready) -> StepSize:
    return StepSize.of(ready.config.training, ready.config.job.processes)


def _rehearse(
    ready: Ready,
    train: Sequence[Row],
    validation: Sequence[Row],
    device: torch.device,
    log: LogWriter,
    ranks: Ranks,
    foretell: Foretell,
) -> Rehearsed:
    log.write(Progress("rehearsing the largest batches", 0, 1))
    result = _go_through(ready, train, validation, device, ranks)
    expected = foretell(result.work)
    told = Rehearsed(
        result.rows,
        result.tokens,
        result.peak,
        result.seconds,
        ready.layout.size,
        None if expected is None else expected.measured,
        {} if expected is None else expected.measured_parts(),
    )
    log.write(told)
    return told


def _go_through(
    ready: Ready,
    train: Sequence[Row],
    validation: Sequence[Row],
    device: torch.device,
    ranks: Ranks,
) -> rehearsal.Result:
    """The largest batches of both splits, once; random numbers stay as they were."""

    def largest(rows: Sequence[Row], layout: Layout, step: StepSize) -> list[Batch]:
        # A row that begins with something else has all of it to itself.
        layout = replace(layout, beginning=())
        found = rehearsal.largest(lengths_of(rows), layout, step, ranks.count)
        return [rehearsal.batch_of(rows, picked, layout, device) for picked in found]

    held_out = None
    if len(validation):
        (held_out,) = largest(validation, ready.validation_layout, StepSize(len(validation), 0))
    step = rehearsal.step_of(ready.measure, ready.make_optimizer)
    state = checkpoint.random_state()
    try:
        return rehearsal.rehearse(
            ready.measure,
            step if ready.zero is None else ready.zero.rehearse,
            largest(train, ready.layout, _step_of(ready)),
            held_out,
            partial(advised, ready.config),
        )
    finally:
        checkpoint.set_random_state(state)
