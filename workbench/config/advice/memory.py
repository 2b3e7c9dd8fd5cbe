"""What fits, and what is given away for memory that is there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from workbench.config.advice.case import ROOM, TIGHT, Case
from workbench.config.advice.rule import Found, Topic
from workbench.config.conflicts import needs_whole_base
from workbench.config.memory import Forecast, optimizer_state
from workbench.config.schema import Optimizer
from workbench.text import size

TOPIC = Topic("Memory")

Step = dict[str, dict[str, Any]]
"""Values of fields, by section."""
_USUAL_RANK = 16
_FULL_BATCH = 4096
"""Tokens of a batch that keep a GPU's matrix units busy; more rows at once gain little."""
_SMALL_STATE = 256 << 20
"""Bytes that an optimiser's state in 8 bits has to save to be worth it."""
_SIZES = ((70, 46), (32, 24), (14, 14), (8, 9), (3, 5), (1.5, 4))
"""Billions of parameters, and GiB that QLoRA on them takes at least, with checkpointing, a row of
1,024 tokens at once."""
_SIZES_FROM = (
    "QLoRA by others' measurements: 7B in 9 GB (ms-swift), 8B in 7.4 GiB (torchtune), 70B in 41 GB "
    "(Unsloth); the sizes between by 4.13 bits a weight"
)


def _rows_at_once(rows: int) -> Step:
    return {"training": {"micro_batch": rows, "micro_batch_tokens": None}}


_ONE_ROW = _rows_at_once(1)


def _settings(case: Case, steps: list[Step]) -> tuple[str, ...]:
    """The steps as settings, those that change something."""
    found = []
    for section, values in _merged(steps).items():
        now = getattr(case.config, section)
        for name, value in values.items():
            if value != getattr(now, name):
                said = str(value).lower() if isinstance(value, bool) else f"{value}"
                said = "" if value is None else said
                found.append(f"{section}.{name}={said}")
    return tuple(found)


def _merged(steps: list[Step]) -> Step:
    found: Step = {}
    for step in steps:
        for section, values in step.items():
            found[section] = {**found.get(section, {}), **values}
    return found


def _by_part(forecast: Forecast) -> str:
    """The largest three parts of a forecast, in words."""
    parts = sorted(forecast.parts, key=lambda part: part.bytes, reverse=True)
    return ", ".join(f"{part.name} {size(part.bytes)}" for part in parts[:3])


@TOPIC.rule(
    "does-not-fit",
    "error",
    "model.base",
    when="the forecast is more than what is free",
    why="The rehearsal would run out of memory before the first step.",
    source="the forecast of memory, docs/forecast.md; what is free by NVML or the kernel",
    mend="in this order until it fits: fewer rows at once; activations computed again; an adapter "
    "in place of full fine-tuning; the base in 4 bits; an optimiser in 8 bits, on a GPU paged; "
    "smaller batches of validation; rank 16",
)
def _does_not_fit(case: Case) -> Iterator[Found]:
    now = case.forecast
    if now is None or not case.free or now.total <= case.free:
        return
    machine, base = case.machine, case.parameters or 0
    text = (
        f"The forecast is {size(now.total)} ({_by_part(now)}), and {size(case.free)} is free on "
        f"{machine.name}."
    )
    if machine.total and now.total <= machine.total:
        text += f" It has {size(machine.total)} in all: somebody else holds the rest."
    steps = _until_it_fits(case)
    if steps:
        then = case.foretold(**_merged(steps))
        text += f" With the fix it is {size(then.total)}." if then else ""
        yield Found(text, _settings(case, steps))
    else:
        least = _largest_base(case.free)
        smaller = f" of about {least:g}B or less" if least and least * 1e9 < base else ""
        yield Found(text, do=f"Take a smaller base{smaller}, shorter rows, or more memory.")


def _until_it_fits(case: Case) -> list[Step]:
    """The first of the settings, the least costly first, that make it fit, without those that a
    later one made needless; empty where all of them don't."""
    steps: list[Step] = []
    now = case.forecast
    for step in _smaller(case):
        then = case.foretold(**_merged([*steps, step]))
        if then is None or now is None or then.total >= now.total:
            # It can't be had, or saves nothing here, as 4 bits of a small base.
            continue
        steps.append(step)
        now = then
        if _fits(case, steps):
            return _with_more_rows(case, _needed(case, steps))
    return []


def _fits(case: Case, steps: list[Step]) -> bool:
    then = case.foretold(**_merged(steps))
    return then is not None and then.total <= (case.free or 0)


