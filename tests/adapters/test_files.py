"""Adapters by their files: what is whole, what is of a base, what is taken in."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.export import adapters
from workbench.adapters import checks, files, kept, origin
from workbench.adapters.checks import BAD, GOOD, UNKNOWN
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    return adapters.make(tiny_model, tmp_path / "mine")


def verdicts(adapter: Path, base: Path, told: origin.Origin | None = None) -> dict[str, str]:
    read = files.read(adapter)
    found = checks.check(read, told or origin.of(read), base)
    return {finding.what: finding.verdict for finding in found}


def spoil(base: Path) -> Path:
    """Another model of the same shapes."""
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    return base


def test_an_adapter_is_read_without_loading_it(adapter: Path, tiny_model: Path) -> None:
    read = files.read(adapter)
    assert (read.kind, read.rank, read.alpha) == ("LoRA", 4, 8)
    assert read.targets == ["q_proj", "up_proj"] and len(read.modules) == 4
    # By hand: two layers, q 64 x 64 and up 64 x 128, rank 4.
    assert read.parameters == 2 * (4 * (64 + 64) + 4 * (64 + 128))
    assert read.base == str(tiny_model)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda f: (f / files.WEIGHTS).unlink(), "half-written: it has no adapter_model"),
        (lambda f: (f / files.CONFIG).unlink(), "it has no adapter_config.json"),
        (lambda f: (f / files.CONFIG).write_text("{"), "not valid JSON"),
        (lambda f: (f / files.CONFIG).write_text("{}"), "names no peft_type"),
        (
            lambda f: (f / files.WEIGHTS).write_bytes((f / files.WEIGHTS).read_bytes()[:-9]),
            "half-written: it has .* bytes, and its header speaks of",
        ),
        (lambda f: (f / files.WEIGHTS).write_bytes(b"\0" * 64), "no file of safetensors"),
        (lambda f: (f / files.WEIGHTS).write_bytes(b""), "no file of safetensors"),
        (
            lambda f: (f / files.WEIGHTS).rename(f / "adapter_model.bin"),
            "pickle file .* can run code",
        ),
    ],
)
def test_half_of_one_is_told_for_what_it_is(adapter: Path, spoilt: object, said: str) -> None:
    spoilt(adapter)  # type: ignore[operator]
    with pytest.raises(WorkbenchError, match=said):
        files.read(adapter)


def test_an_adapter_of_its_base_fits_it(adapter: Path, tiny_model: Path) -> None:
    # Plain PEFT notes no hash of the base, and brings no tokenizer.
    assert verdicts(adapter, tiny_model) == {
        "base hash": UNKNOWN,
        "target modules": GOOD,
        "shapes": GOOD,
        "tokenizer": UNKNOWN,
    }


def test_other_weights_of_the_same_shapes_are_told_by_their_hash(
    adapter: Path, tiny_model: Path
) -> None:
    from workbench.tracking import manifest

    told = origin.Origin(str(tiny_model), base_files=manifest.model_files(tiny_model))
    assert verdicts(adapter, tiny_model, told)["base hash"] == GOOD
    spoil(tiny_model)
    assert verdicts(adapter, tiny_model, told)["base hash"] == BAD
    with pytest.raises(WorkbenchError, match=r"not of the base .*SHA-256 of model\.safetensors"):
        checks.require(files.read(adapter), told, tiny_model)


def test_a_base_of_other_shapes_or_layers_is_told_by_them(
    adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny_model)
    for name, changes, what in (
        ("wider", {"intermediate_size": 256}, "shapes"),
        ("shorter", {"num_hidden_layers": 1}, "target modules"),
    ):
        for key, value in changes.items():
            setattr(config, key, value)
        other = tmp_path / name
        AutoModelForCausalLM.from_config(config).save_pretrained(other)
        assert verdicts(adapter, other)[what] == BAD
        with pytest.raises(WorkbenchError, match="is not of the base in"):
            checks.require(files.read(adapter), origin.of(files.read(adapter)), other)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True, "target_modules": "all-linear"},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1, 2]},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_kind_of_tensor_is_held_against_the_base(
    tiny_model: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    folder = adapters.make(tiny_model, tmp_path / "kind", **options)
    assert BAD not in verdicts(folder, tiny_model).values()
    # Every tensor one wider fits nowhere.
    tensors = load_file(folder / files.WEIGHTS)
    import torch

    wider = {n: torch.zeros([*t.shape[:-1], t.shape[-1] + 1]) for n, t in tensors.items()}
    save_file(wider, folder / files.WEIGHTS)
    assert verdicts(folder, tiny_model)["shapes"] == BAD


def test_an_adapter_from_elsewhere_is_taken_in_listed_and_found(
    workspace: Workspace, adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for name, text in (("evil.py", "x"), ("optimizer.pt", "y"), ("README.md", "hello")):
        (adapter / name).write_text(text)
    (adapter / "training_args.bin").write_bytes(pickle.dumps({}))
    listed = kept.take_in(workspace, adapter, "other")
    assert (listed.name, listed.made, listed.kind) == ("other", "imported", "LoRA")
    here = sorted(path.name for path in listed.folder.iterdir())
    assert here == ["README.md", files.CONFIG, files.WEIGHTS, "provenance.json"]
    assert kept.find(workspace, "other") == listed.folder
    assert [one.name for one in kept.list_adapters(workspace)] == ["other"]
    made = json.loads((listed.folder / "provenance.json").read_text())
    assert made["sha256"] == origin.hashes(files.read(adapter))
    with pytest.raises(WorkbenchError, match="an adapter other already"):
        kept.take_in(workspace, adapter, "other")
    shutil.rmtree(tiny_model)
    with pytest.raises(WorkbenchError, match="doesn't exist"):
        origin.base_folder(workspace, origin.of(files.read(listed.folder)))
    assert kept.take_in(workspace, adapter, "later").name == "later", "its base may come later"


def test_one_of_another_base_is_not_taken_in(
    workspace: Workspace, adapter: Path, tmp_path: Path
) -> None:
    from tests import tiny

    other = tiny.make_model(tmp_path / "other")
    tensors = load_file(adapter / files.WEIGHTS)
    save_file(
        {name.replace("layers.1", "layers.7"): tensor for name, tensor in tensors.items()},
        adapter / files.WEIGHTS,
    )
    with pytest.raises(WorkbenchError, match="layers that this base has not"):
        kept.take_in(workspace, adapter, "odd", base=str(other))
    assert not kept.list_adapters(workspace)


def test_a_spoilt_adapter_is_listed_with_what_is_wrong(workspace: Workspace, adapter: Path) -> None:
    listed = kept.take_in(workspace, adapter, "mine")
    (listed.folder / files.WEIGHTS).write_bytes(b"12")
    (again,) = kept.list_adapters(workspace)
    assert again.name == "mine" and "no file of safetensors" in again.problem
