"""Splits that keep whole groups of rows on one side, and may hold the share in each task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
) -> Iterator[Change]:
    """Hold out about `share` of the rows for validation, whole groups of rows at a time: those
    with the same key and, above the Jaccard similarity `near_duplicates`, those alike.

    The same whatever the order of the rows. With `by_task`, about `share` of the rows of each
    task. Rows added later leave those where they are that they share no group with; by task, too,
    but for as many as the share of the added ones, and those of groups that come to fit.
    """
    before, tasks = [], []
    for example in watched(rows, "splitting", tell):
        before.append(example.split)
        tasks.append(example.task)
    if share > 0:
        groups = grouped(rows, seed, key, near_duplicates, tell)
        chosen = held_out_by_task(groups, tasks, share) if by_task else held_out(groups, share)
        after = [split.VALIDATION if chosen[group] else split.TRAIN for group in groups.of_row]
    else:
        after = [split.TRAIN] * len(before)
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            yield place, replace(rows[place], split=new)


def held_out(groups: Groups, share: float) -> list[bool]:
    """Whether each group is for validation: where its place is below the share.

    A group with more than the share of all rows is trained on, or it would be most of the
    validation split. Neither side is left empty where there are two groups; a lone one is trained
    on.
    """
    if len(groups) < 2:
        return [False] * len(groups)
    room = share * sum(groups.sizes)
    chosen = [
        place < share and size <= max(1, room)
        for place, size in zip(groups.places, groups.sizes, strict=True)
    ]
    if not any(chosen):
        chosen[_smallest(groups, range(len(groups)))] = True
    if all(chosen):
        chosen[max(range(len(groups)), key=groups.places.__getitem__)] = False
    return chosen


def held_out_by_task(groups: Groups, tasks: Sequence[str], share: float) -> list[bool]:
    """Whether each group is for validation, with `tasks` those of the rows.

    Groups are taken by their places as long as no task of theirs gets more than the share of its
    rows. So each task has its share but for less than the rows of one of its groups, and but for
    groups that have rows of several tasks and fit one of them only. A task of two groups or more
    has rows on both sides, unless what is left of it shares its groups with others that need them.
    """
    within: list[Counter[str]] = [Counter() for _ in groups.sizes]
    for group, task in zip(groups.of_row, tasks, strict=True):
        within[group][task] += 1
    rows, having = Counter(tasks), defaultdict(list)
    for group, counts in enumerate(within):
        for task in counts:
            having[task].append(group)
    quota = {t: min(max(round(share * n), 1), n - 1) for t, n in rows.items()}
    chosen = [False] * len(groups)
    held: Counter[str] = Counter()

    def take(group: int) -> None:
        chosen[group] = True
        held.update(within[group])

    for group in sorted(range(len(groups)), key=groups.places.__getitem__):
        if all(held[task] + count <= quota[task] for task, count in within[group].items()):
            take(group)
    for task in sorted(having):
        free = [g for g in having[task] if _leaves_some(within[g], held, rows)]
        if not held[task] and free:
            take(_smallest(groups, free))
    return chosen


def _leaves_some(counts: Counter[str], held: Counter[str], rows: Counter[str]) -> bool:
    """Whether each task still has rows to train on when these are held out, too."""
    return all(held[task] + count < rows[task] for task, count in counts.items())


def _smallest(groups: Groups, among: Sequence[int]) -> int:
    return min(among, key=lambda group: (groups.sizes[group], groups.places[group]))
