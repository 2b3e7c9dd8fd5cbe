"""What of a row is learnt: each response with the prompt that it answers, or the plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.data.curate.findings import Part, parts
from workbench.data.example import Example

_END_MARK = re.compile(r"(?:<\|[^<>|\n]{1,40}\|>|</s>|<eos>|<end_of_turn>|<EOD>)\Z")
_MARK_LENGTH = 48
_NO_ANSWER = re.compile(
    r"[\s.…_–—-]*\Z|nan\Z|<no\s?(?:in|out)put>\Z|#(?:n/a|ref!|value!|name\?)\Z"
    r"|[\[(<](?:no (?:response|answer|output)|empty|blank)[\])>]\Z",
    re.IGNORECASE,
)
# White space for a reader, but not for Python.
_UNSEEN = str.maketrans(dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad"))


@dataclass(frozen=True, slots=True)
class Learnt:
    """A text that is learnt."""

    part: Part
    text: str
    """The part's, without the white space and the end markers that it ends with: places in it
    are places in the part."""
    prompt: str
    """The user's turn that it answers; empty for plain text."""
    plain: bool
    """It is plain text, which answers nothing."""


def learnt(example: Example) -> Iterator[Learnt]:
    """The responses of a conversation, or the plain text."""
    prompt = ""
    for part in parts(example):
        if part.role == "user":
            prompt = part.text
        elif part.role == "assistant":
            yield Learnt(part, without_end_marks(part.text), prompt, plain=False)
        elif part.role == "text":
            yield Learnt(part, without_end_marks(part.text), "", plain=True)


def without_end_marks(text: str) -> str:
    """The text up to its last words: `<|endoftext|>` and the like, which files of prompts and
    completions often hold, aren't part of what is said."""
    text = text.rstrip()
    while mark := _END_MARK.search(text, max(0, len(text) - _MARK_LENGTH)):
        text = text[: mark.start()].rstrip()
    return text


def without_unseen(text: str) -> str:
    """The text without characters that have no width."""
    return text.translate(_UNSEEN)


def is_empty(text: str) -> bool:
    """Whether a text says nothing: white space, dots and dashes, or a word for nothing at all."""
    return _NO_ANSWER.match(without_unseen(text)) is not None
