"""GGUF and a Modelfile: what was written is loaded, and says the very same tokens."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import Cli
from tests.export import adapters
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.export import gguf_job, gguf_llama, gguf_request, golden, llama_cpp, ollama
from workbench.workspace import Workspace


def untold(phase: str, done: int, total: int, unit: str) -> None:
    pass


@pytest.fixture
def source(tiny_model: Path) -> Path:
    """The tiny model with merges of its tokenizer, as every real one has."""
    path = tiny_model / "tokenizer.json"
    body = json.loads(path.read_text())
    body["model"]["merges"] = [["a", "n"], ["Ġ", "t"], ["an", "d"]]
    for token in (*(token["content"] for token in body["added_tokens"]), "an", "Ġt", "and"):
        body["model"]["vocab"][token] = len(body["model"]["vocab"])
    body["pre_tokenizer"]["use_regex"] = True
    path.write_text(json.dumps(body))
    tensors = load_file(tiny_model / "model.safetensors")
    rows = tensors["model.embed_tokens.weight"]
    # Norms that are not all one, so that their loss would show.
    for name, tensor in tensors.items():
        if "norm" in name:
            tensor += torch.linspace(0, 1, len(tensor))
    tensors["model.embed_tokens.weight"] = torch.cat([rows, rows[:3]])
    save_file(tensors, tiny_model / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tiny_model / "config.json").read_text())
    config["vocab_size"] += 3
    (tiny_model / "config.json").write_text(json.dumps(config))
    return tiny_model


@pytest.mark.parametrize("kind", gguf_request.TYPES)
def test_what_is_written_loads_with_the_same_tokens_and_near_logits(
    source: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "model.gguf"
    gguf_llama.write(source, path, kind, untold)
    found = gguf_job.check(source, path, kind, untold)
    assert found["same_tokens"] and found["golden_tokens"] > 100
    bound = {"f32": 1e-4, "f16": 0.05, "bf16": 0.3, "q8_0": 0.3}[kind]
    assert found["largest_logit_difference"] < bound
    # The norms are whole in every kind, and the template is there word by word.
    reader = gguf.GGUFReader(path)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.0.attn_q.weight"] == kind.upper()
    template = reader.fields["tokenizer.chat_template"].contents()
    assert template == (source / "chat_template.jinja").read_text()
    assert reader.fields["tokenizer.ggml.eos_token_id"].contents() == 258


def test_rows_are_in_the_order_of_llama_cpp_s_rotary_embeddings() -> None:
    """By llama.cpp's own converter: reshape(heads, 2, rows, ...) and swap."""
    weight = torch.arange(8.0).unsqueeze(1)
    turned = gguf_llama._interleaved(weight, 2).squeeze(1).tolist()
    # In each head of four rows the first half is laid between the second.
    assert turned == [0, 2, 1, 3, 4, 6, 5, 7]
    theirs = weight.numpy().reshape(2, 2, 2, 1).swapaxes(1, 2).reshape(8, 1)
    assert np.array_equal(theirs[:, 0], turned)


