"""Make a preset for a base, and put it into a config."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.config import loading
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import TRAIN, Circumstances, DatasetFacts
from workbench.config.lora import ALL_LINEAR
from workbench.config.presets import general
from workbench.config.presets.families import family_of
from workbench.config.presets.family import Family, Member
from workbench.config.presets.figures import Difference, Figure, Note, Preset, Recipe
from workbench.config.presets.memory import fit
from workbench.config.presets.tasks import Task, task_of
from workbench.config.schema import RunConfig

if TYPE_CHECKING:
    from workbench.data.lengths import Lengths

_SHARE = 0.99
"""Of rows that a cutoff leaves whole."""
_STEP = 64
"""Tokens that a cutoff and a longest answer are rounded up to."""
_LEAST = 16
FEW_ROWS = 1000
_MANY_ROWS = 10_000
_SEVERAL = 3
"""Epochs after which the last step is often not the best."""
_LONG = 500
"""Steps of a run that is worth checkpoints."""
_LARGE_VOCABULARY = 100_000


def preset(
    facts: BaseFacts,
    *,
    quantised: bool,
    task: str = "",
    circumstances: Circumstances | None = None,
) -> Preset:
    """The starting point for LoRA, or QLoRA where `quantised`, on the base of `facts`.

    `task` is a name in TASKS, or empty. With `circumstances` the cutoff is that of the rows, and
    batch and checkpointing are what the machine has room for. Raises WorkbenchError for an unknown
    task.
    """
    family, chosen = family_of(facts), task_of(task) if task else None
    member = family.member(facts.parameters) if family else None
    known = replace(circumstances, base=facts) if circumstances else None
    dataset = known.dataset if known else None
    settings = _settings(facts, family, quantised, chosen, known)
    notes = [*_of_base(facts, family, member), *(family.notes if family else ())]
    notes = [note for note in notes if quantised or not note.quantised_only]
    notes += chosen.notes if chosen else ()
    settings |= _cutoff(facts, dataset, settings, notes)
    settings |= _by_rows(dataset, chosen, settings, notes)
    settings |= fit(_with(RunConfig(), settings), facts, known, quantised, notes)
    own = member.name if member else f"{family.name if family else 'general'}-{short(facts)}"
    places = {field.path: place for place, field in enumerate(loading.fields())}
    settings = dict(sorted(settings.items(), key=lambda item: places[item[0]]))
    name = "-".join(part for part in (own, "qlora" if quantised else "lora", task) if part)
    return Preset(name, _title(facts, family, member, quantised, chosen), settings, tuple(notes))


def apply(config: RunConfig, preset: Preset) -> RunConfig:
    """`config` with the preset's settings. Raises ConfigError where what it leaves can't be had
    with them."""
    return _with(config, preset.settings, f"The config with the preset {preset.name}")


def differences(config: RunConfig, preset: Preset) -> list[Difference]:
    """The settings of the preset that `config` has another value for, in the preset's order."""
    found = []
    for path, figure in preset.settings.items():
        now = loading.value_at(config, path)
        if now != figure.value:
            found.append(Difference(path, now, figure.value, figure.source))
    return found


def short(facts: BaseFacts) -> str:
    """The size of a base as names have it: `8.2b`, `135m`."""
    if facts.parameters >= 1_000_000_000:
        return f"{facts.parameters / 1e9:.1f}".removesuffix(".0") + "b"
    return f"{max(1, round(facts.parameters / 1e6))}m"


def _with(
    config: RunConfig, settings: Mapping[str, Figure], origin: str = "The preset"
) -> RunConfig:
    body = config.model_dump()
    for path, figure in settings.items():
        section, _, name = path.partition(".")
        body[section][name] = figure.value
    return loading.parse(body, origin=origin)


def _settings(
    facts: BaseFacts,
    family: Family | None,
    quantised: bool,
    task: Task | None,
    known: Circumstances | None,
) -> dict[str, Figure]:
    device = known.machine.device if known else None
    published = _nearest(family, facts) if family else ()
    listed = _modules(facts, family)
    settings = {
        **general.method(quantised, device is None or (device.gpu and device.bfloat16)),
        **general.training(quantised, facts.parameters, published),
        "lora.target_modules": general.modules(listed, published)
        if listed
        else Figure(ALL_LINEAR, "QLoRA, 2023; LoRA Without Regret, 2025; PEFT finds them"),
    }
    if task is None:
        return settings
    rate = settings["training.learning_rate"]
    settings |= task.settings
    if task.most_learning_rate and rate.value <= task.most_learning_rate:
        settings["training.learning_rate"] = rate
    return settings


def _nearest(family: Family, facts: BaseFacts) -> tuple[Recipe, ...]:
    """The family's recipes for the member that the base is; without any, all of them."""
    member = family.member(facts.parameters)
    own = tuple(r for r in family.recipes if member and r.model == member.name)
    return own or family.recipes


def _modules(facts: BaseFacts, family: Family | None) -> list[str]:
    """The base's linear layers by their own names, in the family's order; none without a family."""
    if family is None:
        return []
    there = {w.own for w in facts.linear if not facts.beside_text(w)}
    listed = [name for name in family.modules if name in there]
    return listed + sorted(there.difference(family.modules))