def _needed(case: Case, steps: list[Step]) -> list[Step]:
    """The steps without those, the most costly first, that it fits without as well."""
    for step in reversed(steps[:-1]):
        fewer = [other for other in steps if other is not step]
        if _fits(case, fewer):
            steps = fewer
    return steps


def _smaller(case: Case) -> Iterator[Step]:
    """What would make a run need less memory, the least costly first."""
    model, training = case.config.model, case.config.training
    if (case.rows_at_once or 1) > 1 or training.micro_batch_tokens is not None:
        yield _ONE_ROW
    if not training.gradient_checkpointing:
        yield {"training": {"gradient_checkpointing": True}}
    if not case.is_lora:
        rate = 2e-4 if training.learning_rate < 1e-4 else training.learning_rate
        yield {"training": {"method": "lora", "learning_rate": rate}}
    if not case.four_bits:
        step: Step = {"model": {"quantization": "nf4"}}
        if needs_whole_base(case.config.lora.initialisation):
            step["lora"] = {"initialisation": "default"}
        yield step
    elif not model.double_quantization:
        yield {"model": {"double_quantization": True}}
    if model.upcast:
        yield {"model": {"upcast": False}}
    if not training.optimizer.startswith("paged"):
        kind = "lion_8bit" if "lion" in training.optimizer else "adamw_8bit"
        # A processor has nothing to page to.
        paged = "paged_" if case.machine.device.gpu else ""
        yield {"training": {"optimizer": f"{paged}{kind}"}}
    if case.config.evaluation.batch_size > 1:
        yield {"evaluation": {"batch_size": 1}}
    if case.config.lora.rank > _USUAL_RANK and not case.config.lora.rslora:
        yield {"lora": {"rank": _USUAL_RANK, "alpha": 2 * _USUAL_RANK}}


def _with_more_rows(case: Case, steps: list[Step]) -> list[Step]:
    """The steps with as many rows at once, by halves, as still fit."""
    if _ONE_ROW not in steps:
        return steps
    rows = (case.rows_at_once or 1) // 2
    while rows > 1:
        more = [_rows_at_once(rows), *steps[1:]]
        if _fits(case, more):
            return more
        rows //= 2
    return steps


@TOPIC.rule(
    "paged-optimizer-missing",
    "warning",
    "training.optimizer",
    when="QLoRA on a GPU of which the forecast takes over 90 %, with an optimiser that isn't paged",
    why="A paged optimiser's state moves to the host when the GPU's memory is short for a moment, "
    "instead of ending the run.",
    source="QLoRA, 2023: paged optimizers",
    mend="the paged one of its kind",
)
def _paged_missing(case: Case) -> Iterator[Found]:
    share, kind = case.share(case.forecast), case.config.training.optimizer
    near = case.machine.device.gpu and case.quantised and share and TIGHT < share <= 1
    if near and share and not kind.startswith("paged"):
        paged = {"adamw": "paged_adamw_32bit", "adamw_8bit": "paged_adamw_8bit"}
        text = f"The forecast takes {share:.0%} of what is free, and the optimiser is {kind}."
        yield Found(text, (f"training.optimizer={paged.get(kind, 'paged_lion_8bit')}",))


@TOPIC.rule(
    "checkpointing-with-room-to-spare",
    "hint",
    "training.gradient_checkpointing",
    when="activations are computed again, and the forecast without it takes under 80 % of what is "
    "free",
    why="It makes each step about a third slower, for memory that nobody needs.",
    source="Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016: one more forward "
    "pass; the forecast",
    mend="off",
)
def _checkpointing(case: Case) -> Iterator[Found]:
    if not case.config.training.gradient_checkpointing or not case.free:
        return
    without = case.foretold(training={"gradient_checkpointing": False})
    share = case.share(without)
    if without and share and share < ROOM:
        text = f"Without checkpointing the forecast is {size(without.total)} of {size(case.free)} "
        text += "that is free."
        yield Found(text, ("training.gradient_checkpointing=false",))


@TOPIC.rule(
    "quantised-without-need",
    "hint",
    "model.quantization",
    when="the forecast of the base unquantised takes under 80 % of what is free",
    why="Weights that are unpacked for every product cost time, 1.4 to 1.6 times that of LoRA, and "
    "some precision, for memory that nobody needs.",
    source="LitGPT, tutorials/finetune_lora.md: 2.36 against 3.68 min; H2O LLM Studio: 23:36 "
    "against 34:06",
    mend="none",
)
def _quantised(case: Case) -> Iterator[Found]:
    if not case.quantised or not case.free:
        return
    plain = {"quantization": "none", "compute_dtype": "auto", "upcast": False}
    now, without = case.forecast, case.foretold(model=plain)
    share = case.share(without)
    if now is None or without is None or share is None or share >= ROOM:
        return
    kind = case.config.model.quantization
    text = f"The forecast is {size(now.total)} in {kind}, and {size(without.total)} unquantised, "
    text += f"of {size(case.free)} that is free."
    yield Found(text, _settings(case, [{"model": plain}]))


