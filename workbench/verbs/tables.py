"""A table as text: as wide as it is, or fitted to a terminal, losing nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from workbench.text import visible

_GAP = "  "
_LONG = 30
"""Characters from which on a cell is a text, which may go over several lines."""
_NARROW = 20
"""What columns of texts are not narrower than."""
_NAME = 8
"""What a header is not broken below."""


def lay_out(
    headers: Sequence[str], rows: Sequence[Sequence[object]], columns: int | None = None
) -> str:
    """Columns as wide as their longest cell, numbers to the right.

    Where that is more than `columns`, texts and headers go over several lines; where that is not
    enough, the columns come in several blocks, each with the first one. None: as wide as it is.
    """
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    numeric = [
        all(isinstance(row[i], int | float) or row[i] in ("", "–") for row in rows)
        for i in range(len(headers))
    ]
    whole = [[header, *(row[i] for row in cells)] for i, header in enumerate(headers)]
    natural = [max(map(len, column)) for column in whole]
    if columns is None or _total(natural) <= columns:
        return "\n".join(_lines(whole, natural, numeric))
    least = [min(width, _least(column)) for width, column in zip(natural, whole, strict=True)]
    blocks = [
        "\n".join(
            _lines(
                [whole[i] for i in block],
                _widened([least[i] for i in block], [natural[i] for i in block], columns),
                [numeric[i] for i in block],
            )
        )
        for block in _blocks(least, columns)
    ]
    return "\n\n".join(blocks)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _least(column: Sequence[str]) -> int:
    """What a column can do with: its cells whole where they are no texts, its header broken."""
    header, *cells = column
    longest = max(map(len, cells), default=0)
    return max(min(longest, _NARROW) if longest > _LONG else longest, min(len(header), _NAME))


def _blocks(least: Sequence[int], columns: int) -> Iterator[list[int]]:
    """The places of the columns of each block: as many as there is room for, the first in all."""
    block = [0]
    for place in range(1, len(least)):
        if len(block) > 1 and _total([least[i] for i in (*block, place)]) > columns:
            yield block
            block = [0]
        block.append(place)
    yield block


def _widened(least: Sequence[int], natural: Sequence[int], columns: int) -> list[int]:
    """What is left over goes to the narrowest of those that could do with more."""
    widths = list(least)
    for _ in range(max(0, columns - _total(widths))):
        wanting = [i for i, width in enumerate(widths) if width < natural[i]]
        if not wanting:
            break
        widths[min(wanting, key=widths.__getitem__)] += 1
    return widths


def _lines(
    columns: Sequence[Sequence[str]], widths: Sequence[int], numeric: Sequence[bool]
) -> Iterator[str]:
    for row in zip(*columns, strict=True):
        parts = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in range(max(map(len, parts))):
            padded = (
                (text.rjust if right else text.ljust)(width)
                for part, width, right in zip(parts, widths, numeric, strict=True)
                for text in [part[line] if line < len(part) else ""]
            )
            yield _GAP.join(padded).rstrip()


def _broken(cell: str, width: int) -> list[str]:
    """A cell in lines that fit; as it is where it does."""
    if len(cell) <= width:
        return [cell]
    return [
        line for part in cell.split("\n") for line in textwrap.wrap(part, max(1, width)) or [""]
    ]
