from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.training.harness import CPU, build, configure, curve, run
from workbench.errors import WorkbenchError
from workbench.training import checkpoint, model, saving


@pytest.fixture(scope="module")
def finished(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 6 steps that kept a checkpoint of each."""
    folder = tmp_path_factory.mktemp("finished")
    run(folder, configure(_tiny_model, checkpoints={"every": 1, "keep": 100}))
    return folder


@pytest.fixture
def checkpoints(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "checkpoints", tmp_path / "run" / "checkpoints"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_newest_checkpoint_is_the_one_of_the_latest_step(checkpoints: Path) -> None:
    assert names(checkpoints) == {f"step-{n}" for n in range(1, 7)}
    (checkpoints / "step-3").rename(checkpoints / "step-10")
    assert checkpoint.newest_first(checkpoints)[0].name == "step-10"
    assert checkpoint.newest_first(checkpoints / "no such folder") == []


def test_what_a_crash_left_half_written_is_passed_over(checkpoints: Path) -> None:
    (checkpoints / "step-6" / "trainer.json").unlink()
    (checkpoints / "step-5").rename(checkpoints / ".step-5.abc123")
    (checkpoints / "step-99").mkdir()
    (checkpoints / "step-4").rename(checkpoints / "step-4.backup")
    assert checkpoint.newest_first(checkpoints)[0].name == "step-3"


def test_pruning_keeps_the_newest_whole_ones_and_clears_what_a_crash_left(
    checkpoints: Path,
) -> None:
    (checkpoints / "step-6" / "trainer.json").unlink()
    (checkpoints / ".step-7.abc123").mkdir()
    (checkpoints / "step-2.backup").mkdir()
    checkpoint.prune(checkpoints, 2)
    assert {"step-5", "step-4", "step-2.backup"} <= names(checkpoints)
    assert not {"step-1", "step-2", "step-3", ".step-7.abc123"} & names(checkpoints)


def test_damaged_ones_never_count_among_those_that_are_kept(checkpoints: Path, base: Path) -> None:
    """Else each new checkpoint would be removed as it is saved."""
    for name in ("step-4", "step-5", "step-6"):
        (checkpoints / name / "optimizer.safetensors").write_bytes(b"spoilt")
    run(checkpoints.parent, configure(base, checkpoints={"every": 1, "keep": 2}))
    assert names(checkpoints) == {
        *("step-5", "step-6"),
        *("step-4.damaged", "step-5.damaged", "step-6.damaged"),
    }
    assert not any(checkpoint.problem(checkpoints / f"step-{n}") for n in (5, 6))


def test_a_run_keeps_as_many_checkpoints_as_it_is_told(tmp_path: Path, base: Path) -> None:
    run(tmp_path, configure(base, checkpoints={"every": 1, "keep": 3}))
    assert names(tmp_path / "checkpoints") == {"step-4", "step-5", "step-6"}


def test_a_broken_checkpoint_is_written_anew_when_its_step_comes_again(
    checkpoints: Path, base: Path
) -> None:
    for name in ("step-5", "step-6"):
        (checkpoints / name / "trainer.json").unlink()
    config = configure(base, checkpoints={"every": 1, "keep": 100})
    _, outcome = run(checkpoints.parent, config)
    assert outcome.step == 6
    assert all((checkpoints / f"step-{n}" / "trainer.json").exists() for n in range(1, 7))


def test_a_resume_from_any_checkpoint_gives_the_same_rest(
    checkpoints: Path, finished: Path, base: Path
) -> None:
    for gone in ("step-6", "step-5", "step-4", "step-3"):
        shutil.rmtree(checkpoints / gone)
    run(checkpoints.parent, configure(base, checkpoints={"every": 1, "keep": 100}))
    assert curve(checkpoints.parent) == curve(finished)[2:]


def test_a_checkpoint_holds_no_pickle_and_no_base_weights(finished: Path) -> None:
    newest = checkpoint.newest_first(finished / "checkpoints")[0]
    kinds = {path.suffix for path in newest.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".md"}
    weights = newest / "adapter" / "adapter_model.safetensors"
    assert weights.stat().st_size < 100_000
    assert oct(newest.stat().st_mode & 0o777) == "0o755"


def test_a_checkpoint_of_another_adapter_is_refused_in_words(checkpoints: Path, base: Path) -> None:
    loop = build(checkpoints.parent, configure(base, lora={"rank": 8}))
    with pytest.raises(WorkbenchError, match="does not fit this run"):
        loop.resume()


def test_the_saved_adapter_gives_the_logits_of_the_one_in_memory(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base)
    loop, _ = run(tmp_path, config)
    saving.save_result(loop.model, tmp_path / "adapter", saving.trained_tensors(loop.model))
    fresh = model.load_adapter(model.load_base(base, config.model, CPU), tmp_path / "adapter")
    ids = torch.arange(40).unsqueeze(0)
    with torch.inference_mode():
        # The loop adds an adapter's product to the base's in place, which rounds otherwise.
        ours = loop.model.eval()(ids).logits
        torch.testing.assert_close(fresh(ids).logits, ours, rtol=0, atol=1e-5)
