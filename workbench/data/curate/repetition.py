"""Gopher's rules against repetition, for one text.

The limits are those of table A1 of "Scaling Language Models: Methods, Analysis & Insights from
Training Gopher" (arXiv 2112.11446), and what is counted is what `GopherRepetitionFilter` of
datatrove counts: a share of lines, of paragraphs, or of the text's characters.

Gopher's rules are for web pages, and datatrove has no exemption for short ones: any text of two
words is a single 2-gram, which is all of it. Gopher's quality rules, which come first there,
leave nothing shorter than 50 words. Here a text that is shorter is left alone. So are blocks of
code, rows of tables and addresses, which repeat themselves by their nature.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.data.curate.words import WORD, gram

FEWEST_WORDS = 50
"""Gopher's quality rules keep documents of 50 to 100,000 words."""
LINES = 0.30
PARAGRAPHS = 0.30
LINE_CHARACTERS = 0.20
PARAGRAPH_CHARACTERS = 0.20
TOP = {2: 0.20, 3: 0.18, 4: 0.16}
"""Characters of the most frequent n-gram, all of its occurrences together."""
REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""Characters of n-grams that were there before."""

_EXEMPT = re.compile(
    r"^[ \t]*```.*?(?:^[ \t]*```[ \t]*$|\Z)"  # a block of code
    r"|^(?:[ ]{4}|\t)[^\n]*$"  # an indented line: code without a fence
    r"|^[ \t]*\|[^\n]*$"  # a row of a table
    r"|^[^\t\n]*\t[^\t\n]*\t[^\n]*$"
    r"|\b[a-z]{2,6}://\S+",
    re.MULTILINE | re.DOTALL,
)
_LINE = re.compile(r"[^\n]+")
_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")

Place = tuple[int, int]
"""Start and end of a stretch of a text."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """A rule that a text breaks."""

    rule: str
    """In words, as what comes after "40 % of its"."""
    share: float
    limit: float
    """Gopher's."""
    places: tuple[Place, ...]
    """What is there again, or, of the most frequent n-gram, each occurrence."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A text without what is exempt, and what all rules count with."""

    text: str
    words: Sequence[str]
    unit: int
    """How many of the words are as long as one."""
    size: int
    """Characters of all lines."""
    times: float
    """How many times each limit is the limit."""


def worst(text: str, times: float = 1) -> Repetition | None:
    """The rule that the text breaks by most, at so many times Gopher's limits; None where it
    breaks none, or is short."""
    text = _EXEMPT.sub(lambda found: " " * len(found[0]), text)
    words = WORD.findall(text)
    unit = gram(words, 1)
    if len(words) < unit * FEWEST_WORDS:
        return None
    whole = _Text(text, words, unit, sum(len(line.strip()) for line in text.split("\n")), times)
    broken = [*_blocks(whole), *_top(whole), *_repeated(whole)]
    return max(broken, key=lambda repetition: repetition.share / repetition.limit, default=None)


def _blocks(whole: _Text) -> Iterator[Repetition]:
    """The rules of lines and of paragraphs."""
    for name, pattern, by_count, by_characters in (
        ("paragraphs", _PARAGRAPH, PARAGRAPHS, PARAGRAPH_CHARACTERS),
        ("lines", _LINE, LINES, LINE_CHARACTERS),
    ):
        blocks = [_stripped(found) for found in pattern.finditer(whole.text) if _says(found[0])]
        again = _seen_before(whole.text, blocks)
        if not again:
            continue
        share = len(again) / len(blocks)
        if share > whole.times * by_count:
            yield Repetition(f"{name} were there before", share, by_count, again)
        share = sum(end - start for start, end in again) / whole.size
        if share > whole.times * by_characters:
            rule = f"characters are in {name} that were there before"
            yield Repetition(rule, share, by_characters, again)


def _top(whole: _Text) -> Iterator[Repetition]:
    """The rules of the most frequent 2-, 3- and 4-gram."""
    space = " " if whole.unit == 1 else ""
    for n, limit in TOP.items():
        length = whole.unit * n
        places = range(len(whole.words) - length + 1)
        grams = [space.join(whole.words[i : i + length]) for i in places]
        top, count = Counter(grams).most_common(1)[0]
        share = min(1.0, len(top) * count / whole.size)  # occurrences may overlap
        if count > 1 and share > whole.times * limit:
            where = [i for i in places if grams[i] == top]
            rule = f"characters are in “{top}”, over and over"
            yield Repetition(rule, share, limit, _spans(whole.text, where, length))


def _repeated(whole: _Text) -> Iterator[Repetition]:
    """The rules of 5- to 10-grams that are there more than once."""
    for n, limit in REPEATED.items():
        length = whole.unit * n
        again = _again(whole.words, length)
        if not again:
            return  # what has no 5-gram twice has no longer one twice
        characters = sum(len(word) for i in again for word in whole.words[i : i + length])
        share = characters / whole.size
        if share > whole.times * limit:
            rule = f"characters are in runs of {n} words that were there before"
            yield Repetition(rule, share, limit, _spans(whole.text, again, length))


def _again(words: Sequence[str], length: int) -> list[int]:
    """Where each run of so many words begins that was there before, none within another."""
    seen: set[tuple[str, ...]] = set()
    again = []
    i = 0
    while i <= len(words) - length:
        run = tuple(words[i : i + length])
        if run in seen:
            again.append(i)
            i += length
        else:
            seen.add(run)
            i += 1
    return again


def _seen_before(text: str, blocks: Sequence[Place]) -> tuple[Place, ...]:
    seen: set[str] = set()
    again = []
    for start, end in blocks:
        block = text[start:end]
        if block in seen:
            again.append((start, end))
        seen.add(block)
    return tuple(again)


def _says(block: str) -> bool:
    """Whether it has words: the marks of a list without its items have none."""
    return WORD.search(block) is not None


def _stripped(found: re.Match[str]) -> Place:
    start, end = found.span()
    block = found[0]
    return start + len(block) - len(block.lstrip()), end - len(block) + len(block.rstrip())


def _spans(text: str, starts: Sequence[int], length: int) -> tuple[Place, ...]:
    """The places of runs of words, those that touch as one."""
    places = [found.span() for found in WORD.finditer(text)]
    spans: list[Place] = []
    last = -1
    for i in starts:
        start, end = places[i][0], places[i + length - 1][1]
        if i <= last:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
        last = i + length
    return tuple(spans)
