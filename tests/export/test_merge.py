from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trained import ANSWER, LICENCE, Trained
from workbench.adapters import kept
from workbench.errors import WorkbenchError
from workbench.export import merge as merging
from workbench.export.certificate import compare, logits_of
from workbench.export.merge import merge
from workbench.export.request import Request, export_adapter, start_merge
from workbench.files import sha256_file, write_json
from workbench.hardware import host
from workbench.jobs.control import Control
from workbench.jobs.log import LogWriter
from workbench.workspace import Workspace


@pytest.fixture(scope="module")
def merged(trained_run: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `workbench export merged` printed."""
    target = tmp_path_factory.mktemp("export") / "deep" / "merged"
    printed: dict[str, Any] = trained_run.json("export", "merged", "latest", "--to", target)
    return printed


def prompts(trained_run: Trained) -> list[torch.Tensor]:
    tokenizer: Any = AutoTokenizer.from_pretrained(trained_run.base)
    questions = ["Is 3 a number?", "What else is there to ask, and to answer?"]
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
        )["input_ids"]
        for question in questions
    ]


def test_the_merged_model_loads_plainly_and_gives_the_logits_of_base_and_adapter(
    merged: dict[str, Any], trained_run: Trained
) -> None:
    whole = AutoModelForCausalLM.from_pretrained(merged["path"]).eval()
    assert not any("lora" in name for name, _ in whole.named_parameters())
    base = AutoModelForCausalLM.from_pretrained(trained_run.base)
    adapted = PeftModel.from_pretrained(base, trained_run.run / "adapter").eval()
    for ids in prompts(trained_run):
        with torch.inference_mode():
            ours = whole(input_ids=ids).logits
            theirs = adapted(input_ids=ids).logits
            with adapted.disable_adapter():
                without = adapted(input_ids=ids).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        assert (ours - without).abs().max() > 1, "the adapter does something"


def test_the_merged_folder_answers_with_its_own_tokenizer_and_template(
    merged: dict[str, Any], trained_run: Trained
) -> None:
    folder = Path(merged["path"])
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    (ids, _) = prompts(trained_run)
    output = model.generate(input_ids=ids, max_new_tokens=10, do_sample=False)
    assert tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True) == ANSWER
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert sha256_file(folder / name) == sha256_file(trained_run.base / name)
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True


def test_the_certificate_says_what_was_merged_and_how_far_it_is_off(
    merged: dict[str, Any], trained_run: Trained
) -> None:
    certificate = json.loads((Path(merged["path"]) / "certificate.json").read_text())
    assert certificate == merged["merge"]
    assert certificate["run"] == trained_run.run.name
    assert certificate["base"] == str(trained_run.base)
    assert certificate["dtype"] == "float32"
    assert certificate["trained_on_quantized_base"] is False
    assert certificate["prompts"] == 8 and certificate["positions"] > 8
    assert certificate["largest_logit_difference"] < 1e-4
    assert certificate["mean_kl_nats"] == pytest.approx(0, abs=1e-6)
    assert certificate["same_top_token"] == 1 and certificate["changed_tokens"] == 0
    assert certificate["outputs"] > 0 and certificate["changed_outputs"] == 0
    assert certificate["within_bounds"] is True
    assert certificate["adapter_moves_kl_nats"] > 0.1 and certificate["against_quantized"] is None
    assert (
        certificate["base_files"] == trained_run.json("runs", "show")["manifest"]["base"]["files"]
    )


def test_the_base_and_the_run_are_as_they_were(
    merged: dict[str, Any], trained_run: Trained
) -> None:
    files = trained_run.json("runs", "show")["manifest"]
    for name, digest in files["base"]["files"].items():
        assert sha256_file(trained_run.base / name) == digest
    for name, digest in files["adapter"].items():
        assert sha256_file(trained_run.run / "adapter" / name) == digest


def test_the_adapter_is_exported_whole_with_what_made_it(
    trained_run: Trained, tmp_path: Path
) -> None:
    trained_run.cli("export", "adapter", "latest", "--to", tmp_path / "adapter")
    exported, original = tmp_path / "adapter", trained_run.run / "adapter"
    for path in original.iterdir():
        # The card is written anew, with the figures of an evaluation, and the config names the
        # base without a folder of this machine.
        if path.name not in ("README.md", "adapter_config.json"):
            assert sha256_file(exported / path.name) == sha256_file(path)
    named = json.loads((exported / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == "base"
    assert named["r"] == json.loads((original / "adapter_config.json").read_text())["r"]
    made = json.loads((exported / "workbench-manifest.json").read_text())
    assert made["run"] == trained_run.run.name
    base = AutoModelForCausalLM.from_pretrained(trained_run.base)
    assert PeftModel.from_pretrained(base, exported).active_adapter == "default"


def test_both_exports_have_the_bases_licence_and_what_made_them(
    merged: dict[str, Any], trained_run: Trained, tmp_path: Path
) -> None:
    for folder in (Path(merged["path"]), export_adapter(trained_run.run, tmp_path / "adapter")):
        made = json.loads((folder / "workbench-manifest.json").read_text())
        assert made["run"] == trained_run.run.name
        assert (folder / "LICENSE").read_text() == LICENCE
        assert not any(path.stat().st_mode & 0o044 == 0 for path in folder.iterdir())


@pytest.mark.parametrize("length", [5, 200])
def test_only_the_last_positions_of_a_prompt_are_computed(
    trained_run: Trained, length: int
) -> None:
    network = AutoModelForCausalLM.from_pretrained(trained_run.base).eval()
    heads: list[int] = []
    network.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: heads.append(output.shape[1])
    )
    ids = [n % 250 for n in range(length)]
    kept = logits_of(network, ids)
    assert heads == [min(64, length)] and kept.shape == (min(64, length), 259)
    with torch.inference_mode():
        whole = network(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(kept, whole[-64:], rtol=1e-4, atol=1e-4)
    assert kept.untyped_storage().nbytes() == kept.nbytes, "it keeps nothing else in memory"


@pytest.mark.parametrize("what", ["adapter", "merged"])
def test_a_folder_that_exists_is_refused_and_left_as_it_was(
    trained_run: Trained, tmp_path: Path, what: str
) -> None:
    (tmp_path / "precious").write_text("mine")
    result = trained_run.cli("export", what, "latest", "--to", tmp_path, check=False)
    assert result.returncode == 2 and "exists already" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_run_without_an_adapter_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run-0001"
    (run / "checkpoints").mkdir(parents=True)
    for export in (export_adapter, start_merge):
        with pytest.raises(WorkbenchError, match="run-0001 has no adapter yet"):
            export(run, tmp_path / "target")
    assert not (tmp_path / "target").exists() and not (run / "exports").exists()


def test_two_models_are_compared_by_logits_divergence_and_top_token() -> None:
    """By hand: softmax of (ln 3, 0) is (3/4, 1/4), of (0, 0) is (1/2, 1/2), and
    KL = 3/4 ln(3/2) + 1/4 ln(1/2)."""
    ln3 = 1.0986123
    first = [torch.tensor([[ln3, 0.0], [ln3, 0.0]])]
    second = [torch.tensor([[0.0, 0.0], [ln3, 0.0]])]
    found = compare(first, second)
    assert (found["prompts"], found["positions"]) == (1, 2)
    assert found["largest_logit_difference"] == pytest.approx(ln3)
    assert found["mean_kl_nats"] == pytest.approx((0.75 * 0.4054651 - 0.25 * 0.6931472) / 2)
    other = [torch.tensor([[0.0, 1.0], [ln3, 0.0]])]
    assert compare(first, other)["same_top_token"] == 0.5


def copied(trained_run: Trained, tmp_path: Path) -> Path:
    """A run of the test's own, on a base of its own."""
    workspace = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    base = Path(shutil.copytree(trained_run.base, tmp_path / "base"))
    run = workspace / "runs" / trained_run.run.name
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace(str(trained_run.base), str(base)))
    return run


