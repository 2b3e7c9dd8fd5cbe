"""The lowest validation loss of a run, and how long it has been."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Best:
    """Of the validations after the first step: what stands before it is the base's."""

    step: int = 0
    """0 while there is none."""
    loss: float = math.inf
    since: int = 0
    """Validations after it, none of which was lower."""

    def take(self, step: int, loss: float) -> bool:
        """Take up a validation; returns whether it is the best so far."""
        if loss < self.loss:
            self.step, self.loss, self.since = step, loss, 0
            return True
        self.since += 1
        return False

    def to_json(self) -> dict[str, Any]:
        return asdict(self) if self.step else {}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Best:
        return cls(**body)
