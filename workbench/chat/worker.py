"""The models of a conversation: `python -m workbench.chat.worker RUN [NAME …]`; see `client`."""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from workbench.chat.conversation import Reply
from workbench.data.example import Message
from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate, thinks
from workbench.errors import WorkbenchError
from workbench.evaluation import decode, generate, sources
from workbench.evaluation.answers import Prompt, Sampling
from workbench.evaluation.request import Request
from workbench.evaluation.sources import Source
from workbench.evaluation.systems import Systems
from workbench.jobs.failure import explain
from workbench.tracking import inputs, runs
from workbench.training import model
from workbench.training.loss import causal_model

_TURN = 0.15
"""Seconds that a system speaks before another does: to switch adapters takes some milliseconds,
and both are to be read as they come."""
_EVERY = 0.08
"""Seconds between two lines about one reply."""


class Asked:
    """What the other side asks: turns, and that one be ended."""

    def __init__(self) -> None:
        self._turns: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._cancelled = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def turns(self) -> Iterator[dict[str, Any]]:
        """Each turn; ends when nobody can ask any more."""
        while (turn := self._turns.get()) is not None:
            yield turn

    def is_cancelled(self, turn: int) -> bool:
        return self._cancelled >= turn

    def _listen(self) -> None:
        for line in sys.stdin:
            body = json.loads(line)
            if "cancel" in body:
                self._cancelled = body["cancel"]
            else:
                self._turns.put(body)
        # Whoever asked has gone; a reply of thousands of tokens is not waited for.
        os._exit(0)


class Room:
    """The systems of a conversation, loaded."""

    def __init__(self, run: Path, others: tuple[str, ...]) -> None:
        config = runs.load_config(run)
        self.sources = sources.of(run, Request.of(config.evaluation, runs=others))
        self.template = inputs.load_template(run)
        device = model.pick_device()
        self._systems = Systems(config, self.sources, device, self.template.new_ids)
        self._one_load = len({source.model for source in self.sources}) == 1
        with self._systems.of(self.sources[0]) as first:
            causal = causal_model(first)
            self.longest = getattr(causal.config.get_text_config(), "max_position_embeddings", None)
            dtype = model.dtype_name(causal.dtype)
        self.where = f"{model.device_name(device)}, {dtype}"

    def answer(self, turn: dict[str, Any], asked: Asked) -> None:
        """Have each system that is asked speak, by turns where all are of one load."""
        number, sampling = turn["ask"], Sampling(**turn["sampling"])
        speaking = [
            Speaker(number, source, self._prompt(messages, sampling), sampling, self.template)
            for source in self.sources
            if (messages := turn["messages"].get(source.name)) is not None
        ]
        patience = _TURN if self._one_load else float("inf")
        while speaking and not asked.is_cancelled(number):
            speaker = speaking.pop(0)
            with self._systems.of(speaker.source) as loaded:
                until = time.monotonic() + patience
                while speaker.say_more(causal_model(loaded)) and time.monotonic() < until:
                    if asked.is_cancelled(number):
                        break
            if not speaker.reply.done:
                speaking.append(speaker)
        for speaker in speaking:
            speaker.end()
        _say({"type": "answered", "ask": number})

    def _prompt(self, turns: list[dict[str, Any]], sampling: Sampling) -> tuple[str, list[int]]:
        messages = [Message.from_json(turn) for turn in turns]
        try:
            text = self.template.render(
                messages, add_generation_prompt=True, thinking=thinks(messages)
            )
        except MaskError as error:
            text = f"This can't be asked: {error}."
            raise WorkbenchError(text, "Change the system field, or empty it.") from error
        ids = self.template.prompt_ids(messages, thinking=thinks(messages))
        if self.longest and len(ids) + sampling.max_new_tokens > self.longest:
            raise WorkbenchError(
                f"The conversation has {len(ids):,} tokens, and with {sampling.max_new_tokens:,} "
                f"more it is over the {self.longest:,} that this base was made for.",
                "Begin a new one, or let answers be shorter.",
            )
        return text, ids


class Speaker:
    """A system that answers a turn."""

    def __init__(
        self,
        ask: int,
        source: Source,
        prompt: tuple[str, list[int]],
        sampling: Sampling,
        template: ChatTemplate,
    ) -> None:
        self.source = source
        self.reply = Reply(prompt=prompt[0], prompt_tokens=len(prompt[1]))
        self._ask, self._sampling, self._template = ask, sampling, template
        # By the turn's number: the same words asked again are drawn anew.
        self._prompt = Prompt(f"{ask}", prompt[1])
        self._ids: list[int] = []
        self._tokens: Iterator[int] | None = None
        self._told = 0.0
        self._tell()

    def say_more(self, causal: PreTrainedModel) -> bool:
        """A token more, or all at once from a model that only transformers can go on with; whether
        there may be another."""
        began = time.perf_counter()
        if not decode.fits(causal):
            self._say_all(causal)
            return False
        if self._tokens is None:
            self._tokens = decode.stream(causal, self._prompt, self._sampling)
        token = next(self._tokens)
        self.reply.seconds += time.perf_counter() - began
        self.reply.stopped = token in self._template.stop_ids
        if not self.reply.stopped:
            self._ids.append(token)
        if self.reply.stopped or len(self._ids) == self._sampling.max_new_tokens:
            self.end()
        elif time.monotonic() - self._told > _EVERY:
            self._tell()
        return not self.reply.done

    def end(self) -> None:
        """That is all that it says."""
        self.reply.done = True
        # What is remembered of the conversation takes as much memory as it is long.
        self._tokens = None
        self._tell()

    def _say_all(self, causal: PreTrainedModel) -> None:
        budget = generate.Budget(1, len(self._prompt.ids) + self._sampling.max_new_tokens)
        made = generate.generate(causal, self._template, [self._prompt], self._sampling, budget)
        ((_, answer),) = made
        self.reply.text, self.reply.tokens = answer.text, answer.tokens
        self.reply.stopped, self.reply.seconds = answer.stopped, answer.seconds
        self.reply.done = True
        _say({"type": "said", "ask": self._ask, "system": self.source.name, **self._shown()})

    def _tell(self) -> None:
        self._told = time.monotonic()
        text = self._template.decode(self._ids)
        # A sign that is not whole yet comes with the token that ends it.
        self.reply.text = text if self.reply.done else text.rstrip("\ufffd")
        self.reply.tokens = len(self._ids)
        _say({"type": "said", "ask": self._ask, "system": self.source.name, **self._shown()})

    def _shown(self) -> dict[str, Any]:
        return {"reply": asdict(self.reply)}


def main() -> None:
    run, *others = sys.argv[1:]
    model.quieten()
    asked = Asked()
    try:
        room = Room(Path(run), tuple(others))
    except Exception as error:
        _say({"type": "failed", **_told(error)})
        return
    names = [source.name for source in room.sources]
    _say({"type": "ready", "systems": names, "where": room.where, "longest": room.longest})
    for turn in asked.turns():
        try:
            room.answer(turn, asked)
        except Exception as error:
            _say({"type": "problem", "ask": turn["ask"], **_told(error)})


def _told(error: Exception) -> dict[str, str]:
    if isinstance(error, WorkbenchError):
        return {"text": error.message, "hint": error.hint}
    failure = explain(error)
    return {"text": failure.text, "hint": failure.hint}


def _say(body: dict[str, Any]) -> None:
    print(json.dumps(body), flush=True)


if __name__ == "__main__":
    main()
