"""Where everything stands in a YAML text: nodes, aliases and comments, by position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")
_COMMENT = re.compile(r"#[^\r\n]*")


@dataclass(slots=True)
class Place:
    """A node of a YAML text. Positions count characters from its beginning."""

    kind: str
    """`scalar`, `sequence`, `mapping` or `alias`."""
    start: int
    """Where it begins, its anchor and tag included."""
    end: int
    """Where its last sign ends; comments after it are not its own."""
    path: tuple[str | int, ...]
    """Keys and numbers that lead to it."""
    value: str = ""
    """A scalar's text."""
    style: str = ""
    """A scalar's: quotes, `|` or `>`; `flow` or `block` of a collection."""
    anchor: str = ""
    """Its name for others; of an alias, theirs."""
    entries: list[tuple[Place, Place]] = field(default_factory=list)
    """A mapping's keys and values."""
    items: list[Place] = field(default_factory=list)
    """What a sequence holds."""

    @property
    def children(self) -> Iterator[Place]:
        """What is in it, in the order of the text."""
        for key, value in self.entries:
            yield key
            yield value
        yield from self.items

    @property
    def everything(self) -> Iterator[Place]:
        """It and all that is in it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.everything

    @property
    def is_block(self) -> bool:
        """Whether it is a collection by lines and indentation."""
        return self.style == "block"

    def entry(self, name: str) -> tuple[Place, Place] | None:
        """The key and the value that a mapping itself has by a name."""
        return next((e for e in self.entries if e[0].value == name), None)


class Text:
    """A YAML text with one document or none, and where everything stands in it.

    Raises yaml.YAMLError when it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.end = len(text)
        """Where its document ends, so that something can follow."""
        self.root: Place | None = None
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.root = self._place(events, next(events), ())
            elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                self.end = _index(event.start_mark)
        self.comments = list(self._comments())
        """Start and end of each."""

    def line_start(self, position: int) -> int:
        """The beginning of a position's line."""
        return self.text.rfind("\n", 0, position) + 1

    def line_end(self, position: int) -> int:
        """The end of a position's line, before what breaks it."""
        end = self.text.find("\n", position)
        end = len(self.text) if end < 0 else end
        return end - 1 if end > position and self.text[end - 1] == "\r" else end

    def indent(self, position: int) -> str:
        """What a position's line begins with before its first sign."""
        line = self.text[self.line_start(position) : self.line_end(position)]
        return line[: len(line) - len(line.lstrip())]

    def content(self, place: Place) -> int:
        """Where a node begins after its anchor and tag."""
        found = _PROPERTIES.match(self.text, place.start, place.end)
        return found.end() if found else place.start

    def comments_in(self, start: int, end: int) -> list[str]:
        """The comments that begin between two positions."""
        return [self.text[a:b] for a, b in self.comments if start <= a < end]

    def _place(
        self, events: Iterator[yaml.Event], event: yaml.Event, path: tuple[str | int, ...]
    ) -> Place:
        start, end = _index(event.start_mark), _index(event.end_mark)
        anchor = getattr(event, "anchor", None) or ""
        if isinstance(event, yaml.AliasEvent):
            return Place("alias", start, end, path, anchor=anchor)
        if isinstance(event, yaml.ScalarEvent):
            end = start + len(self.text[start:end].rstrip())
            return Place("scalar", start, end, path, event.value, event.style or "", anchor)
        style = "flow" if getattr(event, "flow_style", False) else "block"
        kind = "sequence" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        place = Place(kind, start, end, path, style=style, anchor=anchor)
        while not isinstance(inner := next(events), yaml.CollectionEndEvent):
            if kind == "sequence":
                place.items.append(self._place(events, inner, (*path, len(place.items))))
                continue
            key = self._place(events, inner, (*path, ""))
            value = self._place(events, next(events), (*path, key.value))
            place.entries.append((key, value))
        # A block's own end mark is where the next token begins, beyond the comments after it.
        last = list(place.children)[-1:]
        place.end = _index(inner.end_mark) if style == "flow" else last[0].end if last else end
        return place

    def _comments(self) -> Iterator[tuple[int, int]]:
        """Between two tokens there is nothing but white space and comments."""
        before = 0
        for token in yaml.scan(self.text, Loader=yaml.SafeLoader):
            start, end = _index(token.start_mark), _index(token.end_mark)
            yield from self._comments_between(before, start)
            if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
                yield from self._comments_between(start, min(self.line_end(start), end))
            before = max(before, end)
        yield from self._comments_between(before, len(self.text))

    def _comments_between(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for found in _COMMENT.finditer(self.text, start, end):
            yield found.span()


def _index(mark: Any) -> int:
    return int(mark.index)
