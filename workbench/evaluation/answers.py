"""Answers, how they are drawn, and the files that keep them a line at a time.

Plain Python: whoever reads answers needs no torch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation.kept import KeptFile


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. As it comes: the likeliest one."""

    max_new_tokens: int
    temperature: float = 0.0
    """0: greedy, and nothing below counts."""
    top_p: float = 1.0
    """Of the likeliest tokens as many as have this probability together (nucleus sampling,
    Holtzman et al. 2020); 1: all."""
    top_k: int = 0
    """Of the likeliest tokens so many (Fan et al. 2018); 0: all."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises WorkbenchError for what can't be."""
        wrong = [
            name
            for name, fits in (
                ("max_new_tokens must be at least 1", self.max_new_tokens >= 1),
                ("temperature must be from 0 to 10", 0 <= self.temperature <= 10),
                ("top_p must be over 0 and at most 1", 0 < self.top_p <= 1),
                ("top_k must be at least 0", self.top_k >= 0),
                ("seed must be at least 0", self.seed >= 0),
            )
            if not fits
        ]
        if wrong:
            raise WorkbenchError(f"These answers can't be drawn: {'; '.join(wrong)}.")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def seed_of(self, key: str) -> int:
        """What the random numbers of one prompt begin with: its own, whichever prompts are
        answered with it and in whatever order."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}:{key}".encode()).digest()[:8])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a prompt."""

    text: str
    tokens: int
    """Without that of its end."""
    stopped: bool
    """It ended by itself, not at the longest length."""
    seconds: float = field(default=0.0, compare=False)
    """Its share of the time that the rows of its batch took together: these add up."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens to be answered."""

    key: str
    """Its answer's name in the file, and what its random numbers come from."""
    ids: Sequence[int]


def prompts(rows: Sequence[Sequence[int]]) -> list[Prompt]:
    """Prompts with keys by what they say: SHA-256 of the tokens and, where a prompt comes again,
    how often it came before. No place among the rows is in it."""
    came: Counter[str] = Counter()
    found = []
    for ids in rows:
        digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
        found.append(Prompt(f"{digest}-{came[digest]}" if came[digest] else digest, ids))
        came[digest] += 1
    return found


class AnswerFile:
    """The answers of one system, drawn in one way: a `KeptFile` of them."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """`identity` is all that decides an answer, in plain JSON."""
        self._file = KeptFile(folder, identity)
        self.id, self.path = self._file.id, self._file.path

    def read(self) -> dict[str, Answer]:
        """The answers so far, by the prompt's key. Raises WorkbenchError when the file can't be
        read."""
        found = ((key, _answer(body)) for key, body in self._file.read().items())
        return {key: answer for key, answer in found if answer is not None}

    @contextmanager
    def appending(self) -> Iterator[Callable[[str, Answer], None]]:
        """Gives what appends the answer of a prompt, by its key. Raises WorkbenchError when it
        can't be written."""
        with self._file.appending() as append:
            yield lambda key, answer: append(key, asdict(answer))


def _answer(body: dict[str, Any]) -> Answer | None:
    try:
        return Answer(**body)
    except TypeError:
        return None
