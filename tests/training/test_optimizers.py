"""Which weights learn how fast, and when."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from tests.training.harness import CPU, build, configure, curve, events, run
from workbench.config.schema import Optimizer, Training
from workbench.jobs.events import Step
from workbench.training import model
from workbench.training.optimizers import make_optimizer, make_scheduler, parameter_groups


def rates(schedule: str, steps: int = 10, **settings: Any) -> list[float]:
    """The learning rate of each step, as a share of the peak."""
    training = Training.model_validate(
        {"schedule": schedule, "learning_rate": 1e-3, "warmup_ratio": 0.0, **settings}
    )
    optimizer = make_optimizer([nn.Parameter(torch.zeros(2))], training)
    scheduler = make_scheduler(optimizer, training, steps)
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0] / 1e-3)
        optimizer.step()
        scheduler.step()
    return found


def test_every_schedule_falls_as_it_is_named() -> None:
    assert rates("constant") == [1.0] * 10
    assert rates("linear") == pytest.approx([1 - n / 10 for n in range(10)])
    cosine = rates("cosine")
    assert cosine[0] == 1 and cosine[5] == pytest.approx(0.5) and cosine[9] < 0.03


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warm_up_is_by_its_share_or_by_its_steps(schedule: str) -> None:
    by_steps = rates(schedule, warmup_steps=4)
    assert by_steps[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert rates(schedule, warmup_ratio=0.35) == by_steps, "a part of a step counts whole"
    assert rates(schedule, warmup_ratio=0.35, warmup_steps=0) == rates(schedule)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_run_of_one_step_learns_in_it(schedule: str) -> None:
    """Transformers would warm up in it, at a rate of 0."""
    assert rates(schedule, steps=1, warmup_ratio=0.03) == [1.0]
    assert rates(schedule, steps=2, warmup_ratio=0.9) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("lora", "count"),
    [
        ({"dora": True, "modules_to_save": ["lm_head"]}, 2 * 7),
        ({"target_modules": ["q_proj", "embed_tokens"]}, 2 + 1),
    ],
)
def test_matrix_b_learns_so_many_times_as_fast(
    base: Path, lora: dict[str, Any], count: int
) -> None:
    config = configure(
        base,
        lora={"plus_ratio": 16.0, **lora},
        training={"learning_rate": 1e-3, "weight_decay": 0.1},
    )
    trained = model.load_to_train(base, config, CPU)
    names = {p: n for n, p in trained.named_parameters()}
    groups = parameter_groups(trained, config)
    assert groups[0]["lr"] == 1e-3, "what is shown is the config's own"
    found = {
        names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    assert found.keys() == {n for n, p in trained.named_parameters() if p.requires_grad}
    for name, how in found.items():
        rate = 16e-3 if "_B." in name else 1e-3
        assert how == (rate, 0.0 if "magnitude" in name else 0.1)
    assert sum("_B." in name for name in found) == count


def test_of_a_whole_model_norms_and_biases_do_not_decay(base: Path) -> None:
    config = configure(base, training={"method": "full", "weight_decay": 0.1})
    trained = model.load_to_train(base, config, CPU)
    groups = parameter_groups(trained, config)
    decay = {p: group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in trained.named_parameters():
        assert decay[parameter] == (0.0 if "norm" in name else 0.1)


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_optimiser_decays_matrices_apart_from_the_gradient(optimizer: str) -> None:
    """Loshchilov and Hutter 2019: w becomes w (1 - rate x decay), with no gradient at all."""
    training = Training.model_validate(
        {"optimizer": optimizer, "learning_rate": 0.1, "weight_decay": 0.5}
    )
    parameter = nn.Parameter(torch.ones(64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_optimizer([parameter], training)
        parameter.grad = torch.zeros(64, 64)
        made.step()
    torch.testing.assert_close(parameter.detach(), torch.full((64, 64), 0.95))


@pytest.mark.parametrize("optimizer", ["adamw", "lion_8bit"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_groups_of_their_own_rates_resume_bit_for_bit(
    tmp_path: Path, base: Path, optimizer: str, schedule: str
) -> None:
    config = configure(
        base,
        lora={"plus_ratio": 4.0, "dora": True, "rank": 64, "alpha": 64},
        training={
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup_steps": 2,
            "learning_rate": 1e-3,
            "weight_decay": 0.1,
        },
        checkpoints={"every": 3},
    )
    run(tmp_path / "whole", config, validation=0)

    def kill(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", config, on_step=kill, validation=0)
    again = build(tmp_path / "cut", config, validation=0)
    assert again.resume() == 3
    again.run(3)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    pairs = zip(
        events(tmp_path / "cut", Step)[-3:], events(tmp_path / "whole", Step)[-3:], strict=True
    )
    assert all(cut.learning_rate == whole.learning_rate for cut, whole in pairs)
