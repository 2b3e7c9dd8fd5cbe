"""Which output an annotator sees when, beside which other, and on which side."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_APART = 10
"""Tasks between an item and its hidden repeat, where there are as many."""


@dataclass(frozen=True, slots=True)
class Task:
    """One place in an annotator's queue."""

    unit: int
    repeat: bool
    """Whether it is shown for the second time, to see whether the verdict is the same."""
    flipped: bool
    """Whether the second of the unit's systems stands on the left."""


def shares(seed: str, units: Sequence[int], places: int, overlap: int) -> list[list[int]]:
    """The units of each of `places` annotators, so that each unit is judged by `overlap` of them.

    Each has as many as the others, give or take one, and which annotators share a unit is drawn.
    """
    found: list[list[int]] = [[] for _ in range(places)]
    for unit in order(seed, "shares", units):
        by_load = sorted(
            range(places), key=lambda place: (len(found[place]), _draw(seed, str(unit), str(place)))
        )
        for place in by_load[:overlap]:
            found[place].append(unit)
    return found


def queue(seed: str, annotator: str, units: Mapping[int, str], repeats: float = 0.0) -> list[Task]:
    """The annotator's tasks in their order: each unit once, a share `repeats` of them twice.

    `units` gives, by unit, which systems it is of: each of two stands on the left for half of the
    units of that pair (with an odd number, one more for one of them, by chance), independently of
    the order. A repeat's side is drawn anew. The same arguments always give the same queue.
    """
    flipped = _flipped(seed, annotator, units)
    ordered = order(seed, annotator, list(units))
    tasks = [Task(unit, False, flipped[unit]) for unit in ordered]
    apart = min(_APART, len(ordered) // 2)
    candidates = ordered[: len(ordered) - apart]
    wanted = min(len(candidates), round(repeats * len(ordered)))
    chosen = set(order(seed, f"repeats/{annotator}", candidates)[:wanted])
    slots: dict[int, list[Task]] = defaultdict(list)
    for place, unit in enumerate(ordered):
        if unit in chosen:
            drawn = _draw(seed, "repeat", annotator, str(unit))
            earliest = place + apart
            slot = earliest + int.from_bytes(drawn[:8]) % (len(ordered) - earliest)
            slots[slot].append(Task(unit, True, drawn[8] % 2 == 1))
    return [each for place, task in enumerate(tasks) for each in (task, *slots[place])]


def order(seed: str, annotator: str, units: Sequence[int]) -> list[int]:
    """The units in the order in which this annotator sees them."""
    return sorted(units, key=lambda unit: _draw(seed, "order", annotator, str(unit)))


def _flipped(seed: str, annotator: str, units: Mapping[int, str]) -> dict[int, bool]:
    by_pair: dict[str, list[int]] = defaultdict(list)
    for unit, pair in units.items():
        by_pair[pair].append(unit)
    found: dict[int, bool] = {}
    for pair, of_pair in by_pair.items():
        first = _draw(seed, "first", annotator, pair)[0] % 2
        shuffled = sorted(of_pair, key=lambda unit: _draw(seed, "side", annotator, str(unit)))
        found |= {unit: (rank + first) % 2 == 1 for rank, unit in enumerate(shuffled)}
    return found


def _draw(*parts: str) -> bytes:
    """A number that looks random and depends on every part, and on nothing else."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
