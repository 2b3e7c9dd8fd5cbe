"""Long texts: cut at the ends of paragraphs, with nothing lost, and files of documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TextIO

from workbench.data.example import Example
from workbench.data.making import Change
from workbench.jobs.progress import Tell, watched

LONGEST = 8 << 20
"""Characters of a document in one row; a longer one is read as several, so that a file of any
length needs no more memory."""
_ENDS = tuple(
    re.compile(form)
    for form in (
        r"\n[ \t]*\n\s*",  # a paragraph, with the empty lines after it
        r"\n",
        r"[.!?…。！？]['\"”’)\]]*\s+",  # a sentence
        r"\s+",
    )
)
"""Where a text is cut, the best first: each a place after which the next piece begins."""
_SHORT = 0.25
"""The share of a piece below which a better end isn't taken: a heading would stand alone before
a long paragraph."""
_NEXT = "\f\n"

Measure = Callable[[str], int]


def pieces(text: str, most: int, measure: Measure = len) -> Iterator[str]:
    """The text in pieces of which none measures more than `most`: joined they are the text.

    Cut after a paragraph where there is one, else after a line, a sentence, a word, and in the
    middle of a word where it is longer than a piece itself; a better end that makes a piece very
    short gives way to the next best. `measure` gives a longer text no
    smaller number; by default it counts characters.
    """
    start = 0
    guess = most
    while start < len(text):
        reach = _reach(text, start, most, measure, guess)
        stop = reach if reach == len(text) else _best_end(text, start, reach)
        # A part of a text may have a token more than the whole.
        while stop < reach and stop > start + 1 and measure(text[start:stop]) > most:
            stop = _best_end(text, start, stop - 1)
        yield text[start:stop]
        guess = max(1, stop - start)
        start = stop


def _reach(text: str, start: int, most: int, measure: Measure, guess: int) -> int:
    """How far a piece from `start` on can go."""
    if measure is len:
        return min(len(text), start + most)
    low, high = start + 1, min(len(text), start + 2 * guess)
    while measure(text[start:high]) <= most:
        if high == len(text):
            return high
        low, high = high, min(len(text), start + 2 * (high - start))
    # One character is a piece even where it measures more: there is nothing shorter.
    while high - low > 1:
        middle = (low + high) // 2
        if measure(text[start:middle]) <= most:
            low = middle
        else:
            high = middle
    return low


def _best_end(text: str, start: int, reach: int) -> int:
    ends = []
    for form in _ENDS:
        last = start
        for found in form.finditer(text, start, reach):
            last = found.end()
        # White space alone would be a row without a text.
        if last > start and text[start:last].strip() and text[last:].strip():
            ends.append(last)
            if last - start >= (reach - start) * _SHORT:
                return last
    return ends[0] if ends else reach


def cut(rows: Sequence[Example], most: int, measure: Measure, tell: Tell) -> Iterator[Change]:
    """Cut the plain texts that measure more than `most`; conversations stay as they are.

    Each piece says in its extra field `document` where it came from, and in `piece` which it is.
    """
    for place, example in enumerate(watched(rows, "cutting", tell)):
        if not example.text or measure(example.text) <= most:
            continue
        parts = list(pieces(example.text, most, measure))
        yield place, tuple(_piece(example, n, text, len(parts)) for n, text in enumerate(parts, 1))


def _piece(example: Example, number: int, text: str, count: int) -> Example:
    return replace(
        example,
        text=text,
        source=f"{example.source} ({number} of {count})",
        extra={"document": example.source, "piece": number, **example.extra},
    )


def documents(stream: TextIO) -> Iterator[tuple[int, str]]:
    """The documents of a file, each with the line, from 1, on which it begins.

    Lines that hold a form feed alone stand between them; a document longer than LONGEST comes in
    pieces. Documents of white space alone are passed over.
    """
    begins, lines, size = 1, list[str](), 0
    for number, line in enumerate(stream, start=1):
        if line in (_NEXT, "\f"):
            yield from _document(begins, lines)
            begins, lines, size = number + 1, [], 0
            continue
        lines.append(line)
        size += len(line)
        if size > LONGEST:
            *whole, rest = pieces("".join(lines), LONGEST)
            for piece in whole:
                yield begins, piece
                begins += piece.count("\n")
            lines, size = [rest], len(rest)
    yield from _document(begins, lines)


def _document(begins: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    text = "".join(lines)
    if text.strip():
        yield begins, text
