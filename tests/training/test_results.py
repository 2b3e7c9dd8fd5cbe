"""What a run makes, from training to a model that anyone can load, by every method."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.harness import configure
from workbench.config.schema import RunConfig
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.evaluation.job import evaluate
from workbench.evaluation.request import Request, read_scores
from workbench.export.merge import merge
from workbench.export.request import CERTIFICATE, export_adapter
from workbench.files import write_json
from workbench.jobs.control import Control
from workbench.jobs.events import Event
from workbench.jobs.log import LogWriter
from workbench.jobs.tasks import REQUEST
from workbench.reporting import report
from workbench.review.making import create_session
from workbench.review.sources import Source
from workbench.tracking import card, inputs, manifest, runs
from workbench.training.job import train
from workbench.workspace import Workspace

TOKENS = ["<|tool|>", "<answer>"]
RUNS: dict[str, dict[str, dict[str, Any]]] = {
    "dora_on_4_bits": {
        "model": {"quantization": "nf4", "new_tokens": TOKENS},
        "lora": {"dora": True, "rslora": True},
    },
    "pissa_and_head": {"lora": {"initialisation": "pissa", "modules_to_save": ["lm_head"]}},
    "head_apart": {"lora": {"target_modules": ["q_proj", "lm_head"]}},
    "full": {"training": {"method": "full"}, "model": {"new_tokens": TOKENS}},
}
Make = Callable[[str], tuple[Path, Path]]


def done(job: Callable[[Path, LogWriter, Control], Event], folder: Path) -> Event:
    """A job done in this process."""
    with LogWriter(folder / runs.LOG) as log:
        return job(folder, log, Control())


@pytest.fixture
def make(workspace: Workspace, write_rows: Callable[..., Path], base: Path) -> Make:
    """Trains and evaluates a run; gives its folder and the evaluation's."""
    rows = [{"prompt": f"Say {n}", "completion": f"<answer>{n}<|tool|>"} for n in range(20)]

    def create(name: str) -> tuple[Path, Path]:
        import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.2))
        config = configure(
            base,
            **RUNS[name],
            evaluation={"generate_rows": 2, "max_new_tokens": 4},
            checkpoints={"keep": 1},
        )
        run = runs.create(workspace, config, command="test", say=lambda text: None)
        done(train, run)
        evaluation = run / "evaluations" / "01"
        evaluation.mkdir(parents=True)
        write_json(evaluation / REQUEST, Request.of(config.evaluation).to_json())
        done(evaluate, evaluation)
        return run, evaluation

    return create


def exported(run: Path, target: Path) -> Path:
    folder = run / "exports" / "merge-01"
    folder.mkdir(parents=True)
    write_json(folder / REQUEST, {"run": str(run), "target": str(target)})
    done(merge, folder)
    return target


def logits(network: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(input_ids=torch.arange(60).unsqueeze(0)).logits
    return found


@pytest.mark.parametrize("name", ["dora_on_4_bits", "pissa_and_head", "head_apart"])
def test_an_adapter_of_every_kind_is_evaluated_and_merged(
    make: Make, base: Path, tmp_path: Path, name: str
) -> None:
    run, evaluation = make(name)
    systems = read_scores(evaluation)["systems"]
    assert systems["adapter"]["loss"]["value"] < systems["base"]["loss"]["value"] - 0.3
    summary = runs.summarise(run)
    assert summary.best_validation_loss == pytest.approx(systems["adapter"]["loss"]["value"])
    assert summary.first_validation_loss == pytest.approx(systems["base"]["loss"]["value"])

    merged = AutoModelForCausalLM.from_pretrained(exported(run, tmp_path / "merged"))
    network = AutoModelForCausalLM.from_pretrained(base)
    network.resize_token_embeddings(len(merged.get_input_embeddings().weight))
    adapted = PeftModel.from_pretrained(network, export_adapter(run, tmp_path / "adapter"))
    torch.testing.assert_close(logits(merged), logits(adapted), rtol=1e-4, atol=1e-4)
    certificate = json.loads((tmp_path / "merged" / CERTIFICATE).read_text())
    assert certificate["same_top_token"] == 1 and certificate["positions"] > 0
    # Trained on 4 bits, it is held against that, too: merged into the whole base it is another.
    against = certificate["against_quantized"]
    assert (against is not None) == (name == "dora_on_4_bits")
    if against is not None:
        assert certificate["largest_logit_difference"] < against["largest_logit_difference"]
        assert "in 4 bits (nf4) and is merged into the whole one" in certificate["precision"]


def test_a_whole_model_is_evaluated_against_its_base_and_copied(
    make: Make, base: Path, tmp_path: Path, workspace: Workspace
) -> None:
    run, evaluation = make("full")
    systems = read_scores(evaluation)["systems"]
    assert list(systems) == ["base", "tuned"]
    assert systems["tuned"]["loss"]["value"] < systems["base"]["loss"]["value"] - 0.3
    losses = runs.summarise(run)
    assert losses.best_validation_loss == pytest.approx(systems["tuned"]["loss"]["value"])
    assert create_session(workspace, "judged", [Source.of(evaluation)]).systems == ("base", "tuned")

    assert not (run / "adapter").exists()
    assert manifest.read(run)["model"].keys() >= {"model.safetensors", "config.json"}
    with pytest.raises(WorkbenchError, match=r"trained the whole model") as refusal:
        export_adapter(run, tmp_path / "adapter")
    assert "workbench export merged" in refusal.value.hint

    target = exported(run, tmp_path / "copy")
    copied = AutoModelForCausalLM.from_pretrained(target)
    own = AutoModelForCausalLM.from_pretrained(run / "model")
    assert torch.equal(logits(copied), logits(own))
    untuned = logits(AutoModelForCausalLM.from_pretrained(base))
    assert (logits(copied)[..., : untuned.shape[-1]] - untuned).abs().max() > 0.1
    assert json.loads((target / "config.json").read_text())["use_cache"] is True
    text = (target / card.CARD).read_text()
    assert "all weights tuned" in text and "PeftModel" not in text and "`<|tool|>`" in text
    assert f"- Copy of the model: {target}" in report.write(workspace, run).read_text()


@pytest.mark.parametrize("name", ["dora_on_4_bits", "full"])
def test_new_tokens_are_one_token_each_wherever_they_are_read(
    make: Make, tmp_path: Path, name: str
) -> None:
    run, _ = make(name)
    template = inputs.load_template(run)
    assert template.new_ids == (259, 260)
    result = run / ("model" if name == "full" else "adapter")
    for folder in (result, exported(run, tmp_path / "merged")):
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        assert tokenizer("<answer>4<|tool|>")["input_ids"] == [260, ord("4") - 33, 259]
        assert len(tokenizer) == 261
    assert template.decode([260, 259]) == "<answer><|tool|>", "an answer shows them"
    text = (result / card.CARD).read_text()
    assert name == "full" or "base.resize_token_embeddings(max(rows, len(tokenizer)))" in text


def test_a_token_that_the_base_has_is_refused_by_its_name(
    workspace: Workspace, write_rows: Callable[..., Path], base: Path
) -> None:
    import_files(workspace, [write_rows({"prompt": "a", "completion": "b"})], "sample")
    config = RunConfig.model_validate(
        {
            "model": {"base": str(base), "new_tokens": ["<new>", "<|im_end|>"]},
            "data": {"dataset": "sample"},
        }
    )
    run = runs.create(workspace, config, command="test", say=lambda text: None)
    with pytest.raises(WorkbenchError, match=r"model\.new_tokens.*has <\|im_end\|> already"):
        done(train, run)
