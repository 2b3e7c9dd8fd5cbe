"""An example: what one row of a dataset is, whatever format it came in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str

    def to_json(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn from: an optional system turn, then user, assistant, …; or plain
    text, which has no turns."""

    messages: tuple[Message, ...] = ()
    task: str = ""
    """What kind of work it is (`summarise`, `qa`, …): the unit of mixing and of scores."""
    split: str = "train"
    """`train` or `validation`: one version holds both, so that leakage can be checked."""
    source: str = ""
    """Where it came from: `FILE:LINE` or an object's name."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields of the original row that have no place of their own; kept, never trained."""
    text: str = ""
    """Plain text of a domain, every token of which is learnt; then there are no messages."""

    @property
    def content(self) -> tuple[Message, ...] | str:
        """What is learnt from, the turns or the text: the same for exact duplicates."""
        return self.text or self.messages

    @property
    def id(self) -> str:
        """What a recipe names the row by: 16 hexadecimal digits that stand for what is learnt
        from it, wherever it stands and whichever split it is in."""
        content = self.text or [message.to_json() for message in self.messages]
        body = json.dumps(content, sort_keys=True)
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    @property
    def system(self) -> str:
        """The system turn's text, or an empty string."""
        return self._first("system")

    @property
    def instruction(self) -> str:
        """The first user turn's text."""
        return self._first("user")

    @property
    def response(self) -> str:
        """The last assistant turn's text: what an evaluation compares with; plain text has
        none."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the last assistant turn: what a model is given to answer."""
        last = max((i for i, m in enumerate(self.messages) if m.role == "assistant"), default=None)
        return self.messages if last is None else self.messages[:last]

    def _first(self, role: str) -> str:
        return next((m.content for m in self.messages if m.role == role), "")

    def to_json(self) -> dict[str, Any]:
        """The row of a dataset version's `data.jsonl`; empty fields are left out."""
        row: dict[str, Any] = (
            {"text": self.text} if self.text else {"messages": [m.to_json() for m in self.messages]}
        )
        if self.task:
            row["task"] = self.task
        row["split"] = self.split
        if self.source:
            row["source"] = self.source
        if self.extra:
            row["extra"] = self.extra
        return row

    def to_line(self) -> str:
        """The canonical line: sorted keys, no spaces, UTF-8, no line end."""
        return json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Example:
        """The inverse of `to_json`, for rows that workbench itself wrote.

        Raises KeyError, TypeError or AttributeError for others.
        """
        text = row.get("text", "")
        if not isinstance(text, str):
            raise TypeError("text")
        turns = () if text else row["messages"]
        return cls(
            messages=tuple(Message(m["role"], m["content"]) for m in turns),
            task=row.get("task", ""),
            split=row.get("split", "train"),
            source=row.get("source", ""),
            extra=row.get("extra", {}),
            text=text,
        )
