"""Each way to train, for real on the tiny model: it learns, and the base stays what it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from tests import tiny
from tests.training.harness import CPU, adapter, build, configure, curve, events, run
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.jobs.events import Step
from workbench.training import embeddings, model, proof, saving
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


def save(loop: Loop, folder: Path) -> None:
    saving.save_result(loop.model, folder, saving.trained_tensors(loop.model))


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

    save(loop, tmp_path / "result")
    assert {p.suffix for p in (tmp_path / "result").iterdir()} <= {".json", ".safetensors"}
    fresh = loaded(base, tmp_path / "result", loop)
    tolerance = 0.05 if method == "bfloat16" else 1e-5
    torch.testing.assert_close(logits(fresh), logits(loop.model), rtol=0, atol=tolerance)
    untrained = plain(base, len(loop.model.get_input_embeddings().weight))
    assert (logits(fresh) - logits(untrained)).abs().max() > 0.1


@pytest.mark.parametrize(
    "method", ["dora", "lora_plus", "olora", "pissa_niter_4", "tokens_and_head", "bfloat16"]
)
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


@pytest.mark.parametrize("method", ["full", "full_with_tokens"])
def test_a_whole_model_resumes_bit_for_bit_from_a_checkpoint_that_holds_all_of_it(
    tmp_path: Path, base: Path, method: str
) -> None:
    config = configure(base, **METHODS[method], checkpoints={"every": 2})
    whole, _ = run(tmp_path, config, validation=0)
    original = curve(tmp_path)
    (shards,) = (tmp_path / "checkpoints" / "step-4").glob("model/*.safetensors")
    assert shards.stat().st_size > 4 * model.count_parameters(whole.model)[0]
    shutil.rmtree(tmp_path / "checkpoints" / "step-6")
    again, _ = run(tmp_path, config, validation=0)
    assert curve(tmp_path) == original
    ours, theirs = adapter(again), adapter(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_checkpoint_of_another_method_is_refused_in_words(tmp_path: Path, base: Path) -> None:
    run(tmp_path, configure(base, lora={"dora": True}, training={"max_steps": 1}))
    for other in ({"lora": {"dora": False}}, {"training": {"method": "full"}}):
        with pytest.raises(WorkbenchError, match=r"does not fit this run|is damaged"):
            build(tmp_path, configure(base, **other)).resume()


def gradients(config: RunConfig, checkpointing: bool) -> tuple[dict[str, torch.Tensor], bool]:
    """Those of one batch, and whether any activation was computed again."""
    training = config.training.model_copy(update={"gradient_checkpointing": checkpointing})
    config = config.model_copy(update={"training": training})
    trained = model.load_to_train(Path(config.model.base), config, CPU)
    trained.train()
    calls: list[int] = []
    layer = next(m for n, m in trained.named_modules() if n.endswith("layers.0.mlp.act_fn"))
    layer.register_forward_hook(lambda *_: calls.append(1))
    ids = torch.arange(40).unsqueeze(0)
    trained(input_ids=ids, labels=ids).loss.backward()
    found = {n: p.grad for n, p in trained.named_parameters() if p.grad is not None}
    return found, len(calls) > 1


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model": {"quantization": "nf4", "dtype": "float32"}},
        {"lora": {"dora": True, "modules_to_save": ["norm"]}},
        {"training": {"method": "full"}},
    ],
)
def test_recomputed_activations_give_the_same_gradients(
    base: Path, sections: dict[str, Any]
) -> None:
    """Frozen embeddings would cut them off, were the first layer's input not asked for its own."""
    config = configure(base, **sections)
    kept, again = gradients(config, False)
    recomputed, over = gradients(config, True)
    assert not again and over
    assert kept.keys() == recomputed.keys() and kept
    assert any(bool(g.any()) for n, g in recomputed.items() if "layers.0" in n)
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient)


def test_an_update_is_scaled_by_the_root_of_the_rank_where_that_is_wanted(base: Path) -> None:
    for rslora, scale in ((False, 8 / 4), (True, 8 / 2)):
        loop_model: Any = model.load_to_train(base, configure(base, lora={"rslora": rslora}), CPU)
        layer = loop_model.base_model.model.model.layers[0].mlp.up_proj
        assert layer.scaling["default"] == scale


