"""How a response ends: as sentences do, in the middle of one, or as what has no sentences."""

from __future__ import annotations

import re
from enum import Enum, auto

from workbench.data.curate.words import WORD, gram

_FEWEST_WORDS = 8
"""A label, a name, a number or a phrase ends without a full stop."""
_FEWEST_OF_LINE = 6
"""So does a title, a signature or the line of an address."""
_PROSE = 0.9
"""The least share of letters, spaces and usual marks in a line of prose."""

_STOPS = ".!?…。！？．｡।॥؟۔።։"
_ANNOUNCES = ",;:，、；：،-–—(（"
"""A response that ends with one of them was to go on."""
_CLOSERS = "\"'”’»›)]}）］】」』》〉*_`~"
_MARKS = " ,.;:!?'’\"“”-–—()，。、；：！？"
# What may follow the last sentence: hashtags, who said it, a note in brackets.
_POSTSCRIPT = re.compile(r"[#@(\[*_–—―-]")
_UNFINISHED = re.compile(
    r"\b(?:an?|and|are|as|at|because|but|by|from|has|have|if|in|into|is|its|my|of|or|our|than|that"
    r"|the|their|this|to|was|were|when|where|which|while|who|will|with|your)\Z",
    re.IGNORECASE,
)
"""Words that end no phrase."""
_STOP = re.compile(rf"(?:[。！？．｡]|[!?…।۔]|(?<=\w\w\w)\.)[{re.escape(_CLOSERS)}]*\s*")
"""The end of a sentence within a line; that of `St.` and `Dr.` is none."""
# Thai, Lao, Khmer and Tibetan end a sentence with a space.
_WITHOUT_STOPS = re.compile(r"[\u0e00-\u0fff\u1780-\u17ff]")
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*$", re.MULTILINE)
_ITEM = re.compile(r"[ \t]*(?:[-*•‣▪–—+]|\(?(?:\d{1,3}|[a-zA-Z])[.)])[ \t]+")
_BARE_ITEM = re.compile(r"(?:[-*•‣▪]|\(?\d{1,3}[.)])")
_NO_PROSE = re.compile(r"[ \t]*(?:[|#>]|\S+://)|(?: {4}|\t)")
"""A row of a table, a heading, a quotation, an address, code without a fence."""


class Ending(Enum):
    """What the end of a response is."""

    PROPER = auto()
    """As sentences end."""
    CUT = auto()
    """In the middle of a sentence."""
    OPEN_FENCE = auto()
    """In a block of code that isn't closed."""
    OTHER = auto()
    """Of what needs no full stop: words, numbers, tables, code, verse, names."""


def ending(text: str) -> Ending:
    """How a text ends that has no white space at its end."""
    if _fence_is_open(text):
        return Ending.OPEN_FENCE
    words = WORD.findall(text)
    if len(words) < gram(words, _FEWEST_WORDS) or _WITHOUT_STOPS.match(text[-1]):
        return Ending.OTHER
    *before, last = text.split("\n")
    if before and _BARE_ITEM.fullmatch(last.strip()):
        return Ending.CUT
    if _stops(last):
        return Ending.PROPER
    if _ITEM.match(last):
        return _of_list(before, last)
    return _of_prose(before, last)


def _fence_is_open(text: str) -> bool:
    """The mark that opened a block of code closes it: others within it are its text."""
    opened = ""
    for fence in _FENCE.finditer(text):
        if not opened:
            opened = fence[1]
        elif fence[1].startswith(opened) and fence[0].strip() == fence[1]:
            opened = ""
    return bool(opened)


def _stops(line: str) -> bool:
    return line.rstrip(_CLOSERS + " ").endswith(tuple(_STOPS))


def _of_list(before: list[str], last: str) -> Ending:
    """An item needs no full stop, unless those before it have one."""
    others = [line for line in before if _ITEM.match(line)]
    if len(others) < 2 or not all(map(_stops, others)):
        return Ending.OTHER
    return _of_last_sign(last)


def _of_prose(before: list[str], last: str) -> Ending:
    words = WORD.findall(last)
    if _NO_PROSE.match(last) or len(words) < gram(words, _FEWEST_OF_LINE):
        return Ending.OTHER
    usual = sum(sign.isalpha() or sign in _MARKS for sign in last)
    if usual < _PROSE * len(last) or _is_verse(before):
        return Ending.OTHER
    *sentences, rest = _STOP.split(last)
    if _POSTSCRIPT.match(rest):
        return Ending.OTHER
    # A response without any full stop is a phrase: a title, a list of things.
    phrase = not sentences and not any(map(_stops, before))
    if phrase and not _UNFINISHED.search(last) and last[-1].isalpha():
        return Ending.OTHER
    return _of_last_sign(last)


def _is_verse(before: list[str]) -> bool:
    """The lines just above end without a full stop too: verse, a list without marks."""
    block: list[str] = []
    for line in reversed(before):
        if not line.strip():
            break
        block.append(line)
    return len(block) >= 2 and 2 * sum(map(_stops, block)) < len(block)


def _of_last_sign(line: str) -> Ending:
    """What closes a quotation, a figure or a sign may end anything."""
    cut = line[-1].isalpha() or line[-1] in _ANNOUNCES
    return Ending.CUT if cut else Ending.OTHER
