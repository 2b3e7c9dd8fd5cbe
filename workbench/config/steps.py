"""What an optimiser step takes: so many rows, or rows until it would have too many tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.config.schema import RunConfig, Training

if TYPE_CHECKING:
    from workbench.data.lengths import Lengths


@dataclass(frozen=True, slots=True)
class StepSize:
    """Of one of the two only; 0 stands for the other."""

    rows: int
    tokens: int
    least: int = 1
    """Rows that a step by tokens has whatever their tokens: one to a process."""

    @classmethod
    def of(cls, training: Training, processes: int = 1) -> StepSize:
        """The size that a config asks for, with its `job.processes`."""
        if training.step_tokens is not None:
            return cls(0, training.step_tokens, processes)
        return cls(training.batch_size * training.accumulation, 0)

    def most_tokens(self, longest: int) -> int:
        """Of a step, where no row has more than `longest` tokens."""
        return max(self.tokens, (self.rows or self.least) * longest)

    def in_words(self) -> str:
        """`16 rows a step`, `at most 32,768 tokens a step`."""
        if self.tokens:
            return f"at most {self.tokens:,} tokens a step"
        return f"{self.rows:,} {'row' if self.rows == 1 else 'rows'} a step"


@dataclass(frozen=True, slots=True)
class Epoch:
    """A pass over the training rows. Of steps by tokens their number is an estimate."""

    rows: int
    steps: int
    tokens: float | None
    """Of all rows; None where nobody has measured them."""

    @property
    def rows_a_step(self) -> float:
        """On average."""
        return self.rows / self.steps

    @property
    def tokens_a_step(self) -> float | None:
        """On average."""
        return None if self.tokens is None else self.tokens / self.steps


def an_epoch(config: RunConfig, rows: int, lengths: Lengths | None) -> Epoch | None:
    """What a pass over `rows` training rows is, with `lengths` those of all that there are.

    None where there is no row, and for steps by tokens of rows that nobody has measured. A step
    that is filled to a budget leaves half of E[n²]/E[n] tokens of it empty on average, n being
    the tokens of a row: the row that no longer fits is one of those that take much room (the age
    in renewal theory: Feller, An Introduction to Probability Theory and Its Applications, vol.
    II, 1971, XI.4).
    """
    size = StepSize.of(config.training, config.job.processes)
    tokens: float | None = None
    left = 0.0
    if lengths is not None and lengths.rows:
        kept = lengths.at(config.data.max_length, config.data.too_long)
        rows = min(rows, kept.rows_kept)
        if not rows:
            return None
        tokens = kept.tokens_kept * rows / kept.rows_kept
        squares = lengths.squares_at(config.data.max_length, config.data.too_long)
        left = squares / kept.tokens_kept / 2
    if not rows:
        return None
    if not size.tokens:
        return Epoch(rows, math.ceil(rows / size.rows), tokens)
    if tokens is None:
        return None
    filled = max(size.tokens - left, size.least * tokens / rows)
    return Epoch(rows, math.ceil(tokens / filled), tokens)
