"""Chat template -> tokens and the mask of trained tokens.

Works with `tokenizers` and `jinja2` alone, so that the screens show the very tokens that
training learns. Most public templates don't say themselves which part is the
assistant's, so the mask comes from the template's own prefix: what it renders for the
turns before a response, and what it renders with it. Each row is proved or refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data import added_tokens, tool_rendering
from workbench.data.example import Example, Message
from workbench.data.jinja import DATE, compile_template, find_source
from workbench.data.masking import (
    CHANGED,
    NO_END,
    NOTHING,
    Encoded,
    Masker,
    MaskError,
    Span,
    Token,
)
from workbench.errors import WorkbenchError
from workbench.files import read_json_object

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

__all__ = ["ChatTemplate", "Encoded", "MaskError", "Token"]

_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_THOUGHT = "</think>"
"""Ends the part of a response in which a model thinks, in all families that have one."""


class ChatTemplate:
    """A model's chat template with its tokenizer."""

    def __init__(
        self,
        source: str,
        tokenizer: Tokenizer,
        settings: dict[str, Any],
        today: date | None = None,
        new_ids: tuple[int, ...] = (),
    ) -> None:
        """`source` is the template's text, empty where there is none; `settings` as in
        tokenizer_config.json.

        `today` is the date for templates that write one (default: the day of rendering);
        `new_ids` are the tokens that the tokenizer was given beside the model's own.
        """
        self.source = source
        self.new_ids = new_ids
        self._today = today
        self._masker = Masker(tokenizer)
        self._special = {name: _content(settings[name]) for name in _SPECIAL if settings.get(name)}
        self._stops: set[int] = set(settings.get("stop_ids", ()))
        self._adds_bos = settings.get("add_bos_token") is True

    @classmethod
    def load(
        cls, folder: Path, *, today: date | None = None, new_tokens: Sequence[str] = ()
    ) -> ChatTemplate:
        """The template and tokenizer of a model folder, and `new_tokens` beside its own.

        Some templates (Llama 3.2's) write the date into the prompt: `today` is what they
        take for it, so that a run's tokens are the same on any day. A folder without a chat
        template can still encode plain text. Raises WorkbenchError when the folder has no
        tokenizer.json, or a file in it can't be read.
        """
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        if not path.exists():
            raise WorkbenchError(f"{folder} has no tokenizer.json.", "Save its fast tokenizer.")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise WorkbenchError(f"{path} can't be read: {error}") from error
        # A tokenizer may be saved with the cut and the padding of its last call.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings: dict[str, Any] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (folder / name).exists():
                settings.update(read_json_object(folder / name))
        if (folder / "generation_config.json").exists():
            ends = read_json_object(folder / "generation_config.json").get("eos_token_id")
            settings["stop_ids"] = [ends] if isinstance(ends, int) else ends or []
        new_ids = added_tokens.add(tokenizer, new_tokens, folder)
        return cls(find_source(folder, settings), tokenizer, settings, today, new_ids)

    def save_new_tokens(self, folder: Path) -> None:
        """Write the tokenizer into `folder`, over the model's own, if it was given tokens."""
        if self.new_ids:
            self._masker.tokenizer.save(str(folder / "tokenizer.json"))

    def to_json(self) -> dict[str, Any]:
        """Everything that decides a row's tokens, for another process."""
        return {
            "source": self.source,
            "tokenizer": self._masker.tokenizer.to_str(),
            "settings": {**self._special, "add_bos_token": self._adds_bos},
            "today": (self._today or date.today()).isoformat(),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ChatTemplate:
        """The inverse of `to_json`; what it encodes has the same tokens."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(body["tokenizer"])
        today = date.fromisoformat(body["today"])
        return cls(body["source"], tokenizer, body["settings"], today)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        thinking: bool = False,
        tools: str = "",
    ) -> str:
        """The text of a conversation. Raises MaskError when the template refuses it.

        `tools` are those that an example offers.

        `thinking` is for families that can be told to think before they answer, or not to.
        """
        compiled = self._compiled
        try:
            return compiled.render(
                messages=[tool_rendering.shown(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                enable_thinking=thinking,
                tools=json.loads(tools) if tools else None,
                documents=None,
                **self._special,
            )
        except Exception as error:  # a template can do whatever an expression can
            raise MaskError(f"the chat template refuses it: {error}") from error

    def prompt_ids(
        self, messages: Sequence[Message], *, thinking: bool = False, tools: str = ""
    ) -> list[int]:
        """The tokens that a model is given to answer after `messages`."""
        prompt = self.render(messages, add_generation_prompt=True, thinking=thinking, tools=tools)
        return self._masker.ids(prompt)

    def prompt_of(self, example: Example) -> list[int]:
        """The tokens that a model is given to answer what the last response of `example` does,
        and in its way: thinking first, where that does.

        Of a conversation: plain text asks nothing.
        """
        thinking = thinks(example.messages)
        return self.prompt_ids(example.prompt, thinking=thinking, tools=example.tools)

    def tokenize(self, text: str) -> tuple[list[int], list[Span]]:
        """The tokens of a rendered text, and where each stands in it; none is added."""
        encoded = self._masker.encode(text, [])
        return encoded.ids, encoded.offsets

    def text_tokens(self, text: str) -> int:
        """How many tokens a plain text is to train on, with those around it.

        Raises MaskError where the tokenizer has no token for the end of a text.
        """
        return len(self._prefix) + len(self._masker.ids(text)) + len([self._end])

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of tokens."""
        return self._masker.decode(ids, skip_special=skip_special)

    def encode(self, example: Example) -> Encoded:
        """An example's tokens and which of them are learnt: every response of the
        assistant with its end marker, its calls of tools among it, and nothing else. Of plain
        text it is every token and the tokenizer's end, but the bos in front.

        Raises MaskError when that can't be proved.
        """
        if example.text:
            return self._masker.encode_document(example.text, self._prefix, self._end)
        thinking = thinks(example.messages)
        render = partial(self.render, thinking=thinking, tools=example.tools)
        text = render(example.messages)
        spans = self._trained_spans(example.messages, text, render)
        if not spans:
            raise MaskError("it has no response to learn", kind=NOTHING)
        _check_kept(example.messages, text, render)
        tool_rendering.check_kept(example, text, partial(self.render, thinking=thinking))
        return self._masker.encode(text, spans)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer: the end marker that is trained, and the model's own."""
        eos = self._token_id("eos_token")
        found = self._stops | ({eos} if eos is not None else set())
        sample = [Message("user", "Hi"), Message("assistant", "Hello")]
        try:
            text = self.render(sample)
            ((_, end),) = self._trained_spans(sample, text, self.render)
        except MaskError:
            return frozenset(found)
        marker = self._marker_ending(text[:end])
        return frozenset(found | ({marker} if marker is not None else set()))

    @property
    def pad_id(self) -> int:
        """The padding token; the end token where there is none, since padding is masked."""
        for name in ("pad_token", "eos_token", "unk_token"):
            found = self._token_id(name)
            if found is not None:
                return found
        return 0

    def writes_system(self) -> bool:
        """Whether what a system turn says stands in the text that a model is given."""
        said = "Answer in verse."
        try:
            return said in self.render([Message("system", said), Message("user", "Hi")])
        except MaskError:
            return False

    def fingerprint(self) -> str:
        """SHA-256 over the template and the tokenizer, by which a run knows them again."""
        digest = hashlib.sha256(self.source.encode())
        digest.update(self._masker.tokenizer.to_str().encode())
        return digest.hexdigest()

    def tokenizer_fingerprint(self) -> str:
        """SHA-256 over the tokenizer alone, with the tokens that it was given."""
        return hashlib.sha256(self._masker.tokenizer.to_str().encode()).hexdigest()

    def encoding_key(self) -> str:
        """SHA-256 over all that decides a row's tokens: the fingerprint, the special tokens
        and, where the template writes a date, that date."""
        body = self.to_json()
        dated = body["today"] if DATE in self.source else ""
        decisive = json.dumps([self.fingerprint(), body["settings"], dated], sort_keys=True)
        return hashlib.sha256(decisive.encode()).hexdigest()

    def special(self, name: str) -> str:
        """The text of a special token, `bos_token` and the like; empty where there is none."""
        return self._special.get(name, "")

    def _token_id(self, name: str) -> int | None:
        return self._masker.tokenizer.token_to_id(self._special.get(name, ""))

    @cached_property
    def _prefix(self) -> list[int]:
        """What stands in front of a plain text: what the tokenizer puts there, else the bos
        token where tokenizer_config.json asks for it (DeepSeek's tokenizer.json doesn't)."""
        bos = self._token_id("bos_token") if self._adds_bos else None
        return self._masker.prefix or ([] if bos is None else [bos])

    @property
    def _end(self) -> int:
        end = self._token_id("eos_token")
        if end is None:
            raise MaskError(
                "the tokenizer has no eos_token, by which the end of a text is learnt", kind=NO_END
            )
        return end

    @cached_property
    def _compiled(self) -> Template:
        from jinja2 import TemplateError

        if not self.source:
            raise MaskError(
                "the model has no chat template",
                "Put one in chat_template.jinja of its folder; a base model that was never "
                "tuned on conversations has none, and learns plain text only.",
            )
        try:
            return compile_template(self.source, self._today)
        except TemplateError as error:
            raise MaskError(f"the chat template is no valid template: {error}") from error

    @cached_property
    def _marker(self) -> re.Pattern[str]:
        """White space, then a special token: how a response ends."""
        # Some families have white space among their added tokens, which ends nothing.
        added = (re.escape(name) for name in self._masker.added.values() if name.strip())
        names = sorted(added, key=len, reverse=True)
        return re.compile(rf"\s*(?:{'|'.join(names)})") if names else re.compile(r"(?!)")

    def _marker_ending(self, text: str) -> int | None:
        added = self._masker.added
        ending = (id for id, name in added.items() if text.endswith(name))
        return max(ending, key=lambda id: len(added[id]), default=None)

    def _trained_spans(
        self, messages: Sequence[Message], text: str, render: Callable[..., str]
    ) -> list[Span]:
        """Where each response with its end marker stands in `text`. Raises MaskError."""
        spans = []
        for place, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = render(messages[:place], add_generation_prompt=True)
            after = render(messages[: place + 1])
            if not after.startswith(before):
                raise MaskError(
                    "the chat template does not keep what stands before a response", kind=CHANGED
                )
            if message.calls:
                end = tool_rendering.call_end(after, len(before), message, self._masker.special)
            else:
                end = self._response_end(after, len(before), message.content)
            if not text.startswith(before):
                raise MaskError(
                    "the chat template changes what stands before a response once turns follow it",
                    kind=CHANGED,
                )
            if not text.startswith(after[:end]):
                raise MaskError(
                    "the chat template changes a response once turns follow it", kind=CHANGED
                )
            spans.append((len(before), self._turn_end(after, end, text)))
        return spans

    def _turn_end(self, after: str, end: int, text: str) -> int:
        """Where the turn ends whose response ends at `end`: Command R7B closes both, each by a
        marker of its own, and only the turn's is the eos that an answer stops at. An eos behind the
        last turn alone is the conversation's."""
        eos = self.special("eos_token")
        closed = end + len(eos)
        follows = after.startswith(eos, end) and not after[:end].endswith(eos)
        return closed if eos and follows and text.startswith(after[:closed]) else end

    def _response_end(self, text: str, start: int, content: str) -> int:
        """The end of the response's marker, for a response that begins at `start`."""
        for wanted in (content, content.strip()):
            begin = start
            if not text.startswith(wanted, begin):
                # Some families put a space between the prompt and the response.
                begin = len(text) - len(text[start:].lstrip())
            if text.startswith(wanted, begin):
                marker = self._marker.match(text, begin + len(wanted))
                if marker is None:
                    raise MaskError(
                        "the chat template puts no end marker after a response", kind=NO_END
                    )
                return marker.end()
        raise MaskError("the chat template rewrites the response")


def _check_kept(messages: Sequence[Message], text: str, render: Callable[..., str]) -> None:
    """Raises MaskError when a system or tool turn is not in `text`: templates that don't know a
    role pass over it without a word."""
    for place, message in enumerate(messages):
        if message.role not in ("system", "tool"):
            continue
        other = replace(message, content=f"{message.content}.")
        changed = [*messages[:place], other, *messages[place + 1 :]]
        if render(changed) == text:
            raise MaskError(f"the chat template leaves out the {message.role} turn")


def thinks(messages: Sequence[Message]) -> bool:
    """Whether a response thinks before it answers: then all of it is rendered that way."""
    return any(_THOUGHT in m.content for m in messages if m.role == "assistant")


def _content(token: Any) -> str:
    """A special token's text; tokenizer_config.json has it bare or in an object."""
    return str(token["content"]) if isinstance(token, dict) else str(token)
