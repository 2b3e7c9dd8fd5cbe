"""Answers by vLLM, for machines with a GPU: the same interface, other kernels.

It is not tried in the tests of this project, which know only that it is called as vLLM's
documentation says. Its tokens may differ from those of transformers where two are about as likely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.data.template import ChatTemplate
from workbench.evaluation.answers import Answer, Prompt, Sampling
from workbench.evaluation.sources import Source
from workbench.files import read_json_object

_AT_ONCE = 256
"""Prompts between two looks for a command, and at most lost by a crash."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of max_lora_rank that vLLM takes."""


class Vllm:
    """Loads one base at a time, with all adapters of it."""

    def __init__(self, compared: Sequence[Source], dtype: str, template: ChatTemplate) -> None:
        self._compared, self._dtype, self._template = compared, dtype, template
        self._loaded: tuple[Path, Any] | None = None

    def making(
        self, source: Source, sampling: Sampling
    ) -> Callable[[Sequence[Prompt], Callable[[], None]], Iterator[tuple[Prompt, Answer]]]:
        """What answers prompts as `source`."""

        def make(
            asked: Sequence[Prompt], on_token: Callable[[], None]
        ) -> Iterator[tuple[Prompt, Answer]]:
            for start in range(0, len(asked), _AT_ONCE):
                batch = asked[start : start + _AT_ONCE]
                began = time.perf_counter()
                said = self._generate(source, batch, sampling)
                share = (time.perf_counter() - began) / len(batch)
                on_token()
                for prompt, request in zip(batch, said, strict=True):
                    yield prompt, self._answer(request.outputs[0], share)

        return make

    def _answer(self, output: Any, seconds: float) -> Answer:
        # vLLM hands over the token that ends an answer, too.
        ids = [token for token in output.token_ids if token not in self._template.stop_ids]
        stopped = output.finish_reason == "stop"
        return Answer(self._template.decode(ids), len(ids), stopped, seconds)

    def _generate(self, source: Source, batch: Sequence[Prompt], sampling: Sampling) -> Any:
        from vllm import SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest

        chosen = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k or -1,
                seed=sampling.seed_of(prompt.key) >> 1,
                max_tokens=sampling.max_new_tokens,
                stop_token_ids=sorted(self._template.stop_ids),
                detokenize=False,
            )
            for prompt in batch
        ]
        adapter = None
        if source.adapter is not None:
            number = 1 + self._compared.index(source)
            adapter = LoRARequest(source.name, number, str(source.adapter))
        return self._model(source).generate(
            [TokensPrompt(prompt_token_ids=list(prompt.ids)) for prompt in batch],
            chosen,
            lora_request=adapter,
            use_tqdm=False,
        )

    def _model(self, source: Source) -> Any:
        if self._loaded is None or self._loaded[0] != source.model:
            from vllm import LLM

            self._loaded = None
            adapters = [s.adapter for s in self._compared if s.model == source.model and s.adapter]
            lora: dict[str, Any] = {}
            if adapters:
                configs = [read_json_object(path / "adapter_config.json") for path in adapters]
                most = max(int(config["r"]) for config in configs)
                rank = next((known for known in _RANKS if known >= most), most)
                lora = {"enable_lora": True, "max_lora_rank": rank}
            # `generation_config`: what the base's own file wishes counts for nothing.
            model = LLM(str(source.model), dtype=self._dtype, generation_config="vllm", **lora)
            self._loaded = source.model, model
        return self._loaded[1]
