"""A report as blocks, and as Markdown. `html.as_html` makes one file of HTML of the same blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.evaluation.telling import Told
from workbench.text import visible

_NUMBER = re.compile(r"[-+<]?\s*[\d.,]+(e[-+]?\d+)?([\s%/,]|$)")
"""What a cell of numbers begins with."""
_NOTHING = ("", "–", "N/A")
_ESCAPED = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|$)|[*|~]|<(?=[A-Za-z/!?])|\](?=[(\[:])"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#>+-](?=\s|$)"
)
"""What Markdown would not show as it is. Backticks stay: they make code of some of our own words,
and of others' nothing worse."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The first one of a page, of level 1, is its title."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; columns of numbers stand to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]

    def numeric(self) -> list[bool]:
        """Of each column whether it holds numbers alone. The first one holds names."""
        columns = [list(column) for column in zip(*self.rows, strict=True)]
        return [place > 0 and _is_numeric(column) for place, column in enumerate(columns)]


@dataclass(frozen=True, slots=True)
class Points:
    points: Sequence[str]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines that are shown as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture for HTML, and what stands for it in text."""

    svg: str
    caption: str
    text: str = ""
    """Lines for Markdown, which shows nothing of it where this is empty."""


Block = Heading | Table | Points | Code | Chart | str
"""A string is a paragraph."""


def _is_numeric(cells: Sequence[str]) -> bool:
    told = [cell for cell in cells if cell not in _NOTHING]
    return bool(told) and all(_NUMBER.match(cell) for cell in told)


def told(table: Told) -> Iterator[Block]:
    """A table of an evaluation or a comparison with what stands above it and below."""
    if table.title:
        yield Heading(f"{table.title[0].upper()}{table.title[1:]}", 3)
    if table.rows:
        yield Table(table.headers, table.rows)
    yield from table.notes


def as_markdown(page: Sequence[Block]) -> str:
    """The page as Markdown in which nothing of others' texts is markup."""
    return "\n\n".join(part for block in page if (part := _markdown(block))) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_plain(block.text)}"
    if isinstance(block, Points):
        return "\n".join(f"- {_plain(point)}" for point in block.points)
    if isinstance(block, Code):
        return _code(block.text)
    if isinstance(block, Chart):
        return f"{_code(block.text)}\n\n{_plain(block.caption)}" if block.text else ""
    if isinstance(block, Table):
        rule = "|".join("---:" if number else "---" for number in block.numeric())
        rows = [_row(block.headers), f"|{rule}|", *map(_row, block.rows)]
        return "\n".join(rows) if block.rows else ""
    return _plain(block)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _code(text: str) -> str:
    """Indented: no text can end that."""
    return "\n".join(f"    {line}".rstrip() for line in visible(text).split("\n")) if text else ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    shown = visible(text.strip(), one_line=True)
    return _ESCAPED.sub(lambda found: f"\\{found[0]}", shown)
