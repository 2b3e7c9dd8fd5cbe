from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trained import ANSWER, LICENCE, Trained
from workbench.errors import WorkbenchError
from workbench.export.certificate import compare, logits_of
from workbench.export.request import export_adapter, start_merge
from workbench.files import sha256_file


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
