"""Memory that really runs out: torch is asked for more than any machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.harness import build, configure
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
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


@pytest.mark.parametrize(
    ("in_training", "setting"),
    [(True, "training.batch_size=2"), (False, "evaluation.batch_size=2")],
)
def test_the_advice_is_for_what_the_loop_was_at(
    base: Path, tmp_path: Path, in_training: bool, setting: str
) -> None:
    config = configure(base)
    loop = build(tmp_path, config)

    def run_out(module: nn.Module, _: object, options: dict[str, torch.Tensor]) -> None:
        # Before anything else the loss is measured with one row.
        if module.training == in_training and len(options["input_ids"]) > 1:
            ask_for_too_much()

    inner = causal_model(loop.model).base_model
    inner.register_forward_pre_hook(run_out, with_kwargs=True)
    with pytest.raises(WorkbenchError) as told, advised(config, "training"):
        loop.run()
    assert told.value.cause == "out_of_host_memory"
    assert setting in told.value.hint
