"""The config alone decides a run's numbers, whatever a shell or a launcher says to accelerate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState

from tests.training.harness import adapter, configure, curve, run

NUMBERS = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_DYNAMO_BACKEND": "eager",
}
ENGINES = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
    "ACCELERATE_USE_MEGATRON_LM": "true",
    "ACCELERATE_USE_CPU": "true",
    "ACCELERATE_TORCH_DEVICE": "meta",
}


def forget() -> None:
    """accelerate keeps what the first Accelerator of a process was told."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def anew() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.mark.parametrize("settings", [NUMBERS, ENGINES], ids=["numbers", "engines"])
def test_what_accelerate_is_told_changes_no_number(
    tmp_path: Path,
    base: Path,
    anew: None,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
) -> None:
    config = configure(base, training={"max_steps": 3, "accumulation": 2})
    plain, _ = run(tmp_path / "plain", config)
    forget()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    told, _ = run(tmp_path / "told", config)
    assert curve(tmp_path / "told") == curve(tmp_path / "plain")
    ours, theirs = adapter(told), adapter(plain)
    assert all(ours[name].equal(theirs[name]) for name in ours)
