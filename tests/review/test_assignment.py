from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import pytest

from workbench.review.assignment import Task, queue, shares

UNITS = dict.fromkeys(range(1, 201), "pair")


def sides(seed: str, annotator: str, count: int = 200) -> dict[int, bool]:
    units = dict.fromkeys(range(1, count + 1), "pair")
    return {task.unit: task.flipped for task in queue(seed, annotator, units)}


def test_the_order_is_the_annotators_own_and_repeats() -> None:
    mine = [task.unit for task in queue("1", "ann", UNITS)]
    assert sorted(mine) == sorted(UNITS)
    assert queue("1", "ann", UNITS) == queue("1", "ann", dict(reversed(UNITS.items())))
    assert mine != [task.unit for task in queue("1", "bob", UNITS)]
    assert mine != [task.unit for task in queue("2", "ann", UNITS)]
    assert mine != sorted(mine)


@pytest.mark.parametrize("count", [1, 2, 7, 24, 199, 200])
def test_each_system_is_on_the_left_for_half_of_the_items(count: int) -> None:
    found = Counter(sides("1", "ann", count).values())
    assert abs(found[True] - found[False]) <= 1


def test_each_of_several_pairs_is_balanced_by_itself() -> None:
    units = {unit: "abc"[unit % 3] for unit in range(60)}
    found = {task.unit: task.flipped for task in queue("1", "ann", units)}
    for pair in "abc":
        assert sum(flipped for unit, flipped in found.items() if units[unit] == pair) == 10


def test_sides_differ_between_annotators_and_seeds() -> None:
    def differing(a: dict[int, bool], b: dict[int, bool]) -> int:
        return sum(a[unit] != b[unit] for unit in a)

    ann = sides("1", "ann")
    # Independent halves differ in 100 of 200, give or take five standard deviations of 7.
    assert 65 <= differing(ann, sides("1", "bob")) <= 135
    assert 65 <= differing(ann, sides("2", "ann")) <= 135


def test_the_side_can_not_be_told_from_the_order() -> None:
    shown = [task.flipped for task in queue("1", "ann", UNITS)]
    assert 30 <= sum(shown[:100]) <= 70
    assert 65 <= sum(a != b for a, b in pairwise(shown)) <= 135


def test_repeats_come_later_and_on_a_side_of_their_own() -> None:
    tasks = queue("1", "ann", UNITS, 0.2)
    assert len(tasks) == 240
    places = {(task.unit, task.repeat): place for place, task in enumerate(tasks)}
    again = [task for task in tasks if task.repeat]
    assert len({task.unit for task in again}) == 40
    for task in again:
        assert places[task.unit, True] - places[task.unit, False] >= 10
    first = {task.unit: task.flipped for task in tasks if not task.repeat}
    assert 8 <= sum(task.flipped != first[task.unit] for task in again) <= 32
    assert [t for t in tasks if not t.repeat] == queue("1", "ann", UNITS)


def test_few_items_can_be_repeated_too() -> None:
    assert queue("1", "ann", {1: "p"}, 0.5) == [
        Task(1, False, queue("1", "ann", {1: "p"})[0].flipped)
    ]
    tasks = queue("1", "ann", {1: "p", 2: "p", 3: "p", 4: "p"}, 0.5)
    assert sum(task.repeat for task in tasks) == 2


@pytest.mark.parametrize(("places", "overlap"), [(4, 1), (4, 2), (3, 3), (16, 3)])
def test_units_are_shared_evenly(places: int, overlap: int) -> None:
    found = shares("1", list(range(48)), places, overlap)
    assert [len(each) for each in found] == [48 * overlap // places] * places
    judged = Counter(unit for each in found for unit in each)
    assert set(judged.values()) == {overlap}
    assert all(len(set(each)) == len(each) for each in found)


def test_who_shares_a_unit_is_drawn() -> None:
    found = shares("1", list(range(120)), 4, 2)
    together = Counter(
        pair
        for unit in range(120)
        for pair in combinations([n for n, each in enumerate(found) if unit in each], 2)
    )
    assert len(together) == 6
