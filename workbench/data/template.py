"""Chat template -> tokens and the mask of trained tokens.

Works with `tokenizers` and `jinja2` alone, so that the screens show the very tokens that
training learns. Most public templates don't say themselves which part is the
assistant's, so the mask comes from the template's own prefix: what it renders for the
turns before a response, and what it renders with it. Each row is proved or refused.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data import added_tokens
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json_object

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Encoding, Tokenizer


class MaskError(WorkbenchError):
    """A row whose trained tokens can't be proved; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as a person sees it."""

    id: int
    text: str
    trained: bool
    reason: str
    """Why it isn't trained: `prompt` or `after the end`; empty when it is."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as a model sees it."""

    text: str
    """What the template rendered."""
    ids: list[int]
    trained: list[bool]
    """Whether each token is learnt; as long as `ids`."""
    pieces: list[str]
    """The text of each token; a character split over tokens is the first one's, the others
    are empty."""

    @property
    def tokens(self) -> list[Token]:
        last = max((i for i, trained in enumerate(self.trained) if trained), default=-1)
        return [
            Token(id, text, trained, "" if trained else "prompt" if i < last else "after the end")
            for i, (id, text, trained) in enumerate(
                zip(self.ids, self.pieces, self.trained, strict=True)
            )
        ]

    @property
    def trained_tokens(self) -> int:
        return sum(self.trained)


