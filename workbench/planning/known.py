"""Gather what is known of a run before it starts: from files, the driver and verdicts, no torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import (
    TRAIN,
    VALIDATION,
    Circumstances,
    DatasetFacts,
    Machine,
    TaskRows,
    TemplateFacts,
)
from workbench.config.memory import Device
from workbench.config.schema import RunConfig
from workbench.data import verdict, versions
from workbench.data.lengths import Lengths
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.hardware import host
from workbench.hardware.nvml import Nvml
from workbench.planning import hub_facts
from workbench.planning.past import past_runs
from workbench.tracking import mixtures
from workbench.tracking.mixtures import Mixture
from workbench.workspace import Workspace

_AMPERE = (8, 0)


def gather(
    workspace: Workspace, config: RunConfig, fetch: hub_facts.Say | None = None
) -> Circumstances:
    """The circumstances of a config. What can't be known is said in `unknown`; nothing raises.

    Of a hub's model that isn't here, what was fetched before is taken, and with `fetch`, which
    hears of it, config.json and headers are asked of the hub: up to half a minute.
    """
    unknown: list[str] = []
    base, template, loaded = _base(workspace, config, fetch, unknown)
    dataset = _dataset(workspace, config, loaded, unknown)
    return Circumstances(
        this_machine(),
        base,
        template,
        dataset,
        tuple(unknown),
        past_runs(workspace),
        host.disk_free(workspace.runs),
    )


def _base(
    workspace: Workspace, config: RunConfig, fetch: hub_facts.Say | None, unknown: list[str]
) -> tuple[BaseFacts | None, TemplateFacts | None, ChatTemplate | None]:
    """The base, its template's facts and the template itself, as far as each can be had."""
    facts: BaseFacts | None = None
    name = config.model.base
    try:
        if (folder := user_path(name)).is_dir():
            # Also one that no run can start from, for want of a tokenizer.
            facts = BaseFacts.of(folder)
        folder = base_models.resolve(workspace, name)
        facts = facts or BaseFacts.of(folder)
        template, about = _template(folder, config)
    except WorkbenchError as error:
        facts = facts or _from_hub(workspace, name, fetch, unknown)
        if facts is None or user_path(name).is_dir():
            unknown.insert(0, f"The base: {error}")
        return facts, None, None
    return facts, about, template


def _from_hub(
    workspace: Workspace, name: str, fetch: hub_facts.Say | None, unknown: list[str]
) -> BaseFacts | None:
    if name == base_models.DEFAULT or not base_models.can_be_fetched(name):
        return None
    facts = hub_facts.kept(workspace, name)
    try:
        if facts is None and fetch is not None:
            facts = hub_facts.fetch(workspace, name, fetch)
    except WorkbenchError as error:
        unknown.append(f"The hub: {error}")
    if facts is not None:
        unknown.append(
            f"{name} isn't on this machine: its shapes are the hub's, its tokenizer is not known. "
            f"`workbench model prepare {name}` downloads it."
        )
    return facts


def train_lengths(workspace: Workspace, config: RunConfig, version: Version) -> Lengths | None:
    """How long a version's training rows are under a config's base; None where nobody has
    measured them, or the base isn't here."""
    try:
        folder = base_models.resolve(workspace, config.model.base)
        found = verdict.find(version, _template(folder, config)[0])
    except WorkbenchError:
        return None
    return found.lengths.get(TRAIN) if found else None


def key(config: RunConfig) -> tuple[object, ...]:
    """What the circumstances of a config depend on: two with the same need be gathered once."""
    data = (config.data.dataset, tuple(config.data.mixture.items()), config.data.mixture_rows)
    return (config.model.base, tuple(config.model.new_tokens), *data)


