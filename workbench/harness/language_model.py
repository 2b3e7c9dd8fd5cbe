"""One of workbench's systems as lm_eval asks it: watched, and from where an earlier one was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import hash_args
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizerBase

from workbench.data.example import Message
from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation.kept import KeptFile
from workbench.jobs.progress import Tell
from workbench.training.saving import Trained

_EVERY = 3.0
"""Seconds between two looks for a command while no answer ends."""
_KINDS = {
    "loglikelihood": "choices",
    "loglikelihood_rolling": "texts",
    "generate_until": "answers",
}
"""The three things that lm_eval asks, in words."""
_SETTINGS = {
    *("do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p"),
    *("repetition_penalty", "no_repeat_ngram_size", "num_beams", "length_penalty"),
    *("early_stopping", "min_length", "min_new_tokens", "epsilon_cutoff", "eta_cutoff"),
}
"""What a task may say of how answers are drawn. Others of transformers' `generate` load code."""


class Asked(HFLM):  # type: ignore[misc]
    """A loaded model, for one system."""

    def __init__(
        self,
        network: Trained,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        *,
        name: str,
        batch: int,
        chat: bool,
        known: KeptFile,
        fresh: bool,
        tell: Tell,
    ) -> None:
        """`known` is the file of what the system has said; with `fresh` it is only written."""
        self._template, self._chat = template, chat
        self._name, self._tell = name, tell
        self._file, self._known = known, {} if fresh else known.read()
        self._append: Callable[[str, dict[str, Any]], None] | None = None
        self._phase, self._done, self._total, self._told = f"asking {name}", 0, 0, 0.0
        with _ties_kept(network):
            super().__init__(
                pretrained=network,
                tokenizer=tokenizer,
                batch_size=batch,
                softmax_dtype=torch.float32,
            )
        self.set_cache_hook(self)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        found = self._ask("loglikelihood", requests, super().loglikelihood)
        return [(float(logprob), bool(greedy)) for logprob, greedy in found]

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        return self._ask("loglikelihood_rolling", requests, super().loglikelihood_rolling)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return self._ask("generate_until", requests, super().generate_until)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """As the run's own rows are rendered."""
        messages = [Message(turn["role"], turn["content"]) for turn in chat_history]
        try:
            text = self._template.render(messages, add_generation_prompt=add_generation_prompt)
        except MaskError as error:
            raise WorkbenchError(f"The chat template can't ask this task: {error}.") from error
        if add_generation_prompt:
            return text
        # The answer has begun already, and goes on.
        begun = messages[-1].content.rstrip()
        return text[: text.rindex(begun) + len(begun)]

    def add_partial(self, kind: str, request: Sequence[Any], answer: Any) -> None:
        """lm_eval's hook: called with every answer as it comes."""
        if self._append is not None:
            self._append(hash_args(kind, request), {"answer": answer})
        self._done += 1
        self._look(now=True)

    def _ask(self, kind: str, requests: list[Instance], ask: Callable[..., list[Any]]) -> list[Any]:
        """What is known of requests, and of the others what `ask` gives, each asked once.

        What is drawn by chance is never known.
        """
        keys = [hash_args(kind, request.args) for request in requests]
        drawn = [kind == "generate_until" and _is_drawn(request) for request in requests]
        found = {
            key: self._known[key]["answer"]
            for key, by_chance in zip(keys, drawn, strict=True)
            if not by_chance and key in self._known
        }
        missing: dict[str, Instance] = {}
        for place, key in enumerate(keys):
            if key not in found:
                missing[f"{key} {place}" if drawn[place] else key] = requests[place]
        self._phase = f"{_KINDS[kind]} of {self._name}"
        self._total = len(found) + len(missing)
        self._done = len(found)
        self._look(now=True)
        if missing:
            with self._file.appending() as self._append:
                answers = ask(list(missing.values()), disable_tqdm=True)
            found.update(zip(missing, answers, strict=True))
        return [found[f"{key} {place}" if drawn[place] else key] for place, key in enumerate(keys)]

    def _model_call(self, *inputs: Any, **more: Any) -> torch.Tensor:
        self._look()
        logits: torch.Tensor = super()._model_call(*inputs, **more)
        return logits

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any
    ) -> torch.Tensor:
        if other := sorted(settings.keys() - {*_SETTINGS, "attention_mask"}):
            raise WorkbenchError(
                f"A task's generation_kwargs has {other[0]}, which workbench does not hand on.",
                f"There are until, max_gen_toks, {', '.join(sorted(_SETTINGS))}.",
            )
        if self._chat:
            settings["eos_token_id"] = sorted(self._template.stop_ids)
        if settings.get("num_beams") in (None, 1):
            settings["streamer"] = _Streamer(self._look)
        tokens: torch.Tensor = super()._model_generate(context, max_length, stop, **settings)
        return tokens

    def _look(self, *, now: bool = False) -> None:
        """Tell how far it is, and look for a command; now and then, unless `now`."""
        if now or time.monotonic() > self._told + _EVERY:
            self._told = time.monotonic()
            self._tell(self._phase, self._done, self._total, "requests")


class _Streamer:
    """What transformers calls after each token."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def put(self, tokens: torch.Tensor) -> None:
        self._look()

    def end(self) -> None:
        pass


def _is_drawn(request: Instance) -> bool:
    return bool(request.args[1].get("do_sample"))


@contextmanager
def _ties_kept(network: Trained) -> Iterator[None]:
    """lm_eval ties weights anew as it takes a model; what PEFT has put there is to stay."""
    network.tie_weights = lambda: None  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del network.tie_weights
