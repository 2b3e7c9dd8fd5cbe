"""What a check found out about rows: written beside them, and nothing is changed.

Every check is a module of one shape: `NAME`, `VERSION` (raised with each change that finds other
things), `KINDS` (of all findings that it can have), a frozen dataclass `Options`, and
`annotate(rows, options, tell=…)`, which yields findings in the order of the rows. The same
rows and options give the same findings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data.example import Example
from workbench.jobs.progress import Tell, watched


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a row that a finding is about."""

    where: str
    """`messages[1].content`, or `text` of a plain one; `extra.contact` of a field beside them."""
    start: int
    """Counted in characters from 0."""
    end: int
    label: str
    """The rule or the list that they hit."""

    def to_json(self) -> dict[str, Any]:
        return {"where": self.where, "start": self.start, "end": self.end, "label": self.label}


@dataclass(frozen=True, slots=True)
class Other:
    """The row that a finding compares a row with."""

    row: int
    """From 0."""
    dataset: str = ""
    """`NAME@VERSION`; empty for the dataset that was looked through."""
    spans: tuple[Span, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """With rows counted from 1, as people do."""
        spans = [span.to_json() for span in self.spans]
        return {"row": self.row + 1, "dataset": self.dataset, "spans": spans}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found out about one row."""

    row: int
    """From 0."""
    kind: str
    """What it is, such as `near-duplicate` or `email`: what `flag:` asks for."""
    reason: str
    """In words, for a person."""
    score: float | None = None
    """How sure or how strong, where the check has a number for it."""
    spans: tuple[Span, ...] = ()
    other: Other | None = None

    def to_json(self) -> dict[str, Any]:
        """The line of a findings file; rows are counted from 1, and empty fields left out."""
        body: dict[str, Any] = {"row": self.row + 1, "kind": self.kind, "reason": self.reason}
        if self.score is not None:
            body["score"] = round(self.score, 4)
        if self.spans:
            body["spans"] = [span.to_json() for span in self.spans]
        if self.other is not None:
            body["other"] = self.other.to_json()
        return body

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Finding:
        """The inverse of `to_json`. Raises KeyError or TypeError for what it can't have written."""
        other = body.get("other")
        return cls(
            row=body["row"] - 1,
            kind=body["kind"],
            reason=body["reason"],
            score=body.get("score"),
            spans=_spans(body.get("spans", ())),
            other=None
            if other is None
            else Other(other["row"] - 1, other["dataset"], _spans(other["spans"])),
        )


def _spans(bodies: Iterable[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(**body) for body in bodies)


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a row, with the place that spans name."""

    where: str
    role: str
    """A turn's role, `call` for what a tool is called with, or `text`; of what stands beside these
    `extra` or `tools`."""
    text: str


def parts(example: Example) -> Iterator[Part]:
    """The texts of a row: each turn's, what tools are called with, or the plain text."""
    if example.text:
        yield Part("text", "text", example.text)
    for number, message in enumerate(example.messages):
        if message.content or not message.calls:
            yield Part(f"messages[{number}].content", message.role, message.content)
        for place, call in enumerate(message.calls):
            yield Part(f"messages[{number}].tool_calls[{place}].arguments", "call", call.arguments)


def parts_beside(example: Example) -> Iterator[Part]:
    """The texts of a row's extra fields and of what it says of its tools, however deep."""
    for where, text in _texts(example.extra, "extra"):
        yield Part(where, "extra", text)
    if example.tools:
        for where, text in _texts(json.loads(example.tools), "tools"):
            yield Part(where, "tools", text)


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    for place, inner in places_in(value, where):
        yield from _texts(inner, place)


def places_in(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The values of an object or a list that stands at a place, each with its own."""
    if isinstance(value, dict):
        for name, inner in value.items():
            plain = name.isidentifier()
            yield (f"{where}.{name}" if plain else f"{where}[{json.dumps(name)}]"), inner
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield f"{where}[{number}]", inner


Look = Callable[[int, Example], Iterable[Finding]]
"""Takes a row's number, from 0, and the row."""


def row_by_row(rows: Sequence[Example], look: Look, phase: str, tell: Tell) -> Iterator[Finding]:
    """The findings of a check that looks at each row alone."""
    for number, example in enumerate(watched(rows, phase, tell)):
        yield from look(number, example)
