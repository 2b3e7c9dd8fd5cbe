"""Has systems answer the rows of an evaluation, from where an earlier one was."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from workbench.config.schema import RunConfig
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.evaluation import sources
from workbench.evaluation.answers import Answer, AnswerFile, Prompt, prompts
from workbench.evaluation.generate import Budget, generate
from workbench.evaluation.request import Request
from workbench.evaluation.sources import Source
from workbench.jobs.progress import Tell
from workbench.tracking import manifest
from workbench.training import model
from workbench.workspace import Workspace

FOLDER = "answers"
"""That of the workspace's cache where answers are kept."""
Make = Callable[[Sequence[Prompt], Callable[[], None]], Iterable[tuple[Prompt, Answer]]]
"""Answers prompts, in any order; calls now and then what it is given, which may raise."""
_EVERY = 3.0
"""Seconds between two looks for a command while no answer ends."""


class Answering:
    """The prompts of an evaluation, and what is known of their answers."""

    def __init__(
        self,
        workspace: Workspace,
        config: RunConfig,
        template: ChatTemplate,
        request: Request,
        examples: Sequence[Example],
        device: torch.device,
    ) -> None:
        self._folder = workspace.cache / FOLDER
        self._config, self._template, self._request = config, template, request
        self._asked = prompts([template.prompt_of(example) for example in examples])
        self._dtype = model.training_dtype(config, device)
        self._where = {"device": device.type, "dtype": model.dtype_name(self._dtype)}
        self._files = functools.cache(manifest.model_files)
        self.identities: dict[str, str] = {}
        """The id of each system's file of answers."""

    def by(self, source: Source, causal: PreTrainedModel, tell: Tell) -> list[Answer]:
        """The answers of a system whose model is `causal`, in the order of the rows."""
        sampling, template = self._request.sampling, self._template
        rows = self._config.evaluation.batch_size

        def make(
            missing: Sequence[Prompt], on_token: Callable[[], None]
        ) -> Iterator[tuple[Prompt, Answer]]:
            budget = Budget.of(causal, rows)
            return generate(causal, template, missing, sampling, budget, on_token)

        return self._complete(source, make, tell)

    def by_vllm(
        self, compared: Sequence[Source], tell: Tell
    ) -> Iterator[tuple[Source, list[Answer]]]:
        """The answers of each system by vLLM, which loads each base once."""
        from workbench.evaluation.vllm_engine import Vllm

        engine = Vllm(compared, model.dtype_name(self._dtype), self._template)
        for source in compared:
            make = engine.making(source, self._request.sampling)
            yield source, self._complete(source, make, tell)

    def _complete(self, source: Source, make: Make, tell: Tell) -> list[Answer]:
        request = self._request
        tell(f"reading the weights of {source.name}", 0, 1, "")
        identity = sources.identity(
            source, self._files, self._config, self._template, request, self._where
        )
        file = AnswerFile(self._folder, identity)
        self.identities[source.name] = file.id
        known = {} if request.fresh else file.read()
        found = {p.key: known[p.key] for p in self._asked if p.key in known}
        missing = [prompt for prompt in self._asked if prompt.key not in found]
        told = 0.0

        def tell_it() -> None:
            nonlocal told
            told = time.monotonic()
            tell(f"answers of {source.name}", len(found), len(self._asked), "rows")

        def on_token() -> None:
            # The rate is that of the last reports: with one a token, no row would end in them.
            if time.monotonic() > told + _EVERY:
                tell_it()

        tell_it()
        if missing:
            with file.appending() as append:
                for prompt, answer in make(missing, on_token):
                    append(prompt.key, answer)
                    found[prompt.key] = answer
                    tell_it()
        return [found[prompt.key] for prompt in self._asked]
