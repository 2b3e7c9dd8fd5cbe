"""Adapters combined by PEFT's methods, and proved to load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.conftest import Cli
from tests.export import adapters
from workbench.adapters import combining, files, kept
from workbench.errors import WorkbenchError
from workbench.export import combine
from workbench.jobs import launch, tasks
from workbench.jobs.control import Control
from workbench.jobs.log import LogWriter
from workbench.workspace import Workspace


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is done in this process, as it is started."""

    def start(folder: Path, module: str, **others: Any) -> None:
        assert module == "workbench.export.combine"
        with LogWriter(folder / launch.EVENTS) as log:
            combine.work(folder, log, Control())

    monkeypatch.setattr(tasks.launch, "start", start)


def made(workspace: Workspace, name: str) -> Path:
    return kept.of_workspace(workspace) / name


def change(folder: Path, base: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds to each layer's weights, by PEFT's own arithmetic."""
    network = AutoModelForCausalLM.from_pretrained(base)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    merged = PeftModel.from_pretrained(network, folder).merge_and_unload()
    return {name: tensor - before[name] for name, tensor in merged.state_dict().items()}


def assert_sum(
    whole: dict[str, torch.Tensor], parts: list[tuple[float, dict[str, torch.Tensor]]]
) -> None:
    for name, tensor in whole.items():
        wanted = sum(weight * part[name] for weight, part in parts)
        torch.testing.assert_close(tensor, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("method", ["cat", "svd"])
def test_exact_methods_add_what_the_adapters_add(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, method: str, rslora: bool
) -> None:
    """`cat` is exact; an SVD is as soon as its rank is that of the sum."""
    first = adapters.make(tiny_model, tmp_path / "a", 1, use_rslora=rslora)
    second = adapters.make(tiny_model, tmp_path / "b", 2, r=2, use_rslora=rslora)
    combining.start(
        workspace,
        [str(first), str(second)],
        "sum",
        weights=[0.7, -0.2],
        method=method,
        rank=6 if method == "svd" else None,
    )
    result = made(workspace, "sum")
    parts = [(0.7, change(first, tiny_model)), (-0.2, change(second, tiny_model))]
    assert_sum(change(result, tiny_model), parts)
    assert files.read(result).rank == 6


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("method", combining.METHODS)
def test_every_method_makes_an_adapter_that_plain_peft_loads(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    both = [adapters.make(tiny_model, tmp_path / name, n) for n, name in enumerate("ab")]
    combining.start(workspace, [str(one) for one in both], "one", method=method)
    result = made(workspace, "one")
    network = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = adapters.logits(network)
    assert (adapters.logits(PeftModel.from_pretrained(network, result)) - plain).abs().max() > 0.01
    told = json.loads((result / "provenance.json").read_text())
    assert told["method"] == method and [one["weight"] for one in told["of"]] == [0.5, 0.5]
    assert told["largest_logit_difference"] < 1e-4
    assert told["base"]["files"]["model.safetensors"]
    assert told["sha256"].keys() == {files.CONFIG, files.WEIGHTS}


@pytest.mark.usefixtures("here")
def test_linear_with_all_the_weight_on_one_is_that_one(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    both = [adapters.make(tiny_model, tmp_path / name, n) for n, name in enumerate("ab")]
    combining.start(workspace, [str(one) for one in both], "one", weights=[1, 0])
    one, same = change(made(workspace, "one"), tiny_model), change(both[0], tiny_model)
    assert_sum(one, [(1.0, same)])


@pytest.mark.usefixtures("here")
def test_dare_draws_the_same_by_its_seed(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    both = [adapters.make(tiny_model, tmp_path / name, n) for n, name in enumerate("ab")]
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        combining.start(
            workspace, [str(each) for each in both], name, method="dare_ties", seed=seed
        )
    one, again, other = (
        load_file(made(workspace, name) / files.WEIGHTS) for name in ("one", "again", "other")
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_dora": True}, "DoRA, whose magnitudes"),
        ({"modules_to_save": ["lm_head"]}, r"trained whole \(lm_head\)"),
        ({"trainable_token_indices": [1]}, "tokens of its own"),
        ({"r": 2}, "one rank, and these have 4, 2"),
    ],
)
def test_what_the_methods_pass_over_is_refused(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    first = adapters.make(tiny_model, tmp_path / "a")
    second = adapters.make(tiny_model, tmp_path / "b", **options)
    with pytest.raises(WorkbenchError, match=said):
        combining.start(workspace, [str(first), str(second)], "one")
    assert not made(workspace, "one").exists() and not workspace.tasks.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"weights": [1.0]}, "2 adapters and 1 weights"),
        ({"density": 0.0}, "density of 0 can't be"),
        ({"method": "linear", "rank": 3}, "linear can't make rank 3"),
        ({"method": "sum"}, "no method sum"),
    ],
)
def test_what_can_not_be_asked_is_said(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    both = [str(adapters.make(tiny_model, tmp_path / name)) for name in "ab"]
    with pytest.raises(WorkbenchError, match=said):
        combining.start(workspace, both, "one", **asked)


@pytest.mark.usefixtures("here")
def test_an_adapter_of_another_base_is_refused_before_anything_is_loaded(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    first = adapters.make(tiny_model, tmp_path / "a")
    second = adapters.make(tiny_model, tmp_path / "b")
    body = json.loads((second / files.CONFIG).read_text())
    (second / "provenance.json").write_text(
        json.dumps({"base": {"name": "other", "files": {"model.safetensors": "0" * 64}}})
    )
    assert body["r"] == 4
    with pytest.raises(WorkbenchError, match="not of the base"):
        combining.start(workspace, [str(first), str(second)], "one", base=str(tiny_model))
    assert not made(workspace, "one").exists()


def test_adapters_are_imported_combined_checked_and_listed_by_the_command_line(
    cli: Cli, workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    for place, name in enumerate("ab"):
        adapters.make(tiny_model, tmp_path / name, place)
        cli("adapters", "import", tmp_path / name).check_returncode()
    done = cli("adapters", "combine", "a", "b", "--name", "ab", "--method", "ties", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["of"][0]["adapter"].endswith("adapters/a")
    assert cli("adapters", "check", "ab").returncode == 0
    listed = {one["name"]: one for one in json.loads(cli("adapters", "list", "--json").stdout)}
    assert {name: one["made"] for name, one in listed.items()} == {
        "a": "imported",
        "b": "imported",
        "ab": "combined",
    }
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    checked = cli("adapters", "check", "ab", other)
    assert checked.returncode == 1 and "base hash      bad" in checked.stdout
    assert "is NOT of" in checked.stdout