def this_machine() -> Machine:
    """The GPU with the most free memory, else the processor."""
    nvml, processor = Nvml(), host.processor()
    occupied = nvml.occupancy()
    free = [(gpu.free, gpu.index) for gpu in occupied if gpu.free is not None]
    if free:
        most, index = max(free)
        model = {gpu.index: gpu.name for gpu in nvml.sample()}.get(index) or ""
        gpu = next(gpu for gpu in occupied if gpu.index == index)
        # As torch does: before Ampere bfloat16 is emulated.
        good = gpu.capability is None or tuple(gpu.capability) >= _AMPERE
        name = f"GPU {index} ({model or 'NVIDIA'})"
        return Machine(Device(True, good), name, most, gpu.total, len(occupied), model)
    return Machine(
        Device(gpu=False, bfloat16=processor.bfloat16),
        "this machine, without a GPU",
        host.memory_left(),
        model=processor.name,
        processors=processor.count,
        vectors=processor.vectors,
    )


def _template(folder: Path, config: RunConfig) -> tuple[ChatTemplate, TemplateFacts]:
    template = ChatTemplate.load(folder, new_tokens=config.model.new_tokens)
    facts = TemplateFacts(
        chat=bool(template.source),
        system=template.writes_system(),
        pad_ends=template.pad_id in template.stop_ids,
        new_ids=template.new_ids,
        bytes=base_models.tokenizer_bytes(folder),
    )
    return template, facts


def _dataset(
    workspace: Workspace, config: RunConfig, template: ChatTemplate | None, unknown: list[str]
) -> DatasetFacts | None:
    if not config.data.dataset and not config.data.mixture:
        unknown.append("The rows: data.dataset is empty.")
        return None
    try:
        if config.data.mixture:
            mixture = mixtures.of(workspace, config)
            version = mixtures.find(workspace, mixture)
            if version is None:
                unknown.append(
                    f"How long the rows are: the mixture isn't made yet. `{mixture.command}` makes "
                    f"it, and `{_measuring(mixture.name, config)}` measures it."
                )
                return _to_be_mixed(mixture)
        else:
            version = versions.resolve(workspace, config.data.dataset)
        figures = versions.figures(version)
        found = verdict.find(version, template) if template else None
    except WorkbenchError as error:
        unknown.append(f"The rows: {error}")
        return None
    if found is None:
        unknown.append(
            f"How long the rows are: `{_measuring(version.reference, config)}` finds it."
        )
    parts = [part for part in figures["parts"] if part["split"] == TRAIN]
    return DatasetFacts(
        reference=version.reference,
        train=version.splits.get(TRAIN, 0),
        validation=version.splits.get(VALIDATION, 0),
        systems=_systems(figures),
        plain_texts=figures["plain_texts"],
        tasks={part["task"]: TaskRows(part["rows"], part["different_rows"]) for part in parts},
        lengths={split: of for split, of in found.lengths.items() if split} if found else {},
    )


def _to_be_mixed(mixture: Mixture) -> DatasetFacts:
    """By the rows of its parts, as if no two had one in common; how many of a part's rows are of a
    task as if all were taken equally often."""
    taken = {planned.part.name: planned.part for planned in mixture.preview()}
    rows, different = Counter[str](), Counter[str]()
    systems = plain_texts = validation = 0
    for version in mixture.parts:
        figures = versions.figures(version)
        systems += _systems(figures)
        plain_texts += figures["plain_texts"]
        validation += version.splits.get(VALIDATION, 0)
        for part in figures["parts"]:
            if part["split"] == TRAIN:
                share = taken[version.reference].epochs
                rows[part["task"]] += round(part["different_rows"] * share)
                different[part["task"]] += round(part["different_rows"] * min(1.0, share))
    return DatasetFacts(
        reference=mixture.name,
        train=sum(part.taken for part in taken.values()),
        validation=validation,
        systems=systems,
        plain_texts=plain_texts,
        tasks={task: TaskRows(count, different[task]) for task, count in rows.items()},
    )


def _systems(figures: dict[str, Any]) -> int:
    systems: int = figures["roles"].get("system", {}).get("turns", 0)
    return systems


def _measuring(reference: str, config: RunConfig) -> str:
    return f"workbench data verdict {reference} --model {config.model.base}"
