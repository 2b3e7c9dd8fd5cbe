"""Each way to train, for real on the tiny model: it learns, and the base stays what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.training.harness import adapter, build, configure, curve, events, run
from workbench.jobs.events import Step
from workbench.training import proof, saving
from workbench.training.loop import Loop

METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "attention": {"lora": {"target_modules": "attention"}},
    "mlp": {"lora": {"target_modules": "mlp"}},
    "rslora": {"lora": {"rslora": True}},
    "dora": {"lora": {"dora": True, "dropout": 0.1}},
    "lora_plus": {"lora": {"plus_ratio": 4.0}},
    "gaussian": {"lora": {"initialisation": "gaussian"}},
    "orthogonal": {"lora": {"initialisation": "orthogonal"}},
    "olora": {"lora": {"initialisation": "olora"}},
    "pissa": {"lora": {"initialisation": "pissa", "rslora": True}},
    "pissa_niter_4": {"lora": {"initialisation": "pissa_niter_4", "dora": True}},
    "head": {"lora": {"modules_to_save": ["lm_head"]}},
    "embeddings": {"lora": {"modules_to_save": ["embed_tokens", "norm"]}},
    "tokens": {"model": {"new_tokens": ["<one>", "<two>"]}},
    "tokens_and_head": {
        "model": {"new_tokens": ["<one>"]},
        "lora": {"modules_to_save": ["lm_head"], "initialisation": "pissa"},
    },
    "bfloat16": {"lora": {"dtype": "bfloat16", "modules_to_save": ["norm"]}},
    "full": {"training": {"method": "full"}},
    "full_with_tokens": {"training": {"method": "full"}, "model": {"new_tokens": ["<one>"]}},
}


def logits(network: Any) -> torch.Tensor:
    """Of tokens, the first new one among them where there are any."""
    rows = network.get_input_embeddings().weight.shape[0]
    ids = torch.cat([torch.arange(40), torch.tensor([rows - 1, 7])]).unsqueeze(0)
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(input_ids=ids).logits
    return found


def plain(base: Path, rows: int) -> Any:
    """The base as anyone loads it, with rows for the tokens of a saved tokenizer."""
    network = AutoModelForCausalLM.from_pretrained(base)
    if network.get_input_embeddings().weight.shape[0] < rows:
        network.resize_token_embeddings(rows)
    return network


def loaded(base: Path, result: Path, loop: Loop) -> Any:
    rows = len(loop.model.get_input_embeddings().weight)
    if loop.config.training.method == "full":
        return AutoModelForCausalLM.from_pretrained(result)
    return PeftModel.from_pretrained(plain(base, rows), result)


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_leaves_the_base_and_loads_plainly(
    tmp_path: Path, base: Path, method: str
) -> None:
    config = configure(base, **METHODS[method])
    loop = build(tmp_path, config)
    frozen = proof.base_fingerprint(loop.model)
    before = proof.trained_fingerprint(loop.model)
    loop.run()
    proof.check_base(frozen, loop.model)
    assert proof.adapter_moved(before, loop.model).still == []
    steps = events(tmp_path, Step)
    assert steps[-1].loss < steps[0].loss - 0.05

    saving.save_result(loop.model, tmp_path / "result", saving.trained_tensors(loop.model))
    assert {p.suffix for p in (tmp_path / "result").iterdir()} <= {".json", ".safetensors"}
    fresh = loaded(base, tmp_path / "result", loop)
    tolerance = 0.05 if method == "bfloat16" else 1e-5
    torch.testing.assert_close(logits(fresh), logits(loop.model), rtol=0, atol=tolerance)
    untrained = plain(base, len(loop.model.get_input_embeddings().weight))
    assert (logits(fresh) - logits(untrained)).abs().max() > 0.1


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("attention", "gaussian")])
def test_it_resumes_bit_for_bit(tmp_path: Path, base: Path, method: str) -> None:
    config = configure(base, **METHODS[method], checkpoints={"every": 2})
    whole, _ = run(tmp_path / "whole", config, validation=0)

    def kill(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", config, on_step=kill, validation=0)
    again = build(tmp_path / "cut", config, validation=0)
    assert again.resume() == 4
    frozen = proof.base_fingerprint(again.model)
    assert frozen == proof.base_fingerprint(whole.model)
    again.run(4)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    ours, theirs = adapter(again), adapter(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