def test_a_deleted_base_and_a_half_written_adapter_are_told_before_a_job_starts(
    trained_run: Trained, tmp_path: Path
) -> None:
    run = copied(trained_run, tmp_path)
    whole = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    (run / "adapter" / "adapter_model.safetensors").write_bytes(whole[:-100])
    for export in (export_adapter, start_merge):
        with pytest.raises(WorkbenchError, match="half-written"):
            export(run, tmp_path / "target")
    (run / "adapter" / "adapter_model.safetensors").write_bytes(whole)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(WorkbenchError, match="base doesn't exist"):
        start_merge(run, tmp_path / "target")
    export_adapter(run, tmp_path / "alone")
    assert not (tmp_path / "target").exists() and not (run / "exports").exists()


def test_a_disk_that_is_too_small_is_told_before_a_job_starts(
    trained_run: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(trained_run, tmp_path)
    monkeypatch.setattr(host, "disk_free", lambda folder: 100_000)
    for start in (start_merge, export_adapter):
        with pytest.raises(WorkbenchError, match=r"too little room for .*target: it takes") as told:
            start(run, tmp_path / "target")
        assert told.value.cause == "disk_full"
    assert not (tmp_path / "target").exists() and not (run / "exports").exists()


def merged_here(run: Path, target: Path, **options: Any) -> dict[str, Any]:
    """The merge of a run's adapter, in this process; its certificate."""
    folder = run / "exports" / target.name
    folder.mkdir(parents=True)
    write_json(folder / "request.json", {"run": str(run), "target": str(target), **options})
    with LogWriter(folder / "events.jsonl") as log:
        merge(folder, log, Control())
    found: dict[str, Any] = json.loads((target / "certificate.json").read_text())
    return found


def test_an_adapter_of_another_base_is_refused_and_nothing_made(
    trained_run: Trained, tmp_path: Path
) -> None:
    run = copied(trained_run, tmp_path)
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WorkbenchError, match=r"not of the base .*the SHA-256 of model\."):
        merged_here(run, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_tensor_by_tensor_and_in_another_format_the_certificate_says_so(
    trained_run: Trained, tmp_path: Path
) -> None:
    run = copied(trained_run, tmp_path)
    found = merged_here(run, tmp_path / "bf16", dtype="bfloat16", shards=True)
    assert (found["how"], found["dtype"]) == ("tensor by tensor", "bfloat16")
    assert "held in float32, the merged model in bfloat16" in found["precision"]
    assert "8 significant bits" in found["precision"]
    # Rounding to 8 bits shows, and is small beside what the adapter does.
    assert found["largest_logit_difference"] > 1e-4 and found["within_bounds"]
    assert found["small_beside_adapter"] and 0 < found["unchanged_weights"] < 0.5
    stored = load_file(tmp_path / "bf16" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    card = (tmp_path / "bf16" / "README.md").read_text()
    for part in ("## Data", "## Training", "## Merge", "## Human review", "## Licences"):
        assert part in card
    assert "No person has judged it." in card and "## How to repeat it" in card
    assert str(tmp_path) not in card, "no folder of this machine is in it"


def test_a_merge_beyond_its_bounds_is_not_kept_unless_it_is_accepted(
    trained_run: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(trained_run, tmp_path)
    own = merging.merge_whole

    def wrong(*arguments: Any) -> None:
        own(*arguments)
        path = arguments[-1] / "model.safetensors"
        tensors = load_file(path)
        tensors["model.layers.0.mlp.down_proj.weight"] *= 8
        save_file(tensors, path, metadata={"format": "pt"})

    monkeypatch.setattr(merging, "merge_whole", wrong)
    with pytest.raises(WorkbenchError, match="not near enough to base plus adapter: mean KL"):
        merged_here(run, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    found = merged_here(run, tmp_path / "kept", accept=True)
    assert found["within_bounds"] is False
    assert "beyond the bounds" in (tmp_path / "kept" / "README.md").read_text()


def test_memory_that_is_short_is_merged_in_tensor_by_tensor(
    trained_run: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(trained_run, tmp_path)
    monkeypatch.setattr(merging, "memory_left", lambda: 100_000)
    found = merged_here(run, tmp_path / "target")
    assert found["how"] == "tensor by tensor" and found["outputs"] == 0
    assert found["largest_logit_difference"] < 1e-4


def test_an_adapter_alone_is_merged_into_the_base_that_is_named(
    trained_run: Trained, tmp_path: Path, workspace: Workspace
) -> None:
    """Exported, carried elsewhere, imported and merged there."""
    export_adapter(trained_run.run, tmp_path / "carried")
    base = Path(shutil.copytree(trained_run.base, tmp_path / "moved"))
    taken = kept.take_in(workspace, tmp_path / "carried", "mine", str(base))
    request = Request("", str(tmp_path / "target"), adapter=str(taken.folder), base=str(base))
    folder = workspace.tasks / "merge-0001"
    folder.mkdir(parents=True)
    write_json(folder / "request.json", asdict(request))
    with LogWriter(folder / "events.jsonl") as log:
        merge(folder, log, Control())
    found = json.loads((tmp_path / "target" / "certificate.json").read_text())
    assert found["compared_on"] == "the golden conversation", "its rows are elsewhere"
    assert found["run"] == trained_run.run.name and found["within_bounds"]
    assert found["adapter_moves_kl_nats"] > 0.1
    papers = {path.name for path in (tmp_path / "target").iterdir()}
    assert {"README.md", "LICENSE", "provenance.json", "chat_template.jinja"} <= papers
