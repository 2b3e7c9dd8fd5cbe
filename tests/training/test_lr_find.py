"""The range test on the tiny model, in this process; as a process in `tests/sweeps`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.harness import build, configure
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.files import write_json
from workbench.jobs import launch, tasks
from workbench.jobs.control import Command, Control, Stopped
from workbench.jobs.log import LogWriter
from workbench.planning import lr_find
from workbench.planning.lr_find import Request
from workbench.training.lr_find import RangeLoop, of_the_test, work
from workbench.workspace import Workspace

Make = Callable[..., Path]


@pytest.fixture
def make(
    workspace: Workspace,
    write_rows: Callable[..., Path],
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """A task's folder whose job is done in this process."""
    rows = [
        {"prompt": f"Say {'very ' * (n % 5)}{n}", "completion": f"it is {n}"} for n in range(20)
    ]
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.2))
    monkeypatch.setattr(launch, "start", lambda folder, module, **rest: None)

    def create(low: float = 1e-5, high: float = 1.0, steps: int = 30, **sections: Any) -> Path:
        config = configure(base, **sections)
        request = Request(config, low, high, steps)
        return lr_find.start(workspace, request, say=lambda text: None)

    return create


def do(folder: Path, control: Control | None = None) -> lr_find.Found:
    with LogWriter(folder / launch.EVENTS) as log:
        done = work(folder, log, control or Control())
    assert tasks.workspace_of(folder).root / done.result == folder / lr_find.RESULT
    return lr_find.read_result(folder)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"training": {"method": "full"}},
        {"model": {"quantization": "nf4"}, "training": {"optimizer": "paged_adamw_8bit"}},
    ],
)
def test_the_loss_falls_once_rates_are_high_enough_and_no_weights_are_kept(
    make: Make, sections: dict[str, Any]
) -> None:
    folder = make(**sections)
    found = do(folder)
    assert found.losses[0] == pytest.approx(5.6, abs=0.3)
    assert found.losses[1] == pytest.approx(found.losses[0], abs=0.3)
    assert min(found.smoothed) < found.losses[0] - 0.1
    lowest = found.suggestion.lowest
    assert lowest is not None and lowest > 1e-3
    assert not list(folder.rglob("*.safetensors"))
    assert not list(tasks.workspace_of(folder).runs.glob("*"))
    assert found.request.config.training.max_steps == 6


def test_the_losses_are_those_of_a_run_at_the_same_rate(base: Path, tmp_path: Path) -> None:
    config = configure(base, lora={"plus_ratio": 4.0})
    loop = build(tmp_path, of_the_test(config, 3), validation=0)
    expected = [loop._train_step(step).figures.receive()[0] for step in range(3)]  # type: ignore[union-attr]
    other = build(tmp_path, of_the_test(config, 3), validation=0)
    other.__class__ = RangeLoop
    assert isinstance(other, RangeLoop)
    assert list(other.try_rates([1e-2] * 3)) == expected
    # LoRA+ has its matrices B learn faster than the rate that is tried.
    groups = other._parts.optimizer.param_groups
    assert list(other.try_rates([1e-3]))
    assert len(groups) == 2


def test_what_is_stopped_leaves_no_result(make: Make) -> None:
    folder, control = make(), Control()
    control._kept.append(Command("1", "stop"))
    with pytest.raises(Stopped):
        do(folder, control)
    assert not (folder / lr_find.RESULT).exists()
    with pytest.raises(WorkbenchError, match="has no result"):
        lr_find.read_result(folder)


def test_what_would_stop_a_run_stops_a_test_before_it_begins(make: Make) -> None:
    with pytest.raises(WorkbenchError, match="There is no dataset nothing"):
        make(data={"dataset": "nothing"})
    with pytest.raises(WorkbenchError, match="can't go from"):
        make(low=1.0, high=0.1)
    with pytest.raises(WorkbenchError, match="done by one process"):
        make(job={"processes": 2, "sharding": "fsdp"})


def test_a_result_that_was_spoilt_is_told_so(make: Make) -> None:
    folder = make()
    write_json(folder / lr_find.RESULT, {"v": 1, "losses": "none"})
    with pytest.raises(WorkbenchError, match="is no result of a test"):
        lr_find.read_result(folder)
