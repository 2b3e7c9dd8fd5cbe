"""Steps whose loss stands out: which are told, and with which examples."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch

from tests.training.harness import adapter, build, configure, events
from workbench.jobs.events import Skipped, Spiked, Step
from workbench.training.batches import Batch
from workbench.training.loss import TrainedTokenLoss
from workbench.training.spikes import Spikes


def told(losses: list[float]) -> list[tuple[int, float]]:
    """The places of the spikes, and what was usual."""
    spikes = Spikes()
    found = ((place, spikes.add(loss)) for place, loss in enumerate(losses))
    return [(place, usual) for place, usual in found if usual is not None]


def test_a_loss_far_above_those_before_it_is_a_spike_and_the_median_is_usual() -> None:
    """Median 2.0, median absolute deviation 0.1: 6 deviations are 6 x 1.4826 x 0.1 = 0.8896."""
    before = [1.8, 1.9, 1.9, 2.0, 2.0, 2.0, 2.0, 2.1, 2.1, 2.1, 2.2]
    assert told([*before, 2.88]) == []
    assert told([*before, 2.90]) == [(11, 2.0)]


def test_losses_that_hardly_differ_are_held_to_a_fifth_above_the_usual() -> None:
    assert told([2.0] * 20 + [2.39]) == []
    assert told([2.0] * 20 + [2.41]) == [(20, 2.0)]


def test_nothing_is_told_before_there_are_ten_to_hold_it_against() -> None:
    assert told([2.0] * 9 + [99.0]) == []
    assert told([2.0] * 10 + [99.0]) == [(10, 2.0)]


def test_a_spike_is_no_measure_of_the_next_one() -> None:
    assert told([2.0] * 10 + [99.0] * 40) == [(place, 2.0) for place in range(10, 50)]


def test_a_loss_that_falls_for_long_is_held_against_those_of_late() -> None:
    """Over 50 steps it has halved: what was usual at the start is a spike at the end."""
    falling = [4.0 * 0.986**n for n in range(100)]
    assert told([*falling, 4.0]) == [(100, pytest.approx(falling[75], rel=0.02))]


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_spike(seed: int) -> None:
    """Of batches that differ by a tenth, around a curve as training has it."""
    chance = random.Random(seed)
    curve = (1.5 + 2.5 * 0.99**n for n in range(1000))
    assert told([chance.gauss(loss, loss / 10) for loss in curve]) == []


def spoil(monkeypatch: pytest.MonkeyPatch, row: int, factor: float) -> None:
    """Multiply the loss of the row at place `row` of its step, in training, by `factor`, from
    the twelfth step on."""
    plain = TrainedTokenLoss.forward
    steps = 0

    def forward(measure: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        nonlocal steps
        sums = plain(measure, batch)
        steps += measure.training
        if measure.training and steps == 12:
            sums = sums * torch.tensor([factor if i == row else 1.0 for i in batch.rows])
        return sums

    monkeypatch.setattr(TrainedTokenLoss, "forward", forward)


def spoilt(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> tuple[int, int]:
    """A run whose twelfth step has a bad row; its line in the data, and rows of the step."""
    training = {"max_steps": 14, "rehearsal": False, "learning_rate": 1e-4}
    loop = build(tmp_path, configure(base, training=training))
    spoil(monkeypatch, row=2, factor=factor)
    loop.run()
    assert [step.step for step in events(tmp_path, Step)] == list(range(1, 15))
    places = loop.schedule.rows_of(11)
    return places[2] + 1, len(places)


def test_a_spike_in_a_run_is_told_with_its_examples_the_worst_first(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, count = spoilt(tmp_path, base, monkeypatch, 50.0)
    (spike,) = events(tmp_path, Spiked)
    assert spike.step == 12 and spike.loss > 2 * spike.usual
    (step,) = (step for step in events(tmp_path, Step) if step.step == 12)
    assert spike.loss == step.loss
    losses = [row["loss"] for row in spike.rows]
    assert spike.rows[0]["row"] == bad and len(spike.rows) == count
    assert losses == sorted(losses, reverse=True) and losses[0] > 100


def test_a_step_that_is_skipped_is_told_with_the_example_that_spoilt_it(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, count = spoilt(tmp_path, base, monkeypatch, float("nan"))
    (skipped,) = events(tmp_path, Skipped)
    assert (skipped.step, skipped.what) == (12, "loss")
    assert skipped.rows[0]["row"] == bad and len(skipped.rows) == count
    assert [row["loss"] is None for row in skipped.rows] == [True] + [False] * (count - 1)
    assert events(tmp_path, Spiked) == []


def test_a_skipped_step_changes_no_weight(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps of which the last is skipped end where eleven do."""
    ends = []
    for steps in (11, 12):
        training = {"max_steps": steps, "rehearsal": False, "schedule": "constant"}
        loop = build(tmp_path / str(steps), configure(base, training=training))
        if steps == 12:
            spoil(monkeypatch, row=0, factor=math.inf)
        loop.run()
        ends.append(adapter(loop))
    assert [skipped.step for skipped in events(tmp_path / "12", Skipped)] == [12]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
