"""What is different between two dataset versions, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.data.example import Example
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.data.word_diff import Piece, word_diff

What = Literal["added", "removed", "changed", "moved"]
KINDS: tuple[What, ...] = ("added", "removed", "changed", "moved")


@dataclass(frozen=True, slots=True)
class Change:
    """One row that is not the same in both versions."""

    what: What
    """`moved` if only its split or its task is another."""
    before: Example | None
    after: Example | None

    def pieces(self) -> list[Piece]:
        """What changed in the row's text."""
        return word_diff(*(_text(e) if e else "" for e in (self.before, self.after)))

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"what": self.what}
        for name, example in (("before", self.before), ("after", self.after)):
            if example is not None:
                body[name] = example.to_json()
        if self.what == "changed":
            body["diff"] = [list(piece) for piece in self.pieces()]
        return body


@dataclass
class Diff:
    """All that is different."""

    rows: tuple[int, int]
    same: int = 0
    changes: list[Change] = field(default_factory=list)

    def count(self, what: What) -> int:
        return sum(change.what == what for change in self.changes)


def compare(before: Version, after: Version) -> Diff:
    """The rows that only one version has, those that were rewritten, and those that went to
    another split or task.

    Rows are the same if what is learnt from them is. A row that only the second version has was
    rewritten if one that only the first has comes from the same source. Keeps the rows that are
    different, and some 200 bytes for each of the others.
    """
    first, second = Table(before.data_path), Table(after.data_path)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(first):
        places.setdefault(row.id, []).append(place)
    diff = Diff((len(first), len(second)))
    came: list[Example] = []
    for row in second:
        if not (same := places.get(row.id)):
            came.append(row)
            continue
        old = first[same.pop(0)]
        if (old.split, old.task) == (row.split, row.task):
            diff.same += 1
        else:
            diff.changes.append(Change("moved", old, row))
    gone = [first[place] for place in sorted(p for left in places.values() for p in left)]
    diff.changes += _paired(gone, came)
    return diff


def _paired(gone: list[Example], came: list[Example]) -> Iterator[Change]:
    by_source: dict[str, list[Example]] = {}
    for row in gone:
        by_source.setdefault(row.source, []).append(row)
    rewritten = set()
    for row in came:
        old = by_source[row.source].pop(0) if row.source and by_source.get(row.source) else None
        if old is None:
            yield Change("added", None, row)
        else:
            rewritten.add(id(old))
            yield Change("changed", old, row)
    yield from (Change("removed", row, None) for row in gone if id(row) not in rewritten)


def _text(example: Example) -> str:
    return example.text or "\n".join(f"{m.role}: {m.written}" for m in example.messages)
