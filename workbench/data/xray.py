"""X-ray of a row: what a template makes of it, token by token, and why one isn't trained.

What a token stands in is found by the template itself: each turn's content is put in another's
place, and what changes in the rendered text is where it stood, whatever the template does to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.data.example import Example, Message
from workbench.data.masking import MaskError, Span
from workbench.data.template import ChatTemplate, thinks

FRAME = "template"
HEADER = "header"
CUT = "cut"
BEGINNING = "beginning"
REFUSED = "refused"
REASONS = {
    FRAME: "what the template writes around the turns",
    "system": "the system turn",
    "user": "a user turn",
    "tool": "a tool's turn",
    HEADER: "opens the response: the model is given it, a closed think block as well",
    BEGINNING: "nothing stands before it",
    CUT: "after the cutoff",
    REFUSED: "the row is refused, so none of its response is trained",
}
"""Why a token isn't trained, in words."""
_OTHERS = ("\ue000", "\ue001", "\ue002")
"""Characters of no script, to put in a content's place."""


@dataclass(frozen=True, slots=True)
class XrayToken:
    """One token with its place."""

    id: int
    text: str
    """Empty for the further tokens of a character that is split over several."""
    trained: bool
    reason: str
    """One of REASONS where it isn't trained; empty where it is."""
    lost: bool = False
    """Whether it would be trained, but stands after the cutoff."""


@dataclass(frozen=True, slots=True)
class Xray:
    """A row as a model sees it."""

    text: str
    """What the template rendered."""
    tokens: tuple[XrayToken, ...]
    max_length: int | None
    """The cutoff in tokens that was asked for."""
    problem: str = ""
    """Why the row can't be trained on; empty where it can."""
    kind: str = ""
    """The name of the finding that stands for the problem."""

    @property
    def cut(self) -> int | None:
        """The place, from 0, of the first token that truncation takes away; None where the row
        fits."""
        limit = self.max_length
        return limit if limit is not None and len(self.tokens) > limit else None

    @property
    def trained_tokens(self) -> int:
        return sum(token.trained for token in self.tokens)

    @property
    def lost_tokens(self) -> int:
        """Tokens that would be trained but for the cutoff."""
        return sum(token.lost for token in self.tokens)

    @property
    def response(self) -> str:
        """What is left of the responses: `whole`, `partly lost`, `lost`, or `refused`."""
        if self.problem:
            return REFUSED
        if not self.lost_tokens:
            return "whole"
        return "partly lost" if self.trained_tokens else "lost"

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tokens": [asdict(token) for token in self.tokens],
            "total": len(self.tokens),
            "trained": self.trained_tokens,
            "lost": self.lost_tokens,
            "max_length": self.max_length,
            "cut": self.cut,
            "response": self.response,
            "problem": self.problem,
            "kind": self.kind,
        }


def xray(example: Example, template: ChatTemplate, max_length: int | None = None) -> Xray:
    """What `template` makes of a row, cut at `max_length` tokens.

    A row that is refused has its tokens too, none of them trained, as long as the template
    renders it at all.
    """
    try:
        encoded = template.encode(example)
    except MaskError as error:
        text, tokens = _refused(example, template)
        return _cut(Xray(text, tokens, max_length, error.message, error.kind))
    within = _Within(example, template, encoded.text)
    tokens = tuple(
        XrayToken(id, text, trained, "" if trained else within.reason(start))
        for id, text, trained, (start, _) in zip(
            encoded.ids, encoded.pieces, encoded.trained, encoded.offsets, strict=True
        )
    )
    return _cut(Xray(encoded.text, tokens, max_length))


def _cut(whole: Xray) -> Xray:
    """The row with nothing trained after the cutoff."""
    if (cut := whole.cut) is None:
        return whole
    gone = (replace(t, trained=False, reason=CUT, lost=t.trained) for t in whole.tokens[cut:])
    return replace(whole, tokens=(*whole.tokens[:cut], *gone))


def _refused(example: Example, template: ChatTemplate) -> tuple[str, tuple[XrayToken, ...]]:
    text = example.text
    if not text:
        try:
            text = template.render(example.messages, thinking=thinks(example.messages))
        except MaskError:
            return "", ()
    within = _Within(example, template, text)
    ids, offsets = template.tokenize(text)
    reached, tokens = 0, []
    for id, (start, end) in zip(ids, offsets, strict=True):
        piece = text[max(start, reached) : max(end, reached)]
        reached = max(end, reached)
        tokens.append(XrayToken(id, piece, False, within.reason(start)))
    return text, tuple(tokens)


class _Within:
    """Which part of a rendered row a character stands in."""

    def __init__(self, example: Example, template: ChatTemplate, text: str) -> None:
        self._document = bool(example.text)
        self._text = text
        self._parts = [] if self._document else list(_parts(example.messages, template, text))

    def reason(self, place: int) -> str:
        """Why a token that begins at `place`, and isn't trained, isn't."""
        if self._document:
            return BEGINNING
        found = (reason for (start, end), reason in self._parts if start <= place < end)
        return next(found, FRAME)


def _parts(
    messages: Sequence[Message], template: ChatTemplate, text: str
) -> Iterator[tuple[Span, str]]:
    """The stretches of a rendered text that are no frame, each with its reason."""
    thinking = thinks(messages)
    for place, message in enumerate(messages):
        if message.role == "assistant" and (
            header := _header(messages[:place], template, thinking)
        ):
            yield header, HEADER
        if span := _span(messages, place, template, text, thinking):
            # Untrained in a response itself: the row is refused.
            yield span, REFUSED if message.role == "assistant" else message.role


def _header(before: Sequence[Message], template: ChatTemplate, thinking: bool) -> Span | None:
    """What a template writes to have the next turn be the assistant's."""
    try:
        without = template.render(before, thinking=thinking)
        asking = template.render(before, add_generation_prompt=True, thinking=thinking)
    except MaskError:
        return None
    return (len(without), len(asking)) if asking.startswith(without) else None


def _span(
    messages: Sequence[Message], place: int, template: ChatTemplate, text: str, thinking: bool
) -> Span | None:
    """Where the content of a turn stands: what changes with it. None where nothing does, or the
    template takes no other."""
    content = messages[place].content
    other = next(c for c in _OTHERS if c not in (content[:1], content[-1:]))
    changed = [*messages[:place], Message(messages[place].role, other), *messages[place + 1 :]]
    try:
        rendered = template.render(changed, thinking=thinking)
    except MaskError:
        return None
    start = _common(text, rendered)
    end = len(text) - _common(text[start:][::-1], rendered[start:][::-1])
    return (start, end) if start < end else None


def _common(first: str, second: str) -> int:
    """How many characters two texts have in common at their beginning."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    low, high = 0, shorter
    while low < high:  # halved, since slices are compared at once
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
