"""What went wrong while outputs were scored, counted by what it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHOWN = 5
"""Rows that are named."""


@dataclass(slots=True)
class Problems:
    """Outputs that a metric says nothing of, though it should."""

    _found: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, measure: str, what: str, row: str, system: str) -> None:
        """One output, of which `measure` says nothing since it `what`."""
        self._found.setdefault((measure, what), []).append((row, system))

    def to_json(self) -> list[dict[str, Any]]:
        """By measure and what it was, with how many outputs and the first rows."""
        return [
            {
                "measure": measure,
                "what": what,
                "outputs": len(places),
                "rows": list(dict.fromkeys(row for row, _ in places))[:_SHOWN],
                "systems": sorted({system for _, system in places}),
            }
            for (measure, what), places in self._found.items()
        ]
