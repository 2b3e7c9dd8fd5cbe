"""The outputs of several runs, evaluations or files as one set of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation.joining import by_prompt, names
from workbench.files import sha256_file
from workbench.review.items import OUTPUTS, Item, read_evaluation, read_file

_BASE = "base"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of outputs, or an evaluation's folder."""

    path: Path
    label: str
    """What its systems are called where other sources have some of the same names."""

    @classmethod
    def of(cls, path: Path) -> Source:
        """Of a file or an evaluation's folder, called by its run where it is in one."""
        run = path.parent.parent if path.parent.name == "evaluations" else path
        return cls(path, run.stem if path.is_file() else run.name)

    def read(self) -> list[Item]:
        return read_file(self.path) if self.path.is_file() else read_evaluation(self.path)

    def to_json(self) -> dict[str, Any]:
        file = self.path if self.path.is_file() else self.path / OUTPUTS
        return {"evaluation": str(self.path), "sha256": sha256_file(file)}


@dataclass(frozen=True, slots=True)
class Gathered:
    """The items that all sources have."""

    items: list[Item]
    systems: tuple[str, ...]
    """`base` first, where there is one."""
    left_out: int
    """Prompts that some source lacks."""


def gather(sources: Sequence[Source], wanted: Sequence[str] = ()) -> Gathered:
    """The items of the sources, joined by their prompts, with the outputs of `wanted` systems (all
    when empty). Raises WorkbenchError when nothing is in common, or for an unknown system."""
    read = [source.read() for source in sources]
    if len(read) == 1:
        found, left_out = read[0], 0
    else:
        found, left_out = _joined(sources, read)
    systems = list(dict.fromkeys(name for item in found for name in item.outputs))
    if missing := [name for name in wanted if name not in systems]:
        raise WorkbenchError(
            f"There are no outputs of {', '.join(missing)}.", f"There are: {', '.join(systems)}."
        )
    kept = list(wanted) or systems
    kept.sort(key=lambda name: name != _BASE)
    items = [_of(item, kept) for item in found] if wanted else found
    return Gathered(items, tuple(kept), left_out)


def _of(item: Item, systems: Sequence[str]) -> Item:
    return replace(
        item,
        outputs={name: text for name, text in item.outputs.items() if name in systems},
        groups=tuple(tuple(n for n in group if n in systems) for group in item.groups),
    )


def _joined(sources: Sequence[Source], read: Sequence[list[Item]]) -> tuple[list[Item], int]:
    keyed = [by_prompt(items, lambda item: item.prompt_text) for items in read]
    common = [key for key in keyed[0] if all(key in others for others in keyed[1:])]
    if not common:
        raise WorkbenchError(
            "The outputs are of different prompts: none is in all of them.",
            "Evaluate the runs on the same held-out rows.",
        )
    said = [_said({key: items[key] for key in common}) for items in keyed]
    renamings = names([source.label for source in sources], said)
    keys = Counter(keyed[0][key].key for key in common)
    joined = []
    for key in common:
        first = keyed[0][key]
        outputs: dict[str, str] = {}
        scores: dict[str, Any] = {}
        for items, renamed in zip(keyed, renamings, strict=True):
            item = items[key]
            outputs |= {renamed[name]: text for name, text in item.outputs.items()}
            scores |= {renamed[name]: of for name, of in item.scores.items() if name in renamed}
        assert keys[first.key] == 1  # noqa: S101 (a file's rows of one key are one item)
        joined.append(replace(first, outputs=outputs, scores=scores, groups=()))
    every = set().union(*keyed)
    return joined, len(every) - len(common)


def _said(items: Mapping[Hashable, Item]) -> dict[str, dict[Hashable, str]]:
    """The texts by system and item."""
    systems = dict.fromkeys(name for item in items.values() for name in item.outputs)
    return {
        name: {key: item.outputs[name] for key, item in items.items() if name in item.outputs}
        for name in systems
    }