def test_the_adapter_and_what_is_trained_whole_are_in_the_format_that_is_wanted(
    base: Path,
) -> None:
    for wanted, of_base in (("float32", "bfloat16"), ("bfloat16", "float32")):
        config = configure(
            base,
            model={"dtype": of_base, "new_tokens": ["<a>"]},
            lora={"dtype": wanted, "dora": True, "modules_to_save": ["norm", "input_layernorm"]},
        )
        trained = model.load_to_train(base, config, CPU, (259,))
        assert model.trained_dtypes(trained) == wanted
        frozen = {p.dtype for p in trained.parameters() if not p.requires_grad}
        assert frozen == {getattr(torch, of_base)}
        ids = torch.tensor([[1, 259, 2]])
        trained(input_ids=ids, labels=ids).loss.backward()
        assert all(p.grad is not None for p in trained.parameters() if p.requires_grad)


def test_weights_that_are_trained_themselves_are_in_float32_unless_told_otherwise(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    gpu = torch.device("cuda")
    found = {
        (method, dtype): model.training_dtype(
            configure(base, model={"dtype": dtype}, training={"method": method}), gpu
        )
        for method in ("lora", "full")
        for dtype in ("auto", "bfloat16")
    }
    assert found.pop(("full", "auto")) == torch.float32
    assert set(found.values()) == {torch.bfloat16}


def test_a_head_in_float32_on_a_base_in_bfloat16_learns_and_is_saved(
    tmp_path: Path, base: Path
) -> None:
    config = configure(
        base, model={"dtype": "bfloat16"}, lora={"modules_to_save": ["lm_head", "embed_tokens"]}
    )
    loop, _ = run(tmp_path, config)
    steps = events(tmp_path, Step)
    assert steps[-1].loss < steps[0].loss - 0.3
    ends: Any = loop.model.get_base_model()
    assert ends.get_input_embeddings().weight is ends.get_output_embeddings().weight
    save(loop, tmp_path / "result")
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    fresh = PeftModel.from_pretrained(whole, tmp_path / "result")
    own = logits(loop.model).float()
    torch.testing.assert_close(logits(fresh).float(), own, rtol=0, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_from_the_bases_weights_changes_nothing_of_what_it_says(
    base: Path, dtype: str, start: str
) -> None:
    """In bfloat16 as near as its 8 bits allow; PEFT's own start is some times as far off."""
    lora = {"initialisation": start, "rank": 16, "alpha": 32}
    config = configure(base, model={"dtype": dtype}, lora=lora)
    begun = logits(model.load_to_train(base, config, CPU)).float()
    whole = logits(AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))).float()
    torch.testing.assert_close(begun, whole, rtol=0, atol=1e-5 if dtype == "float32" else 0.05)