@pytest.mark.skipif(not llama_cpp.is_here(), reason="the extra gguf isn't installed")
def test_llama_cpp_itself_has_the_same_tokens(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_llama.write(source, path, "f16", untold)
    template = ChatTemplate.load(source)
    assert llama_cpp.check(path, template) > 100
    # Another cut of the text, which transformers does not see in the file.
    (source / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(WorkbenchError, match="renders the chat template"):
        llama_cpp.check(path, ChatTemplate.load(source))


def test_a_lost_template_or_another_token_is_not_kept(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_llama.write(source, path, "f16", untold)
    template = (source / "chat_template.jinja").read_text()
    (source / "chat_template.jinja").write_text(template.replace("<|im_start|>", "<|im_end|>"))
    with pytest.raises(WorkbenchError, match="chat template was lost"):
        gguf_job.check(source, path, "f16", untold)
    (source / "chat_template.jinja").write_text(template)
    body = json.loads((source / "tokenizer.json").read_text())
    vocabulary = body["model"]["vocab"]
    vocabulary["q"], vocabulary["Q"] = vocabulary["Q"], vocabulary["q"]
    (source / "tokenizer.json").write_text(json.dumps(body))
    with pytest.raises(WorkbenchError, match=r"Token .* is 'Q', and 'q' in the GGUF"):
        gguf_job.check(source, path, "f16", untold)


def test_other_weights_are_not_kept(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_llama.write(source, path, "f16", untold)
    tensors = load_file(source / "model.safetensors")
    for name in tensors:
        if "o_proj" in name:
            tensors[name] *= 20
    tensors["model.embed_tokens.weight"] *= 5
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WorkbenchError, match="gives other logits than the model"):
        gguf_job.check(source, path, "f16", untold)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("config.json", {"model_type": "qwen3"}, "it is a qwen3"),
        ("config.json", {"rope_parameters": {"rope_type": "yarn"}}, "scaled"),
        ("config.json", {"attention_bias": True}, "biases"),
        ("tokenizer.json", {"normalizer": {"type": "NFC"}}, "changes the text first"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Metaspace"}}, "cuts a text"),
    ],
)
def test_what_is_not_surely_right_here_is_left_to_the_converter(
    source: Path, tmp_path: Path, name: str, change: dict[str, object], said: str
) -> None:
    body = json.loads((source / name).read_text())
    (source / name).write_text(json.dumps({**body, **change}))
    assert said in (gguf_llama.refusal(source) or "")


def test_llama_cpp_s_converter_is_run_as_it_is_named(source: Path, tmp_path: Path) -> None:
    """A script that stands for it: the same arguments, no network, no shell."""
    whole = tmp_path / "whole.gguf"
    gguf_llama.write(source, whole, "f16", untold)
    script = tmp_path / "llama cpp; touch x" / gguf_request.SCRIPT
    script.parent.mkdir()
    script.write_text(
        "import os, shutil, sys\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "model, _, out, _, kind = sys.argv[1:]\n"
        f"assert (model, kind) == ({str(source)!r}, 'f16'), sys.argv\n"
        f"shutil.copy({str(whole)!r}, out)\n"
    )
    assert gguf_request.find_converter(str(script.parent)) == script
    out = tmp_path / "out.gguf"
    gguf_job._run_converter(script, source, out, "f16", untold)
    assert out.read_bytes() == whole.read_bytes()
    script.write_text("import sys\nsys.exit('BPE pre-tokenizer was not recognized')\n")
    with pytest.raises(WorkbenchError, match="gave up: BPE pre-tokenizer was not recognized"):
        gguf_job._run_converter(script, source, tmp_path / "more.gguf", "f16", untold)
    with pytest.raises(WorkbenchError, match=r"no convert_hf_to_gguf\.py at"):
        gguf_request.find_converter(str(tmp_path))


TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # SmolLM2's says something of its own where there is no system turn.
    "default system": "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}",
    # As Zephyr's.
    "zephyr": "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    # As Llama 3's, with the bos token in front.
    "llama 3": "{% for m in messages %}{{ (bos_token if loop.first else '') + "
    "'<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    "{% endif %}",
}


def of(text: str, folder: Path, **settings: str) -> ChatTemplate:
    (folder / "chat_template.jinja").write_text(text)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return ChatTemplate.load(folder)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_put_in_go_s_words_and_proved(tiny_model: Path, name: str) -> None:
    bos = "<|im_start|>" if name == "llama 3" else ""
    template = of(TEMPLATES[name], tiny_model, **({"bos_token": bos} if bos else {}))
    turns = ollama.read_turns(template, without=bos)
    assert turns is not None
    for messages in (golden.CONVERSATION, golden.WITHOUT_SYSTEM):
        wanted = template.render(messages, add_generation_prompt=True)
        assert bos + turns.render(messages) == wanted
    text = ollama.modelfile("model.gguf", turns, ["<|im_end|>"])
    assert text.startswith('FROM ./model.gguf\nTEMPLATE """{{')
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "{{ range .Messages }}" in text and text.count("{{ .Content }}") == 3
    assert ("Be kind." in text) == (name == "default system")


@pytest.mark.parametrize(
    "text",
    [
        # Trims, numbers its turns, or knows no system turn: no fixed words stand around a turn.
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% endfor %}",
        "{% for m in messages %}{{ loop.index }}{{ m['role'] }}{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}"
        "{% endif %}{{ m['role'] }}{{ m['content'] }}{% endfor %}",
    ],
)
def test_one_that_can_not_be_is_left_out_with_a_word(tiny_model: Path, text: str) -> None:
    turns = ollama.read_turns(of(text, tiny_model))
    assert turns is None
    assert "TEMPLATE" not in ollama.modelfile("model.gguf", turns, []).replace("chat template", "")


def test_an_adapter_becomes_a_file_for_ollama_by_the_command_line(
    cli: Cli, workspace: Workspace, source: Path, tmp_path: Path
) -> None:
    adapter = adapters.make(source, tmp_path / "mine")
    target = tmp_path / "out" / "gguf"
    done = cli("export", "gguf", adapter, "--to", target, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["check"]
    assert found["mean_kl_nats"] < 1e-3 and found["converter"] == "workbench"
    assert {path.name for path in target.iterdir()} == {
        "model.gguf",
        "Modelfile",
        "gguf.json",
        "certificate.json",
        "README.md",
    }
    assert 'TEMPLATE """' in (target / "Modelfile").read_text()
    again = cli("export", "gguf", adapter, "--to", target)
    assert again.returncode == 2 and "exists already" in again.stderr
