"""What the verdict of a dataset and the gate before a run say: findings of one shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

RED, YELLOW, OK = "red", "yellow", "ok"
"""Stops a run unless the config accepts it by name; to be looked at; nothing found."""
LISTED = 5
"""Rows that a finding names; the count says how many there are."""


@dataclass(frozen=True, slots=True)
class GateFinding:
    """One thing that was looked for in a dataset, and what came of it."""

    name: str
    """Stable: what `accept` takes."""
    level: str
    """RED, YELLOW or OK."""
    count: int
    """Rows that it is about."""
    total: int
    """Rows that were looked at."""
    text: str
    """What was found, a sentence for a person."""
    rows: tuple[str, ...] = ()
    """The first of them in words, each with its number from 1, its source and the reason."""
    numbers: tuple[int, ...] = ()
    """The numbers of these, from 1."""
    see: str = ""
    """The command that shows them all."""
    advice: str = ""
    """What to do."""
    acceptable: bool = True
    """Whether `accept` can let a run start all the same."""

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        return {**body, "rows": list(self.rows), "numbers": list(self.numbers)}

    def lines(self) -> Iterator[str]:
        """The finding as a few lines; what data says in them is as it is."""
        yield f"{self.name}: {self.text}"
        yield from (f"  {row}" for row in self.rows)
        if self.rows and (more := self.count - len(self.rows)) > 0:
            yield f"  and {more:,} more"
        if self.see:
            yield f"  see them: {self.see}"


def reds(findings: Iterable[GateFinding]) -> list[GateFinding]:
    """Those that stop a run."""
    return [finding for finding in findings if finding.level == RED]


def count_of(count: int, what: str) -> str:
    """`1 row`, `1,200 training rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