def test_a_start_that_came_out_otherwise_on_another_machine_is_taken_up(
    tmp_path: Path, base: Path
) -> None:
    """A randomised decomposition under another seed: another beginning for the same base."""
    lora = {"initialisation": "pissa_niter_4", "dora": True}
    loop, _ = run(tmp_path, configure(base, lora=lora))
    there = build(tmp_path, configure(base, lora=lora, training={"seed": 1}))
    assert not torch.equal(logits(there.model), logits(loop.model))
    there.resume()
    torch.testing.assert_close(logits(there.model), logits(loop.model), rtol=0, atol=1e-5)
    save(loop, tmp_path / "here")
    save(there, tmp_path / "there")
    here, elsewhere = (
        logits(PeftModel.from_pretrained(plain(base, 0), tmp_path / folder))
        for folder in ("here", "there")
    )
    torch.testing.assert_close(elsewhere, here, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("lora", "said", "hint"),
    [
        ({"modules_to_save": ["head"]}, "the base model has no module head", "lm_head"),
        (
            {"modules_to_save": ["mlp", "self_attn"]},
            r"lora\.target_modules can't be used: what it names is trained whole, as lora\.modules",
            "down_proj, gate_proj, k_proj",
        ),
        ({"initialisation": "pissa", "rank": 33}, "no more than 32 singular", "lora.rank to 32"),
        ({"target_modules": ["query"]}, "query", "q_proj"),
        (
            {"target_modules": ["q_proj", "lm_head"], "initialisation": "pissa"},
            "pissa can't be used with an adapter on lm_head: its weights are those of the embed",
            "lm_head out of lora.target_modules",
        ),
        (
            {"target_modules": "model.layers.0.mlp.up_proj|lm_head", "initialisation": "olora"},
            "olora can't be used with an adapter on lm_head",
            "choose default",
        ),
        (
            {"target_modules": ["q_proj", "embed_tokens"], "initialisation": "olora"},
            r"olora can't be used with an adapter on model\.embed_tokens: .* \(Embedding\)",
            "embed_tokens out of lora.target_modules",
        ),
    ],
)
def test_what_this_base_can_t_have_is_refused_with_what_it_can(
    base: Path, lora: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(WorkbenchError, match=said) as refusal:
        model.load_to_train(base, configure(base, lora=lora), CPU)
    assert hint in refusal.value.hint


def test_quantised_weights_can_t_be_trained_whole(base: Path) -> None:
    config = configure(base, model={"quantization": "nf4"}, lora={"modules_to_save": ["q_proj"]})
    with pytest.raises(WorkbenchError, match="weights of q_proj are quantised"):
        model.load_to_train(base, config, CPU)


def test_a_name_of_a_module_means_that_module_alone(base: Path) -> None:
    """PEFT itself would take input_layernorm for `norm`, by how it ends."""
    trained = model.load_to_train(base, configure(base, lora={"modules_to_save": ["norm"]}), CPU)
    saved = [n for n, p in trained.named_parameters() if p.requires_grad and "lora" not in n]
    assert saved == ["base_model.model.model.norm.modules_to_save.default.weight"]


def test_embeddings_and_head_that_are_apart_are_trained_apart(tmp_path: Path, base: Path) -> None:
    apart = AutoModelForCausalLM.from_pretrained(base, tie_word_embeddings=False)
    apart.save_pretrained(tmp_path / "apart")
    tiny.make_tokenizer(tmp_path / "apart")
    for lora in ({}, {"modules_to_save": ["lm_head"]}):
        config = configure(tmp_path / "apart", model={"new_tokens": ["<a>"]}, lora=lora)
        loop, _ = run(tmp_path / f"run{len(lora)}", config)
        kinds = {n.rpartition(".default")[0] for n in adapter(loop) if "lora" not in n}
        assert {kind.split(".")[-2] for kind in kinds} in (
            {"token_adapter"},
            {"token_adapter", "lm_head"},
        )
        assert len(kinds) == 2, "one of the embeddings, one of the head"
        result = tmp_path / f"result{len(lora)}"
        save(loop, result)
        fresh = PeftModel.from_pretrained(plain(tmp_path / "apart", 260), result)
        torch.testing.assert_close(logits(fresh), logits(loop.model), rtol=0, atol=1e-5)


def test_spare_rows_are_used_before_any_are_added(base: Path) -> None:
    for rows, expected in ((300, 300), (259, 261)):
        network = plain(base, rows)
        table = network.get_input_embeddings().weight.detach().clone()
        embeddings.make_room(network, (259, 260))
        new = network.get_input_embeddings().weight
        assert len(new) == expected
        mean = table[:259].mean(0)
        torch.testing.assert_close(new[259:261].detach(), torch.stack([mean, mean]))
        assert torch.equal(new[:259], table[:259])
        if rows == 300:
            assert torch.equal(new[261:], table[261:]), "the others stay"


@pytest.mark.parametrize("lora", [{"initialisation": "pissa"}, {"modules_to_save": ["wte"]}])
def test_weights_that_are_held_transposed_are_trained_and_saved(
    tmp_path: Path, lora: dict[str, Any]
) -> None:
    """GPT-2's layers are Conv1D, and PEFT knows its tied embeddings by the head's name alone."""
    folder = tmp_path / "gpt2"
    tiny.make_tokenizer(folder)
    settings = {"vocab_size": 259, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 256}
    torch.manual_seed(0)
    config = AutoConfig.for_model("gpt2", **settings, bos_token_id=None, eos_token_id=258)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    loop, _ = run(tmp_path, configure(folder, lora=lora))
    steps = events(tmp_path, Step)
    assert steps[-1].loss < steps[0].loss - 0.05
    save(loop, tmp_path / "result")
    fresh = PeftModel.from_pretrained(plain(folder, 0), tmp_path / "result")
    torch.testing.assert_close(logits(fresh), logits(loop.model), rtol=0, atol=1e-5)
    with fresh.disable_adapter():
        assert torch.equal(logits(fresh), logits(plain(folder, 0))), "the base is what it was"
