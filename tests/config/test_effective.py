"""Effective values: against a real run, and checkpoints against the bytes of real ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.config.test_duration import CPU, SMALL, known
from tests.trained import Trained
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances, DatasetFacts, TemplateFacts
from workbench.config.effective import effective
from workbench.config.schema import RunConfig
from workbench.jobs.events import Evaluated, Started
from workbench.jobs.log import read_all
from workbench.training import checkpoint, model, saving
from workbench.training.optimizers import make_optimizer, make_scheduler, parameter_groups


def configure(**body: Any) -> RunConfig:
    return RunConfig.model_validate(body)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lora": {"rank": 64, "dora": True}, "training": {"optimizer": "adamw_8bit"}},
        {"lora": {"rank": 64}, "training": {"optimizer": "paged_lion_8bit"}},
        {"lora": {"dtype": "bfloat16", "rank": 32}},
        {"lora": {"initialisation": "pissa"}},
        {"training": {"method": "full"}},
    ],
)
def test_a_checkpoint_and_a_result_have_the_bytes_that_were_said(
    tiny_model: Path, tmp_path: Path, body: dict[str, Any]
) -> None:
    """Within 2 %."""
    config = configure(**{**body, "model": {"base": str(tiny_model), "dtype": "float32"}})
    model.quieten()
    trained = model.load_to_train(tiny_model, config, torch.device("cpu"))
    for parameter in trained.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer = make_optimizer(parameter_groups(trained, config), config.training)
    optimizer.step()
    scheduler = make_scheduler(optimizer, config.training, 10)
    parts = checkpoint.Parts(trained, optimizer, scheduler)
    saved = checkpoint.save(tmp_path / "checkpoints", checkpoint.Place(1), parts)
    (tmp_path / "result").mkdir()
    saving.save_result(trained, tmp_path / "result", saving.trained_tensors(trained))
    weights = sum(p.stat().st_size for p in (tmp_path / "result").glob("*.safetensors"))

    told = effective(config, Circumstances(CPU, BaseFacts.of(tiny_model)))
    assert told.checkpoint_bytes == pytest.approx(size_of(saved), rel=0.02)
    assert told.result_bytes == pytest.approx(weights, rel=0.02)


def test_a_run_did_what_was_said(trained_run: Trained) -> None:
    config = trained_run.run / "config.yaml"
    told = trained_run.json("config", "forecast", config)["effective"]
    log = [record.event for record in read_all(trained_run.run / "train.jsonl")]
    (started,) = (event for event in log if isinstance(event, Started))
    assert told["total_steps"] == started.total_steps
    assert told["total_steps"] / told["steps_an_epoch"] == pytest.approx(started.epochs, rel=1e-3)
    assert told["validations"] == sum(isinstance(event, Evaluated) for event in log)
    assert told["trained_parameters"] == started.trainable_parameters
    assert told["trained_share"] == pytest.approx(started.trainable_parameters / started.parameters)
    checkpoints = list((trained_run.run / "checkpoints").glob("step-*"))
    assert len(checkpoints) <= told["checkpoints"]
    assert told["checkpoint_bytes"] == pytest.approx(size_of(checkpoints[0]), rel=0.02)
    assert told["fits_on_disk"] is True and told["disk_free"] > 0


def test_the_values_of_a_config() -> None:
    facts = known(SMALL, CPU, [100] * 60, trained=0.25, disk_free=1 << 40)
    config = configure(
        lora={"rank": 64, "alpha": 32, "rslora": True},
        training={"batch_size": 4, "accumulation": 2, "epochs": 3, "warmup_ratio": 0.1},
    )
    told = effective(config, facts)
    assert told.scale == 32 / 8
    assert (told.rows_a_step, told.tokens_a_step) == (8, 750)
    assert told.trained_tokens_a_step == pytest.approx(0.25 * 750)
    assert (told.steps_an_epoch, told.total_steps, told.warmup_steps) == (8, 24, 3)
    assert told.validations == 0 and told.parameters == SMALL.parameters
    assert effective(configure(lora={"rank": 8, "alpha": 16}), facts).scale == 2
    by_tokens = effective(configure(training={"step_tokens": 1000}), facts)
    assert (by_tokens.steps_an_epoch, by_tokens.rows_a_step) == (7, 60 / 7)
    unknown = effective(configure(training={"step_tokens": 1000}), Circumstances(CPU))
    assert unknown.rows_a_step is None and "filled by tokens" in unknown.why["rows_a_step"]
    limited = configure(data={"train_rows": 10}, training={"max_steps": 7, "warmup_steps": 2})
    short = effective(limited, facts)
    assert (short.steps_an_epoch, short.total_steps, short.warmup_steps) == (1, 7, 2)
    shorter = configure(data={"max_length": 50, "too_long": "drop"})
    assert effective(shorter, facts).total_steps is None


def test_the_disk_that_checkpoints_take() -> None:
    facts = known(SMALL, CPU, [100] * 64, disk_free=1000)
    assert facts.dataset is not None
    facts = replace(facts, dataset=replace(facts.dataset, validation=5))
    batch = {"batch_size": 4, "accumulation": 2, "epochs": 5}

    def kept(**body: Any) -> tuple[Any, float]:
        told = effective(configure(training=batch, **body), facts)
        assert told.checkpoint_bytes and told.result_bytes and told.run_bytes
        assert told.fits_on_disk is False
        with_result = told.checkpoints * told.checkpoint_bytes + told.result_bytes
        most = 0 if told.run_bytes == with_result else told.run_bytes / told.checkpoint_bytes
        return told.checkpoints, most

    # With the result in the end, or one that is written before the oldest goes: the most of both.
    assert kept() == (1, 0)
    assert kept(checkpoints={"every": 10}) == (2, 3)
    assert kept(checkpoints={"every": 10, "keep": 1}) == (1, 2)
    assert kept(checkpoints={"every": 30, "keep": 5}) == (2, 0)
    # The best one is kept beside them.
    assert kept(checkpoints={"every": 10}, evaluation={"every": 10}) == (3, 4)


def test_the_result_has_its_tokenizer_beside_it() -> None:
    alone = known(SMALL, CPU, [100] * 64)
    template = TemplateFacts(chat=True, system=True, pad_ends=False, bytes=1_000_000)
    told = effective(configure(), replace(alone, template=template))
    before = effective(configure(), alone)
    assert told.result_bytes and before.result_bytes
    assert told.result_bytes - before.result_bytes == 1_000_000


def test_what_is_not_known_has_its_reason() -> None:
    told = effective(configure(), Circumstances(CPU))
    nothing = {
        name for name, value in json.loads(json.dumps(told.to_json())).items() if value is None
    }
    assert nothing - set(told.why) == {"trained_tokens_a_step", "disk_free", "fits_on_disk"}
    assert told.scale == 2 and told.rows_a_step == 16
    unmeasured = Circumstances(CPU, SMALL, None, DatasetFacts("rows@1", 64, 0))
    told = effective(configure(), unmeasured)
    assert told.total_steps == 4 and told.tokens_a_step is None
    assert "data verdict" in told.why["tokens_a_step"]
    whole = effective(configure(training={"method": "full"}), unmeasured)
    assert whole.scale is None and "no adapter" in whole.why["scale"]
    assert whole.trained_share == 1
