"""Answers, how they are drawn, and the files that keep them a line at a time.

Plain Python: whoever reads answers needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_VERSION = 1


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
    """The answers of one system, drawn in one way: `FOLDER/ID.jsonl`.

    ID is the SHA-256 over all that decides an answer, which the file's first line holds; so what
    is changed has another file, and nothing is ever mixed. Each other line is an answer, written
    by one `write`: a process that is killed loses at most the one it was at. Several may append
    at the same time.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """`identity` is plain JSON."""
        told = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        self.id = hashlib.sha256(told.encode()).hexdigest()
        self.path = folder / f"{self.id}.jsonl"
        self._head = _line({"v": _VERSION, "identity": identity})

    def read(self) -> dict[str, Answer]:
        """The answers so far, by the prompt's key. What a killed process left half is passed
        over. Raises WorkbenchError when the file can't be read."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise explain_os_error(error, f"read {self.path}") from error
        found = (_parse(line) for line in lines)
        return dict(filter(None, found))

    @contextmanager
    def appending(self) -> Iterator[Callable[[str, Answer], None]]:
        """Gives what appends the answer of a prompt, by its key. Raises WorkbenchError when it
        can't be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error
        try:
            size = os.fstat(handle).st_size
            if not size:
                self._write(handle, self._head)
            elif os.pread(handle, 1, size - 1) != b"\n":
                # What another was killed at becomes a line of its own.
                self._write(handle, b"\n")
            yield lambda key, answer: self._write(handle, _line({"row": key, **asdict(answer)}))
        finally:
            os.close(handle)

    def _write(self, handle: int, line: bytes) -> None:
        try:
            written = os.write(handle, line)
            if written < len(line):  # the disk is full: the next write says so
                os.write(handle, line[written:])
        except OSError as error:
            raise explain_os_error(error, f"write {self.path}") from error


def _line(body: dict[str, Any]) -> bytes:
    # In ASCII: a text may hold half of a surrogate pair, and line separators of Unicode.
    return json.dumps(body).encode() + b"\n"


def _parse(line: bytes) -> tuple[str, Answer] | None:
    try:
        body = json.loads(line)
        return str(body.pop("row")), Answer(**body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