def _of_base(facts: BaseFacts, family: Family | None, member: Member | None) -> Iterator[Note]:
    """What follows from the base's shapes."""
    if family is None:
        kind = facts.family or "no model_type"
        yield Note(
            f"The family of this base ({kind}) isn't known here: these are the figures for any "
            "base. `workbench config presets` lists the families."
        )
    elif member is None:
        yield Note(f"It is none of the published sizes of {family.title} that are known here.")
    if facts.vocabulary >= _LARGE_VOCABULARY:
        logits = 4 * 1024 * facts.vocabulary / 2**30
        yield Note(
            f"A vocabulary of {facts.vocabulary:,}: the logits of 1,024 tokens would take "
            f"{logits:.1f} GiB in float32, with their gradients three times that. Workbench "
            "computes them for trained tokens alone, in chunks of 128 MiB.",
            "docs/training.md: the loss",
        )
    if facts.tied:
        yield Note(
            "Head and embeddings share their weights: train one whole (`lora.modules_to_save`) and "
            "the other goes with it."
        )


def _cutoff(
    facts: BaseFacts,
    dataset: DatasetFacts | None,
    settings: Mapping[str, Figure],
    notes: list[Note],
) -> dict[str, Figure]:
    """The cutoff at the rows' 99th percentile, and what it costs."""
    lengths = dataset.lengths.get(TRAIN) if dataset else None
    if lengths is None or not lengths.rows:
        notes.append(
            Note(
                "The cutoff isn't from your rows: it is best at their 99th percentile. "
                "`workbench data verdict NAME --model BASE` measures them."
            )
        )
        guessed = settings.get("data.max_length")
        if guessed and facts.context and guessed.value > facts.context:
            return {"data.max_length": Figure(facts.context, "the base's context")}
        return {}
    percentile = lengths.percentile(_SHARE)
    cutoff = max(_LEAST, math.ceil(percentile / _STEP) * _STEP)
    why = f"99th percentile of the rows ({percentile:,} tokens), up to a multiple of {_STEP}"
    if facts.context and cutoff > facts.context:
        cutoff = facts.context
        why = f"the base's context; the rows' 99th percentile is {percentile:,}"
    found = {"data.max_length": Figure(cutoff, why, "1,024 (TRL), 2,048 (Axolotl, LLaMA-Factory)")}
    if lengths.longest <= cutoff:
        found["data.too_long"] = Figure("refuse", "no row is longer")
        return found
    own = settings.get("data.too_long")
    rule = own or Figure(
        "drop",
        "a cut answer has no end marker and teaches not to stop; Axolotl, ms-swift drop",
        "truncate (TRL, LLaMA-Factory)",
    )
    notes.append(_cost(lengths, cutoff, rule.value))
    return {**found, "data.too_long": rule}


def _cost(lengths: Lengths, cutoff: int, rule: str) -> Note:
    kept = lengths.at(cutoff, rule)
    lost = kept.trained_tokens - kept.trained_kept
    share = lost / kept.trained_tokens if kept.trained_tokens else 0.0
    what = "are left out" if rule == "drop" else "are cut"
    return Note(
        f"Rows over {cutoff:,} tokens {what}: {kept.cut:,} of {kept.rows:,}, with {lost:,} trained "
        f"tokens ({share:.1%}). The cutoff lies before the whole answer of {kept.wholly_lost:,} of "
        f"them and inside that of {kept.partly_lost:,}."
    )


def _by_rows(
    dataset: DatasetFacts | None,
    task: Task | None,
    settings: Mapping[str, Figure],
    notes: list[Note],
) -> dict[str, Figure]:
    """What follows from how many rows there are, and how long their answers are."""
    if dataset is None or not dataset.train:
        return {}
    found: dict[str, Figure] = {}
    epochs = settings.get("training.epochs")
    if epochs is None:
        epochs = _epochs(dataset.train)
        found["training.epochs"] = epochs
    if dataset.validation:
        steps = math.ceil(dataset.train / general.EFFECTIVE_BATCH)
        often = max(1, steps // 4)
        found["evaluation.every"] = Figure(
            often, f"four times an epoch of {steps:,} steps: Axolotl's examples"
        )
        if epochs.value * steps >= _LONG:
            found["checkpoints.every"] = Figure(
                often, "at each validation: a crash costs no more than what is after it"
            )
        if epochs.value >= _SEVERAL:
            found["checkpoints.result"] = Figure(
                "best", "of several epochs the last is often past the lowest: Prechelt, 1998"
            )
    if dataset.train < FEW_ROWS:
        notes.append(
            Note(
                f"{dataset.train:,} rows are few: more than 3 epochs learn them by heart. Watch "
                "where the validation loss turns.",
                "Unsloth, LoRA hyperparameters guide: 1 to 3 epochs",
            )
        )
        if dataset.validation:
            found["checkpoints.result"] = Figure("best", "few rows overfit before the last step")
    lengths = dataset.lengths.get(TRAIN)
    if task and lengths and lengths.rows and lengths.trained_tokens:
        mean = lengths.trained_tokens / lengths.rows
        longest = max(_STEP, math.ceil(task.answer * mean / _STEP) * _STEP)
        why = f"{task.answer:g} times the mean answer of {mean:.0f} tokens"
        found["evaluation.max_new_tokens"] = Figure(min(longest, 1 << 16), why)
    return found


def _epochs(rows: int) -> Figure:
    others = "3 (LLaMA-Factory, TRL), 1 (torchtune, AutoTrain)"
    if rows < _MANY_ROWS:
        return Figure(3.0, f"1 to 3: Unsloth; 3 below {_MANY_ROWS:,} rows", others)
    return Figure(1.0, f"1 to 3: Unsloth; 1 from {_MANY_ROWS:,} rows on", others)


def _title(
    facts: BaseFacts,
    family: Family | None,
    member: Member | None,
    quantised: bool,
    task: Task | None,
) -> str:
    what = member.title if member else f"{family.title if family else 'any base'}"
    how = "QLoRA" if quantised else "LoRA"
    size = f"{facts.parameters:,} parameters"
    return f"{how} for {what} ({size})" + (f", {task.title}" if task else "")
