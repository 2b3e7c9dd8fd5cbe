"""docs/presets.md, made of the same tables as the presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workbench.config.presets import general
from workbench.config.presets.families import FAMILIES
from workbench.config.presets.family import Family
from workbench.config.presets.figures import Figure, Recipe, plain, scientific
from workbench.config.presets.tasks import TASKS, Task

_INTRODUCTION = """\
# Presets

    workbench config presets                                      families, sizes, tasks
    workbench config presets --base BASE [--task TASK] [--dataset REF]
    workbench config new NAME --preset lora|qlora [--base BASE] [--task TASK] [--dataset REF]

A preset is a starting point for one base, method and task. The base's family and size are read in
its `config.json` and the headers of its safetensors files; a folder with just these is enough, and
for most families `config.json` alone. Where published recipes disagree, the figure is the one below
and the others stand beside it. `config new` writes the source of each setting above it.

Some settings are of your rows and your machine:

- **Cutoff**: the 99th percentile of the training rows, once `workbench data verdict` has measured
  them, up to a multiple of 64 and no more than the base's context; it says what that costs.
- **Batch and checkpointing**: the most rows at once that the [forecast](forecast.md) finds room
  for, 16 to a step; activations are recomputed only where two rows don't fit without. Where the
  machine's memory isn't known: by the base's size.
- **Epochs**: 3 below 10,000 rows, else 1. Validation four times an epoch, from 500 steps on
  with a checkpoint each time; of 3 epochs the best step is kept.

This page is written by `workbench config presets --markdown`.
"""


def markdown() -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION,
        "## LoRA\n\nA base of up to 13B.\n",
        _table(_general(quantised=False)),
        "## QLoRA\n\nWhat differs from LoRA.\n",
        _table(_differing()),
        "## Families\n",
        *(_family(family) for family in FAMILIES),
        "## Tasks\n\nWhat each changes on top of the base's preset.\n",
        *(_task(task) for task in TASKS.values()),
    ]
    return "\n".join(parts)


def _general(*, quantised: bool) -> dict[str, Figure]:
    return {**general.method(quantised, True), **general.training(quantised, 0, ())}


def _differing() -> dict[str, Figure]:
    lora, qlora = _general(quantised=False), _general(quantised=True)
    found = {p: f for p, f in qlora.items() if p not in lora or f.value != lora[p].value}
    large = general.training(True, general.LARGE + 1, ())["training.learning_rate"]
    return found | {"training.learning_rate above 13B": large}


def _family(family: Family) -> str:
    sizes = ", ".join(f"`{m.name}` ({m.parameters / 1e9:.2f}B)" for m in family.members)
    lines = [
        f"### {family.title}\n",
        f"`model_type` {' or '.join(family.model_types)}. Sizes: {sizes}. "
        f"Adapters on {', '.join(f'`{name}`' for name in family.modules)}.\n",
    ]
    lines += [f"- {note.text}{_cited(note.source)}" for note in family.notes]
    if family.notes:
        lines.append("")
    if family.recipes:
        lines.append(_recipes(family.recipes))
    return "\n".join(lines)


def _recipes(recipes: Sequence[Recipe]) -> str:
    rows = [
        [
            recipe.source,
            recipe.model,
            "QLoRA" if recipe.quantised else "LoRA",
            str(recipe.rank),
            "–" if recipe.alpha is None else str(recipe.alpha),
            scientific(recipe.learning_rate),
            recipe.modules,
        ]
        for recipe in recipes
    ]
    heads = ["published recipe", "for", "method", "rank", "alpha", "learning rate", "modules"]
    return "\n".join(_lines(heads, rows)) + "\n"


def _task(task: Task) -> str:
    lines = [
        f"### {task.title[0].upper()}{task.title[1:]}\n",
        f"`--task {task.name}`\n",
        _table(task.settings),
        f"- Data: {task.data}",
        f"- Judged by: {task.metric}",
        f"- Where answers were measured, `evaluation.max_new_tokens` is {task.answer:g} times "
        "their mean.",
        *(f"- {note.text}{_cited(note.source)}" for note in task.notes),
        "",
    ]
    return "\n".join(lines)


def _table(settings: Mapping[str, Figure]) -> str:
    rows = [[f"`{p}`", f"`{plain(f.value)}`", f.source, f.others] for p, f in settings.items()]
    return "\n".join(_lines(["setting", "value", "source", "others"], rows)) + "\n"


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _cited(source: str) -> str:
    return f" *({source})*" if source else ""
