"""The fault matrix: cases of many trials each, counted, and told in one table.

A few trials of a case by default, all of them with WORKBENCH_FAULTS=full (`make faults`).
WORKBENCH_FAULTS_SEED sets the seed of every random moment.
"""

from __future__ import annotations

import os
import random
import secrets
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

FULL = os.environ.get("WORKBENCH_FAULTS") == "full"
SEED = os.environ.get("WORKBENCH_FAULTS_SEED") or (str(secrets.randbelow(10**6)) if FULL else "1")
_ENOUGH_FAILURES = 3
"""Failed trials after which a case is given up: most wait for a deadline."""

_T = TypeVar("_T")


class Chance(random.Random):
    """The random choices of one trial, and what is to be counted of it."""

    def __init__(self, case: Case, number: int) -> None:
        super().__init__(f"{SEED}/{case.name}/{number}")
        self.number = number
        self._case = case

    def note(self, what: str, count: int = 1) -> None:
        """Count something that the table tells of the case, such as where a kill has hit."""
        self._case.notes[what] += count


@dataclass
class Case:
    """A line of the table."""

    name: str
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)

    def cells(self) -> tuple[str, ...]:
        notes = ", ".join(f"{count} {what}" for what, count in self.notes.items())
        failed = len(self.failures)
        trials = str(self.passed + failed)
        return self.name, trials, str(self.passed), str(failed), f"{self.seconds:.0f} s", notes


TITLE = "fault matrix"
CASES: list[Case] = []
"""Those that were tried, in their order."""
HEADERS = ("case", "trials", "passed", "failed", "time", "of which")


def play(name: str, trial: Callable[[Chance], None], *, few: int, many: int) -> None:
    """Try a case `few` times, or `many` in the full matrix; fails when a trial failed."""
    if not few and not FULL:
        pytest.skip("in the whole matrix only: make faults")
    play_each(name, lambda chance, _: trial(chance), range(many if FULL else few))


def play_each(
    name: str,
    trial: Callable[[Chance, _T], None],
    values: Iterable[_T],
    *,
    few: int | None = None,
) -> None:
    """Try a case once with each value; with `few`, only so many of them but in the full matrix."""
    case = Case(name)
    CASES.append(case)
    for number, value in enumerate(_some(name, list(values), few)):
        began = time.monotonic()
        try:
            trial(Chance(case, number), value)
            case.passed += 1
        except (Exception, pytest.fail.Exception):
            case.failures.append(f"trial {number} ({value!r}):\n{traceback.format_exc()}")
        case.seconds += time.monotonic() - began
        if len(case.failures) >= _ENOUGH_FAILURES:
            break
    if case.failures:
        pytest.fail(f"seed {SEED}: {name}\n" + "\n".join(case.failures), pytrace=False)


def _some(name: str, values: list[_T], few: int | None) -> Sequence[_T]:
    if FULL or few is None or len(values) <= few:
        return values
    chosen = sorted(random.Random(f"{SEED}/{name}").sample(range(len(values)), few))
    return [values[place] for place in chosen]


def table() -> str:
    """The cases as a table that is Markdown, too."""
    rows = [HEADERS, *(case.cells() for case in CASES)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADERS))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    trials = sum(case.passed + len(case.failures) for case in CASES)
    failed = sum(len(case.failures) for case in CASES)
    part = "the whole matrix" if FULL else "a part of the matrix (make faults plays the whole)"
    total = f"{len(CASES)} cases, {trials} trials, {failed} failed; seed {SEED}; {part}"
    return "\n".join([*lines, "", total])
