"""Outputs of several evaluations or files as one set: what belongs to one prompt, and what the
systems are called. Plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

_T = TypeVar("_T")
_BASE = "base"
Said = Mapping[str, Mapping[Hashable, str]]
"""Texts by system and row."""


def by_prompt(rows: Sequence[_T], prompt_of: Callable[[_T], str]) -> dict[tuple[str, int], _T]:
    """Rows by their prompt, and which time it comes: what two sources have in common."""
    seen: Counter[str] = Counter()
    found = {}
    for row in rows:
        prompt = prompt_of(row)
        found[prompt, seen[prompt]] = row
        seen[prompt] += 1
    return found


def names(labels: Sequence[str], said: Sequence[Said]) -> list[dict[str, str]]:
    """What the systems of each source are called: their own name where it is only there, or where
    it is that of a base which says the same; else with the source's label."""
    many = Counter(name for of in said for name in of)
    taken: dict[str, Mapping[Hashable, str]] = {}
    found = []
    for label, of in zip(labels, said, strict=True):
        renamed = {}
        for name, texts in of.items():
            if name == _BASE and _says_the_same(taken.get(name), texts):
                renamed[name] = name
                taken[name] = {**taken.get(name, {}), **texts}
                continue
            alone = name != _BASE and len(of.keys() - {_BASE}) == 1
            wanted = name if many[name] == 1 else label if alone else f"{label}:{name}"
            renamed[name] = _free(wanted, taken)
            taken[renamed[name]] = texts
        found.append(renamed)
    return found


def _says_the_same(before: Mapping[Hashable, str] | None, texts: Mapping[Hashable, str]) -> bool:
    if before is None:
        return True
    common = before.keys() & texts.keys()
    return bool(common) and all(before[key] == texts[key] for key in common)


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