@TOPIC.rule(
    "more-rows-at-once",
    "hint",
    "training.micro_batch",
    when="on a GPU a step takes several batches of under 4,096 tokens, and one of twice the rows "
    "takes under 80 % of what is free",
    why="Larger batches keep a GPU busier; a step has the same rows and the same update.",
    source="torchtune's README: 2,091 to 7,075 tokens a second by packing, fuller batches; the "
    "bound of 4,096 tokens is ours",
    mend="auto: as many as fit, found by trying before the first step",
)
def _more_rows(case: Case) -> Iterator[Found]:
    at_once, now = case.rows_at_once, case.forecast
    if not case.machine.device.gpu or at_once is None or now is None or not case.free:
        return
    if at_once * 2 > (case.rows_a_step or 0) or now.work.tokens >= _FULL_BATCH:
        return
    then = case.foretold(training={"micro_batch": at_once * 2})
    share = case.share(then)
    if then and share and share < ROOM:
        text = (
            f"{at_once} row{'' if at_once == 1 else 's'} at once, up to {now.work.tokens:,} tokens,"
            f" of {case.rows_a_step:.4g} a step; {at_once * 2} would take {size(then.total)} of "
            f"{size(case.free)}."
        )
        yield Found(text, ("training.micro_batch=auto",))


@TOPIC.rule(
    "8-bit-optimizer-for-little",
    "hint",
    "training.optimizer",
    when="an optimiser in 8 bits saves less than 256 MiB, with room to spare without it",
    why="A state in full is exact, and costs little here.",
    source="bitsandbytes: 8-bit optimizers, 2022; training/optimizers.py",
    mend="the same optimiser in full",
)
def _eight_bits(case: Case) -> Iterator[Found]:
    kind, trained, now = case.config.training.optimizer, case.trained, case.forecast
    if not kind.endswith("8bit") or trained is None or now is None:
        return
    whole: Optimizer = "lion" if "lion" in kind else "adamw"
    item = 2 if case.is_lora and case.config.lora.dtype == "bfloat16" else 4
    gpu = case.machine.device.gpu
    more = sum(optimizer_state(trained.sizes, whole, item, gpu))
    saved = more - sum(optimizer_state(trained.sizes, kind, item, gpu))
    if saved < _SMALL_STATE and case.free and now.total + more < ROOM * case.free:
        text = f"{kind} saves {size(max(0, saved))} for {trained.parameters:,} trained parameters."
        yield Found(text, (f"training.optimizer={whole}",))


@TOPIC.rule(
    "queue-asks-for-too-little",
    "warning",
    "job.gpu_memory",
    when="job.gpu_memory is less than the forecast on a GPU",
    why="The queue would start the run on a GPU that hasn't room for it.",
    source="the forecast of memory; docs/queue.md",
    mend="the forecast, rounded up",
)
def _queue(case: Case) -> Iterator[Found]:
    asked, now = case.config.job.gpu_memory, case.forecast
    if asked is not None and now and now.gpu and now.total > asked * 2**30:
        text = f"job.gpu_memory is {asked:g} GiB, and the forecast {size(now.total)}."
        yield Found(text, (f"job.gpu_memory={math.ceil(now.total / 2**30)}",))


def _largest_base(free: int) -> float:
    """Billions of parameters of the largest usual base that QLoRA fits into `free` bytes."""
    return next((billions for billions, gib in _SIZES if gib * 2**30 <= ROOM * free), 0)


@TOPIC.rule(
    "larger-base-would-fit",
    "hint",
    "model.base",
    when="on a GPU a base of at least four times the parameters would fit by QLoRA, in 80 % of "
    "what is free",
    why="Start with the strongest base that you can afford: what it knows already need not be "
    "taught.",
    source="Zhang et al., When Scaling Meets LLM Finetuning, ICLR 2024: a larger base gains most; "
    f"{_SIZES_FROM}",
)
def _larger_base(case: Case) -> Iterator[Found]:
    if not case.machine.device.gpu or not case.free or not case.parameters:
        return
    largest = _largest_base(case.free)
    if largest * 1e9 >= 4 * case.parameters:
        text = (
            f"The base has {case.parameters / 1e9:.2g}B parameters; {size(case.free)} is free, in "
            f"which QLoRA trains about {largest:g}B."
        )
        yield Found(text, do="Try the same data on a larger sibling of the base.")
