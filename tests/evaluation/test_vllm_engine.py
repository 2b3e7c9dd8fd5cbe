"""What is asked of vLLM, by a stand-in: the real one needs a GPU, and this is no proof of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests import tiny
from workbench.data.template import ChatTemplate
from workbench.evaluation.answers import Answer, Sampling, prompts
from workbench.evaluation.sources import Source
from workbench.evaluation.vllm_engine import Vllm

calls: list[Any] = []


class Model:
    def __init__(self, model: str, **options: Any) -> None:
        calls.append((model, options))

    def generate(self, asked: list[Any], chosen: list[Any], **options: Any) -> list[Any]:
        calls.append((asked, chosen, options["lora_request"]))
        ended = SimpleNamespace(token_ids=[104, 105, 258], finish_reason="stop")
        cut = SimpleNamespace(token_ids=[104], finish_reason="length")
        return [SimpleNamespace(outputs=[out]) for out in (ended, cut)]


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChatTemplate:
    vllm, lora, request = (ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM = Model  # type: ignore[attr-defined]
    vllm.SamplingParams = vllm.TokensPrompt = dict  # type: ignore[attr-defined]
    request.LoRARequest = lambda *given: given  # type: ignore[attr-defined]
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    calls.clear()
    tiny.make_tokenizer(tmp_path)
    return ChatTemplate.load(tmp_path)


def test_each_base_is_loaded_once_and_adapters_are_asked_for(
    template: ChatTemplate, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 24}))
    compared = [
        Source("base", tmp_path),
        Source("adapter", tmp_path, adapter),
        Source("merged", tmp_path / "merged", whole=True),
    ]
    engine, asked = Vllm(compared, "bfloat16", template), prompts([[1, 2], [3]])
    for source in compared:
        said = list(engine.making(source, Sampling(7, seed=1))(asked, lambda: None))
        assert said == [
            (asked[0], Answer(template.decode([104, 105]), 2, stopped=True)),
            (asked[1], Answer(template.decode([104]), 1, stopped=False)),
        ]
    loaded = [call for call in calls if len(call) == 2]
    assert [name for name, _ in loaded] == [str(tmp_path), str(tmp_path / "merged")]
    assert loaded[0][1]["max_lora_rank"] == 32 and "enable_lora" not in loaded[1][1]
    requests = [call for call in calls if len(call) == 3]
    assert [lora for *_, lora in requests] == [None, ("adapter", 2, str(adapter)), None]
    prompt, chosen = requests[0][0][0], requests[0][1][0]
    assert prompt == {"prompt_token_ids": [1, 2]}
    assert (chosen["temperature"], chosen["max_tokens"], chosen["stop_token_ids"]) == (0, 7, [258])
    assert chosen["seed"] != requests[0][1][1]["seed"]
