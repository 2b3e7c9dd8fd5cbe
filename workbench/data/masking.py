"""Text -> tokens and which of them are learnt, each border proved or the text refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


REFUSED = "mask-refused"
"""Why a row can't be trained on: its trained tokens can't be told from the others."""
CHANGED = "prefix-not-kept"
"""The template changes what came before once turns follow it."""
NOTHING = "nothing-trained"
"""It has no response."""
NO_END = "end-marker-untrained"
"""Nothing says where its response ends."""


class MaskError(WorkbenchError):
    """A row whose trained tokens can't be proved; the message says why."""

    def __init__(self, message: str, hint: str = "", kind: str = REFUSED) -> None:
        """`kind` is REFUSED, CHANGED, NOTHING or NO_END."""
        super().__init__(message, hint)
        self.kind = kind


Span = tuple[int, int]
"""Start and end of a stretch of characters."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as a person sees it."""

    id: int
    text: str
    trained: bool
    reason: str
    """Why it isn't trained: `prompt`, `beginning` or `after the end`; empty when it is."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as a model sees it."""

    text: str
    """What the template rendered, or the plain text between its special tokens."""
    ids: list[int]
    trained: list[bool]
    """Whether each token is learnt; as long as `ids`."""
    offsets: list[Span]
    """Where each token stands in `text`."""
    before: str = "prompt"
    """What the tokens before a trained one are, that aren't trained themselves."""

    @property
    def tokens(self) -> list[Token]:
        last = max((i for i, trained in enumerate(self.trained) if trained), default=-1)
        return [
            Token(
                id, text, trained, "" if trained else self.before if i < last else "after the end"
            )
            for i, (id, text, trained) in enumerate(
                zip(self.ids, self.pieces, self.trained, strict=True)
            )
        ]

    @property
    def pieces(self) -> list[str]:
        """The text of each token, joined all of it; a character split over tokens is the first
        one's, the others are empty."""
        pieces = []
        reached = 0
        for start, end in self.offsets:
            pieces.append(self.text[max(start, reached) : max(end, reached)])
            reached = max(end, reached)
        return pieces

    @property
    def trained_tokens(self) -> int:
        return sum(self.trained)


class Masker:
    """A tokenizer that proves which tokens stand for which part of a text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """The tokens of a text that holds its special tokens itself: none is added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    @cached_property
    def added(self) -> dict[int, str]:
        """Added tokens: the special ones, and others that are never cut."""
        found = self.tokenizer.get_added_tokens_decoder()
        return {id: token.content for id, token in found.items()}

    @cached_property
    def special(self) -> set[str]:
        """The special tokens, which stand for no text."""
        found = self.tokenizer.get_added_tokens_decoder().values()
        return {token.content for token in found if token.special}

    @cached_property
    def prefix(self) -> list[int]:
        """What the tokenizer itself puts in front of a text: mostly its bos token, or nothing."""
        plain = self.ids("a")
        whole = self.tokenizer.encode("a", add_special_tokens=True).ids
        place = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        return list(whole[:place])

    def encode(self, text: str, spans: Sequence[Span]) -> Encoded:
        """Tokens of `text`, those inside `spans` trained. Raises MaskError when a border can't
        be proved to fall between two tokens."""
        encoded = self._encode_whole(text, spans) or self._encode_apart(text, spans)
        if encoded is not None:
            return encoded
        if not self._same(self.decode(self.ids(text)), text):
            raise MaskError("the tokenizer's tokens don't give its text back")
        raise MaskError("a token lies across the border of prompt and response")

    def encode_document(self, text: str, prefix: list[int], end: int) -> Encoded:
        """Tokens of a plain text between `prefix` and the token `end`, neither put there twice.

        All are trained but the first, which nothing stands before. Raises MaskError when the
        tokens don't give the text back.
        """
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        parts = [(text, list(encoding.ids), list(encoding.offsets))]
        ids = parts[0][1]
        if not self._same(self.decode(ids), text):
            raise MaskError("the tokenizer's tokens don't give its text back")
        if ids[: len(prefix)] != prefix:
            parts = [*map(self._whole, prefix), *parts]
        if ids[-1:] != [end]:
            parts.append(self._whole(end))
        whole, ids, offsets = _joined(parts)
        return Encoded(whole, ids, [i > 0 for i in range(len(ids))], offsets, before="beginning")

    def _whole(self, id: int) -> Part:
        """A token that stands for itself."""
        name = self.added.get(id) or self.decode([id])
        return name, [id], [(0, len(name))]

    def _encode_whole(self, text: str, spans: Sequence[Span]) -> Encoded | None:
        """Encode in one go; None unless every border falls between two tokens."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        # Each look at `encoding.ids` makes a list of them all.
        ids, offsets = list(encoding.ids), self._offsets(encoding, text)
        trained = [False] * len(ids)
        for start, end in spans:
            if any(a < start < b or a < end < b for a, b in offsets):
                return None
            inside = [i for i, (a, b) in enumerate(offsets) if start <= a and b <= end and a < b]
            if not self._same(self.decode([ids[i] for i in inside]), text[start:end]):
                return None
            if not inside or self.ids(text[:start]) != ids[: inside[0]]:
                return None
            for i in inside:
                trained[i] = True
        return Encoded(text, ids, trained, offsets)

    def _encode_apart(self, text: str, spans: Sequence[Span]) -> Encoded | None:
        """Encode prompt and response each for itself, as generation does.

        None for tokenizers that don't give the same text back then.
        """
        borders = [0, *(place for span in spans for place in span), len(text)]
        trained: list[bool] = []
        parts: list[Part] = []
        for start, end in itertools.pairwise(borders):
            encoding = self.tokenizer.encode(text[start:end], add_special_tokens=False)
            trained += [(start, end) in spans] * len(encoding)
            parts.append((text[start:end], list(encoding.ids), list(encoding.offsets)))
        _, ids, offsets = _joined(parts)
        if not self._same(self.decode(ids), text):
            return None
        return Encoded(text, ids, trained, offsets)

    def _offsets(self, encoding: Encoding, text: str) -> list[Span]:
        """Where each token stands; for an added token, without the white space that it eats."""
        offsets: list[Span] = list(encoding.offsets)
        for place, id in enumerate(encoding.ids):
            if id not in self.added:
                continue
            begin, end = offsets[place]
            name = self.added[id]
            found = text.find(name, begin, end)
            if found >= 0:
                offsets[place] = (found, found + len(name))
        return offsets

    def _same(self, decoded: str, text: str) -> bool:
        """Whether tokens stand for a text, as far as their tokenizer tells texts apart."""
        # Decoders of the SentencePiece family drop the space before the first word.
        if decoded.lstrip(" ") == text.lstrip(" "):
            return True
        normalizer = self.tokenizer.normalizer
        if normalizer is None:
            return False
        same: bool = normalizer.normalize_str(decoded) == normalizer.normalize_str(text)
        return same


Part = tuple[str, list[int], list[Span]]
"""A stretch of text with its tokens, and where each stands in it."""


def _joined(parts: Sequence[Part]) -> Part:
    """Parts one after another, as one."""
    text, ids, offsets = "", [], []
    for stretch, tokens, places in parts:
        ids += tokens
        offsets += [(start + len(text), end + len(text)) for start, end in places]
        text += stretch
    return text, ids, offsets
