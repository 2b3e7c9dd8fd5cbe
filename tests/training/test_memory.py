"""Memory that really runs out: torch is asked for more than any machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.harness import configure, events, run
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Step
from workbench.training import model
from workbench.training.loss import causal_model
from workbench.training.memory import advised

FAR_TOO_MUCH = 1 << 50
"""Elements of one byte."""


def ask_for_too_much() -> torch.Tensor:
    return torch.empty(FAR_TOO_MUCH, dtype=torch.uint8)


def test_torchs_own_words_are_told_with_settings_of_the_run() -> None:
    with pytest.raises(WorkbenchError) as told, advised(RunConfig(), "training"):
        ask_for_too_much()
    assert told.value.cause == "out_of_host_memory"
    assert told.value.message == (
        "The machine's memory ran out: 1048576.0 GiB was asked for at once."
    )
    assert "training.batch_size=2 training.accumulation=8" in told.value.hint


def test_a_gpus_words_are_told_with_settings_of_the_run() -> None:
    words = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB "
        "of which 1.00 GiB is free. Including non-PyTorch memory, this process has 23.00 GiB "
        "memory in use. Of the allocated memory 22.50 GiB is allocated by PyTorch, and 10.00 MiB "
        "is reserved by PyTorch but unallocated."
    )
    with pytest.raises(WorkbenchError) as told, advised(RunConfig(), "loading"):
        raise torch.OutOfMemoryError(words)
    assert told.value.cause == "out_of_gpu_memory"
    assert "2.0 GiB was asked for, and 1.0 GiB of GPU 0's 24.0 GiB was free" in told.value.message
    assert "model.quantization=nf4" in told.value.hint
    assert "batch_size" not in told.value.hint


def test_other_errors_go_through() -> None:
    with pytest.raises(KeyError), advised(RunConfig(), "training"):
        raise KeyError("oops")


@pytest.fixture(params=["in the rehearsal", "in the loop"])
def rehearsed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "in the rehearsal")


@pytest.mark.parametrize(
    ("in_training", "setting", "other"),
    [
        (True, "training.batch_size=2", "evaluation"),
        (False, "evaluation.batch_size=2", "training.batch_size"),
    ],
)
def test_the_advice_is_for_what_the_run_was_at(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rehearsed: bool,
    in_training: bool,
    setting: str,
    other: str,
) -> None:
    config = configure(base, training={"rehearsal": rehearsed})
    load = model.load_to_train

    def run_out(module: nn.Module, _: object, options: dict[str, torch.Tensor]) -> None:
        # Before anything else the longest row is packed with a piece of another.
        if module.training == in_training and options["input_ids"].numel() > 140:
            ask_for_too_much()

    def load_what_runs_out(*arguments: Any) -> Any:
        loaded = load(*arguments)
        inner = causal_model(loaded).base_model
        inner.register_forward_pre_hook(run_out, with_kwargs=True)
        return loaded

    monkeypatch.setattr(model, "load_to_train", load_what_runs_out)
    with pytest.raises(WorkbenchError) as told, advised(config, "training"):
        run(tmp_path, config)
    assert told.value.cause == "out_of_host_memory"
    assert setting in told.value.hint and other not in told.value.hint
    assert bool(events(tmp_path, Evaluated)) == (not rehearsed and in_training)
    assert events(tmp_path, Step) == []
