"""What rows lose without their prompts, read and taken into account."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from tests.learning_runs import line, write_lines
from workbench.learning.courses import Courses
from workbench.learning.log import Losses
from workbench.learning.unprompted import NAME, read


def write(run: Path, losses: dict[int, float], *more: str) -> None:
    lines = [f'{{"row": {row}, "loss": {loss}, "tokens": 9}}' for row, loss in losses.items()]
    (run / NAME).write_text("".join(f"{text}\n" for text in [*lines, *more]))


def test_lines_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, 3) is None
    write(tmp_path, {3: 1.5, 4: 9.0, 0: 9.0}, "{}", "\x00", '{"row": 1, "loss": null, "tokens": 1}')
    found = read(tmp_path, 3)
    assert found is not None
    assert list(map(str, found)) == ["nan", "nan", "1.5"]
    write(tmp_path, {}, "nothing")
    assert read(tmp_path, 3) is None


def courses_of(run: Path) -> Courses:
    losses = Losses(run, 300)
    losses.read()
    return Courses(losses)


def test_a_response_that_is_hard_by_itself_is_not_hard_to_learn_for_that(tmp_path: Path) -> None:
    """300 responses, as hard by themselves as 1 to 6 nats; a prompt helps by half of it, and by
    less where the response is another's."""
    rng = random.Random(3)
    odd = set(rng.sample(range(300), 15))
    alone = {n: rng.uniform(1, 6) for n in range(300)}
    losses = {n: bare * (rng.gauss(0.8 if n in odd else 0.5, 0.05)) for n, bare in alone.items()}
    write_lines(tmp_path, [line(n + 1, loss, step=1 + n // 10) for n, loss in losses.items()])
    before = courses_of(tmp_path)
    assert not before.compares
    assert len(odd & set(before.order[:30])) <= 10, "the loss alone wouldn't do"
    write(tmp_path, {n + 1: bare for n, bare in alone.items()})
    after = courses_of(tmp_path)
    assert after.compares
    assert len(odd & set(after.order[:30])) >= 14
    course = after.of(0)
    assert course is not None
    assert course.unprompted == pytest.approx(alone[0], abs=1e-5)
    assert course.to_json()["loss_without_prompt"] == pytest.approx(alone[0], abs=1e-5)


def with_shares(run: Path, shares: list[float], losses: list[float]) -> list[int]:
    """The rows of a run, the hardest first."""
    write_lines(run, [line(n + 1, loss, step=1 + n // 10) for n, loss in enumerate(losses)])
    write(run, {})
    lines = [
        f'{{"row": {n}, "loss": 2.0, "tokens": 9, "misfit": {share}}}\n'
        for n, share in enumerate(shares, 1)
    ]
    (run / NAME).write_text("".join(lines))
    return list(courses_of(run).order)


def test_what_belongs_to_its_prompt_by_its_tokens_is_less_hard(tmp_path: Path) -> None:
    """Of 300 answers from a text, whose losses tell little, 15 are from another's."""
    rng = random.Random(5)
    odd = set(rng.sample(range(300), 15))
    losses = [rng.gauss(2.2 if n in odd else 2.0, 0.3) for n in range(300)]
    shares = [rng.random() if n in odd else 0.0077 for n in range(300)]
    found = with_shares(tmp_path, shares, losses)
    assert len(odd & set(found[:30])) >= 14


def test_where_rows_share_no_tokens_with_their_prompts_the_losses_decide(tmp_path: Path) -> None:
    rng = random.Random(6)
    losses = [rng.gauss(2.0, 0.3) for _ in range(300)]
    labels = with_shares(tmp_path, [0.5] * 300, losses)
    (tmp_path / NAME).unlink()
    write(tmp_path, dict.fromkeys(range(1, 301), 2.0))
    assert labels == list(courses_of(tmp_path).order)


def test_where_it_tells_nothing_it_changes_nothing_and_rows_without_a_prompt_are_ranked_too(
    tmp_path: Path,
) -> None:
    rng = random.Random(4)
    rows = range(300)
    losses = {n: rng.uniform(1, 3) for n in rows}
    write_lines(tmp_path, [line(n + 1, losses[n], step=1 + n // 10) for n in rows])
    before = list(courses_of(tmp_path).order)
    # Equal ones of equal length: what labels look like.
    write(tmp_path, {n + 1: 7.5 for n in rows if n % 3})
    after = courses_of(tmp_path)
    assert list(after.order) == before
    bare = after.of(0)
    assert bare is not None
    assert bare.unprompted is None
    assert not math.isnan(bare.hardness)