Span = tuple[int, int]
"""Start and end of a stretch of characters."""


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
        """`source` is the template's text; `settings` as in tokenizer_config.json.

        `today` is the date for templates that write one (default: the day of rendering);
        `new_ids` are the tokens that the tokenizer was given beside the model's own.
        """
        self.source = source
        self.new_ids = new_ids
        self._today = today
        self._tokenizer = tokenizer
        self._special = {
            name: _content(settings[name])
            for name in ("bos_token", "eos_token", "pad_token", "unk_token")
            if settings.get(name)
        }
        self._stops: set[int] = set(settings.get("stop_ids", ()))

    @classmethod
    def load(
        cls, folder: Path, *, today: date | None = None, new_tokens: Sequence[str] = ()
    ) -> ChatTemplate:
        """The template and tokenizer of a model folder, and `new_tokens` beside its own.

        Some templates (Llama 3.2's) write the date into the prompt: `today` is what they
        take for it, so that a run's tokens are the same on any day. Raises WorkbenchError
        when the folder has no tokenizer.json or no chat template.
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
        return cls(_find_source(folder, settings), tokenizer, settings, today, new_ids)

    def save_new_tokens(self, folder: Path) -> None:
        """Write the tokenizer into `folder`, over the model's own, if it was given tokens."""
        if self.new_ids:
            self._tokenizer.save(str(folder / "tokenizer.json"))

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The text of a conversation. Raises MaskError when the template refuses it."""
        compiled = self._compiled
        try:
            return compiled.render(
                messages=[message.to_json() for message in messages],
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._special,
            )
        except Exception as error:  # a template can do whatever an expression can
            raise MaskError(f"the chat template refuses it: {error}") from error

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens that a model is given to answer after `messages`."""
        return self._ids(self.render(messages, add_generation_prompt=True))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def encode(self, example: Example) -> Encoded:
        """An example's tokens and which of them are learnt: every response of the
        assistant with its end marker, and nothing else.

        Raises MaskError when that can't be proved.
        """
        text = self.render(example.messages)
        spans = self._trained_spans(example.messages, text)
        if not spans:
            raise MaskError("it has no response to learn")
        encoded = self._encode_whole(text, spans) or self._encode_apart(text, spans)
        if encoded is not None:
            return encoded
        if not self._same(self.decode(self._ids(text), skip_special=False), text):
            raise MaskError("the tokenizer's tokens don't give its text back")
        raise MaskError("a token lies across the border of prompt and response")

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer: the end marker that is trained, and the model's own."""
        eos = self._tokenizer.token_to_id(self._special.get("eos_token", ""))
        found = self._stops | ({eos} if eos is not None else set())
        sample = [Message("user", "Hi"), Message("assistant", "Hello")]
        try:
            text = self.render(sample)
            ((_, end),) = self._trained_spans(sample, text)
        except MaskError:
            return frozenset(found)
        marker = self._markers_ending(text[:end])
        return frozenset(found | ({marker} if marker is not None else set()))

    @property
    def pad_id(self) -> int:
        """The padding token; the end token where there is none, since padding is masked."""
        for name in ("pad_token", "eos_token", "unk_token"):
            found = self._tokenizer.token_to_id(self._special.get(name, ""))
            if found is not None:
                return found
        return 0

    def fingerprint(self) -> str:
        """SHA-256 over the template and the tokenizer: what decides a row's tokens."""
        digest = hashlib.sha256(self.source.encode())
        digest.update(self._tokenizer.to_str().encode())
        return digest.hexdigest()

    @cached_property
    def _compiled(self) -> Template:
        from jinja2 import TemplateError

        try:
            template: Template = _environment(self._today).from_string(self.source)
        except TemplateError as error:
            raise WorkbenchError(f"The chat template is no valid template: {error}") from error
        return template

    @cached_property
    def _marker(self) -> re.Pattern[str]:
        """White space, then a special token: how a response ends."""
        # Some families have white space among their added tokens, which ends nothing.
        added = (re.escape(name) for name in self._added.values() if name.strip())
        names = sorted(added, key=len, reverse=True)
        return re.compile(rf"\s*(?:{'|'.join(names)})") if names else re.compile(r"(?!)")

    def _markers_ending(self, text: str) -> int | None:
        ending = (id for id, name in self._added.items() if text.endswith(name))
        return max(ending, key=lambda id: len(self._added[id]), default=None)

    def _trained_spans(self, messages: Sequence[Message], text: str) -> list[Span]:
        """Where each response with its end marker stands in `text`. Raises MaskError."""
        spans = []
        for place, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.render(messages[:place], add_generation_prompt=True)
            after = self.render(messages[: place + 1])
            if not after.startswith(before):
                raise MaskError("the chat template does not keep what stands before a response")
            end = self._response_end(after, len(before), message.content)
            if not text.startswith(after[:end]):
                raise MaskError("the chat template changes a response once turns follow it")
            spans.append((len(before), end))
        return spans

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
                    raise MaskError("the chat template puts no end marker after a response")
                return marker.end()
        raise MaskError("the chat template rewrites the response")

    def _ids(self, text: str) -> list[int]:
        # The template writes the special tokens itself; the tokenizer must not add them again.
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode_whole(self, text: str, spans: Sequence[Span]) -> Encoded | None:
        """Encode in one go; None unless every border falls between two tokens."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        offsets = self._offsets(encoding, text)
        trained = [any(s <= a and b <= e and a < b for s, e in spans) for a, b in offsets]
        for start, end in spans:
            if any(a < border < b for a, b in offsets for border in (start, end)):
                return None
            inside = [i for i, (a, b) in enumerate(offsets) if start <= a and b <= end and a < b]
            ids = [encoding.ids[i] for i in inside]
            if not self._same(self.decode(ids, skip_special=False), text[start:end]):
                return None
            if not inside or self._ids(text[:start]) != encoding.ids[: inside[0]]:
                return None
        return Encoded(text, list(encoding.ids), trained, _pieces(text, offsets))

    def _encode_apart(self, text: str, spans: Sequence[Span]) -> Encoded | None:
        """Encode prompt and response each for itself, as generation does.

        None for tokenizers that don't give the same text back then.
        """
        borders = [0, *(place for span in spans for place in span), len(text)]
        ids: list[int] = []
        trained: list[bool] = []
        pieces: list[str] = []
        for start, end in itertools.pairwise(borders):
            encoding = self._tokenizer.encode(text[start:end], add_special_tokens=False)
            ids += encoding.ids
            trained += [(start, end) in spans] * len(encoding.ids)
            pieces += _pieces(text[start:end], encoding.offsets)
        if not self._same(self.decode(ids, skip_special=False), text):
            return None
        return Encoded(text, ids, trained, pieces)

    def _offsets(self, encoding: Encoding, text: str) -> list[Span]:
        """Where each token stands; for an added token, without the white space that it eats."""
        offsets: list[Span] = list(encoding.offsets)
        for place in (i for i, id in enumerate(encoding.ids) if id in self._added):
            begin, end = offsets[place]
            name = self._added[encoding.ids[place]]
            found = text.find(name, begin, end)
            if found >= 0:
                offsets[place] = (found, found + len(name))
        return offsets

    def _same(self, decoded: str, text: str) -> bool:
        """Whether tokens stand for a text, as far as their tokenizer tells texts apart."""
        # Decoders of the SentencePiece family drop the space before the first word.
        if decoded.lstrip(" ") == text.lstrip(" "):
            return True
        normalizer = self._tokenizer.normalizer
        if normalizer is None:
            return False
        same: bool = normalizer.normalize_str(decoded) == normalizer.normalize_str(text)
        return same

    @cached_property
    def _added(self) -> dict[int, str]:
        """Added tokens: the special ones, and others that are never cut."""
        found = self._tokenizer.get_added_tokens_decoder()
        return {id: token.content for id, token in found.items()}


def _pieces(text: str, offsets: Sequence[Span]) -> list[str]:
    """The part of `text` that each token adds: joined they are the text."""
    pieces = []
    reached = 0
    for start, end in offsets:
        pieces.append(text[max(start, reached) : max(end, reached)])
        reached = max(end, reached)
    return pieces


def _content(token: Any) -> str:
    """A special token's text; tokenizer_config.json has it bare or in an object."""
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _find_source(folder: Path, settings: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise WorkbenchError(f"{path} is not UTF-8.") from error
        except OSError as error:
            raise explain_os_error(error, f"read {path}") from error
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = (item for item in found if isinstance(item, dict) and item.get("name") == "default")
        found = next(named, {}).get("template")
    if not isinstance(found, str):
        raise WorkbenchError(
            f"The model in {folder} has no chat template.",
            "Put one in chat_template.jinja there; a base model that was never tuned on "
            "conversations has none.",
        )
    return found


def _environment(today: date | None) -> Any:
    """A sandbox in which a template means what it means to transformers.

    Templates come from strangers: they can read the conversation and nothing else.
    """
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's part in some templates; it adds no text."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    def strftime_now(form: str) -> str:
        # The day alone: with the hour in it no two renderings would be the same.
        return datetime.combine(today or date.today(), time()).strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = strftime_now
    return environment
