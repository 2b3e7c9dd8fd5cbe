"""Why rows are not among those of a version, in groups with counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from workbench.data import repairs
from workbench.data.versions import Removed

_MOST = 200
"""Groups that are told apart; rows of further ones are counted together."""
_OTHER = "other reasons"
READ = "read"
"""The step that rows are missing since that could not be examples."""


@dataclass
class Group:
    """Rows that are missing for one reason."""

    step: str
    reason: str
    """With `N` where the rows have numbers of their own: `messages[N].content`; of a step after
    the reading the first row's, as an instance."""
    count: int = 0
    first: str = ""
    """Where the first of them stood."""
    repairs: Counter[str] = field(default_factory=Counter)
    """How many of them would be mended by which repairs; those of one row are joined by +."""

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {name: getattr(self, name) for name in ("step", "reason")}
        body |= {"count": self.count, "first": self.first}
        return {**body, "repairs": dict(self.repairs)} if self.repairs else body


class Reasons:
    """Counts rows by their reasons."""

    def __init__(self, rows: Iterable[Removed] = ()) -> None:
        self._groups: dict[tuple[str, str], Group] = {}
        self.mendable: Counter[str] = Counter()
        """How many rows would be mended by which repairs."""
        for row in rows:
            self.add(row)

    def add(self, row: Removed) -> None:
        # A step's reasons name other rows: what they have in common is the step.
        key = (row.step, re.sub(r"\d+", "N", row.reason) if row.step == READ else "")
        if key not in self._groups and len(self._groups) >= _MOST:
            key = (row.step, _OTHER)
        group = self._groups.setdefault(key, Group(*key))
        group.reason = group.reason or f"such as: {row.reason}"
        group.count += 1
        group.first = group.first or row.source
        if row.repairs:
            named = "+".join(row.repairs)
            group.repairs[named] += 1
            self.mendable[named] += 1

    @property
    def groups(self) -> list[Group]:
        """The largest first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)

    def to_json(self) -> list[dict[str, Any]]:
        return [group.to_json() for group in self.groups]

    def offer(self, repair: str) -> str:
        """What repairs would do for the rows, and how they are asked for: by `repair`. Empty
        where none would."""
        if not self.mendable:
            return ""
        ways = "; ".join(f"{count:,} by {name}" for name, count in self.mendable.most_common())
        kinds = dict.fromkeys(kind for name in self.mendable for kind in name.split("+"))
        words = "; ".join(f"{kind} {repairs.does(kind)}" for kind in kinds)
        return f"{repair} would mend {self.mendable.total():,} of them: {ways}. ({words}.)"
