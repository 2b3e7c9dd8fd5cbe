"""How rows were learnt, in figures."""

from __future__ import annotations

import math
import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.learning_runs import line, write_lines
from workbench.learning import unprompted
from workbench.learning.courses import Courses, evenly
from workbench.learning.log import NAME, Losses


def courses_of(run: Path, rows: int) -> Courses:
    losses = Losses(run, rows)
    losses.read()
    return Courses(losses)


def test_confidence_and_variability_are_those_of_the_tokens_mean_chance(tmp_path: Path) -> None:
    """Swayamdipta et al., 2020, section 2: mean and standard deviation over epochs, of 0.2, 0.5
    and 0.8 here: 0.5 and the root of 0.06."""
    for epoch, chance in enumerate((0.2, 0.5, 0.8), 1):
        write_lines(tmp_path, [line(1, -math.log(chance), epoch=epoch, step=epoch)])
    course = courses_of(tmp_path, 3).of(0)
    assert course is not None
    assert course.confidence == pytest.approx(0.5, abs=1e-5)
    assert course.variability == pytest.approx(math.sqrt(0.06), abs=1e-5)
    assert course.fell == pytest.approx(math.log(4), abs=1e-5)
    assert course.last == pytest.approx(-math.log(0.8), abs=1e-5)
    assert course.steps == (1, 2, 3)
    assert courses_of(tmp_path, 3).of(1) is None, "it wasn't learnt"


def test_a_loss_that_is_no_number_is_left_out_and_a_row_of_such_alone_has_no_rank(
    tmp_path: Path,
) -> None:
    write_lines(tmp_path, [line(1, 2.0), line(2, None), line(1, None, epoch=2), line(3, 1.0)])
    courses = courses_of(tmp_path, 3)
    assert len(courses) == 2
    assert courses.without_number == 1
    assert courses.of(1) is None
    course = courses.of(0)
    assert course is not None
    assert course.losses == {1: 2.0, 2: None}
    assert (course.mean, course.variability) == (2.0, 0.0)


def noisy(run: Path, *, epochs: int) -> set[int]:
    """300 rows: short ones lose more than long ones, all lose less from step to step. Returns
    those, from 0, that lose more than their like."""
    rng = random.Random(7)
    odd = set(rng.sample(range(300), 12))
    step = 0
    for epoch in range(1, epochs + 1):
        order = rng.sample(range(300), 300)
        for begin in range(0, 300, 10):
            step += 1
            lines = []
            for n in order[begin : begin + 10]:
                tokens = 2 + n % 60
                usual = 4 / math.sqrt(tokens) + 3 * math.exp(-step / 20)
                loss = usual * (1 + rng.gauss(0, 0.1)) + (0.8 if n in odd else 0)
                lines.append(line(n + 1, loss, epoch=epoch, step=step, tokens=tokens))
            write_lines(run, lines)
    return odd


@pytest.mark.parametrize("epochs", [1, 3])
def test_neither_a_short_row_nor_one_that_came_early_is_hard_for_that(
    tmp_path: Path, epochs: int
) -> None:
    odd = noisy(tmp_path, epochs=epochs)
    courses = courses_of(tmp_path, 300)
    worst = set(courses.order[:30])
    assert len(odd & worst) >= 11
    losses = Losses(tmp_path, 300)
    losses.read()
    by_loss = sorted(range(300), key=lambda n: -losses.epochs[1][n])[:30]
    assert len(odd & set(by_loss)) <= 6, "the first loss alone wouldn't do"


def test_ranks_go_from_the_hardest_and_regions_are_thirds(tmp_path: Path) -> None:
    noisy(tmp_path, epochs=3)
    courses = courses_of(tmp_path, 300)
    found = [course for n in courses.order if (course := courses.of(n))]
    assert [course.rank for course in found] == list(range(1, 301))
    assert found[-1].share == 100
    assert all(a.hardness >= b.hardness for a, b in pairwise(found))
    of = {name: [c for c in found if c.region == name] for name in ("easy", "ambiguous", "hard")}
    assert [len(members) for members in of.values()] == [100, 100, 100]
    least = min(c.variability for c in of["ambiguous"])
    assert all(c.variability <= least for c in of["easy"] + of["hard"])
    assert max(c.confidence for c in of["hard"]) <= min(c.confidence for c in of["easy"])


def test_never_learnt_is_who_is_among_the_worst_tenth_of_each_of_several_epochs(
    tmp_path: Path,
) -> None:
    rows = range(1, 101)
    write_lines(tmp_path, [line(n, n / 10) for n in rows])
    assert not courses_of(tmp_path, 100).never_learnt, "of one epoch nobody can tell"
    # Row 100 is learnt in the second; 91 to 99 aren't.
    losses = {n: n / 20 for n in rows} | {100: 0.1}
    write_lines(tmp_path, [line(n, losses[n], epoch=2, step=2) for n in rows])
    courses = courses_of(tmp_path, 100)
    assert sorted(courses.never_learnt) == list(range(90, 99))
    hardest = courses.of(98)
    assert hardest is not None
    assert hardest.never_learnt
    assert all(not c.never_learnt for n in (0, 89, 99) if (c := courses.of(n)))


RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("name", "rows", "planted"),
    [
        ("ag_news", 200, {13, 22, 23, 55, 61, 93, 113, 157, 174, 179}),
        ("gsm8k", 160, {18, 29, 64, 69, 75, 89, 160}),
        ("self_instruct", 100, {2, 22, 30, 65}),
    ],
)
def test_of_swapped_responses_in_real_runs_four_in_five_are_in_the_worst_tenth(
    tmp_path: Path, name: str, rows: int, planted: set[int]
) -> None:
    """`examples.jsonl` of three runs of benchmarks/planted_noise.py, of SmolLM2-135M-Instruct, and
    what it loses without the prompts: labels as long lose the same, so AG News goes without."""
    shutil.copy(RECORDED / f"{name}.jsonl", tmp_path / NAME)
    if (bare := RECORDED / f"{name}-without_prompt.jsonl").exists():
        shutil.copy(bare, tmp_path / unprompted.NAME)
    courses = courses_of(tmp_path, rows)
    worst = {n + 1 for n in courses.order[: round(len(courses) / 10)]}
    assert len(worst & planted) >= 0.8 * len(planted)
    never = {n + 1 for n in courses.never_learnt}
    assert len(never & planted) >= len(never) / 2 >= 1, "most of these few are planted"


def test_of_many_places_some_are_taken_the_first_and_the_last_among_them() -> None:
    assert evenly(3, 6) == [0, 1, 2]
    assert evenly(100, 4) == [0, 33, 66, 99]
