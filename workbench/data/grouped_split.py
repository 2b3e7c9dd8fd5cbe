"""Splits that keep whole groups of rows on one side, and may hold the share in each task."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.data import split
from workbench.data.example import Example
from workbench.data.grouping import Groups, grouped
from workbench.data.making import Change
from workbench.data.split import Key
from workbench.jobs.progress import Tell, watched


def assign(
    rows: Sequence[Example],
    *,
    share: float,
    seed: int,
    key: Key,
    near_duplicates: float | None,
    by_task: bool,
    tell: Tell,
    scratch: Path | None = None,
) -> Iterator[Change]:
    """Hold out about `share` of the rows for validation, whole groups of rows at a time: those
    with the same key and, above the Jaccard similarity `near_duplicates`, those alike.

    The same whatever the order of the rows. With `by_task`, about `share` of the rows of each
    task. Rows added later leave those where they are that they share no group with; by task, too,
    but for as many as the share of the added ones, and those of groups that come to fit. Takes
    some 60 bytes of memory a row; `scratch` is as `Join` has it.
    """
    held_before, tasks, names = bytearray(), array("I"), dict[str, int]()
    for example in watched(rows, "splitting", tell):
        held_before.append(example.split == split.VALIDATION)
        tasks.append(names.setdefault(example.task, len(names)))
    held = bytes(len(held_before))
    if share > 0:
        groups = grouped(rows, seed, key, near_duplicates, tell, scratch)
        chosen = (
            held_out_by_task(groups, tasks, list(names), share)
            if by_task
            else held_out(groups, share)
        )
        held = chosen[groups.of_row].tobytes()
    for place, (old, new) in enumerate(zip(held_before, held, strict=True)):
        if old != new:
            side = split.VALIDATION if new else split.TRAIN
            yield place, replace(rows[place], split=side)


def held_out(groups: Groups, share: float) -> Any:
    """Whether each group is for validation, bool: where its place is below the share.

    A group with more than the share of all rows is trained on, or it would be most of the
    validation split. Neither side is left empty where there are two groups; a lone one is trained
    on.
    """
    import numpy as np

    if len(groups) < 2:
        return np.zeros(len(groups), bool)
    room = share * len(groups.of_row)
    chosen = (groups.places < share) & (groups.sizes <= max(1, room))
    if not chosen.any():
        chosen[_smallest(groups, np.arange(len(groups)))] = True
    if chosen.all():
        chosen[groups.places.argmax()] = False
    return chosen


def held_out_by_task(
    groups: Groups, tasks: Sequence[int], names: Sequence[str], share: float
) -> Any:
    """Whether each group is for validation, bool, with `tasks` the numbers of the rows' tasks
    among `names`.

    Groups are taken by their places as long as no task of theirs gets more than the share of its
    rows. So each task has its share but for less than the rows of one of its groups, and but for
    groups that have rows of several tasks and fit one of them only. A task of two groups or more
    has rows on both sides, unless what is left of it shares its groups with others that need them.
    """
    import numpy as np

    within = _Within(groups, tasks)
    rows = np.bincount(tasks, minlength=len(names)).tolist()
    quota = [min(max(round(share * n), 1), n - 1) for n in rows]
    chosen = np.zeros(len(groups), bool)
    held = [0] * len(names)

    def take(group: int) -> None:
        chosen[group] = True
        for task, count in within.counts(group):
            held[task] += count

    for group in np.argsort(groups.places, kind="stable").data:
        if all(held[task] + count <= quota[task] for task, count in within.counts(group)):
            take(group)
    for task in sorted(range(len(names)), key=names.__getitem__):
        if held[task]:
            continue
        # Those that leave each task rows to train on.
        free = [
            group
            for group in within.having(task)
            if all(held[t] + count < rows[t] for t, count in within.counts(group))
        ]
        if free:
            take(_smallest(groups, np.array(free)))
    return chosen


class _Within:
    """How many rows of which task each group has. 24 bytes of memory for each task of a group."""

    def __init__(self, groups: Groups, tasks: Sequence[int]) -> None:
        import numpy as np

        both = groups.of_row.astype(np.uint64) << 32 | np.asarray(tasks, np.uint32)
        both, counts = np.unique(both, return_counts=True)
        self._groups = (both >> 32).astype(np.uint32)
        self._tasks = both.astype(np.uint32)
        self._counts = counts.astype(np.uint32)
        self._starts = np.searchsorted(self._groups, np.arange(len(groups) + 1))
        self._by_task = np.argsort(self._tasks, kind="stable").astype(np.uint32)

    def counts(self, group: int) -> list[tuple[int, int]]:
        """The tasks that a group has rows of, by their numbers, each with how many."""
        part = slice(self._starts[group], self._starts[group + 1])
        return list(zip(self._tasks[part].tolist(), self._counts[part].tolist(), strict=True))

    def having(self, task: int) -> list[int]:
        """The groups that have rows of a task."""
        import numpy as np

        first, end = np.searchsorted(self._tasks, [task, task + 1], sorter=self._by_task)
        found: list[int] = self._groups[self._by_task[first:end]].tolist()
        return found


def _smallest(groups: Groups, among: Any) -> int:
    """The group of the fewest rows, and of these the one with the least place."""
    import numpy as np

    return int(among[np.lexsort((groups.places[among], groups.sizes[among]))[0]])
