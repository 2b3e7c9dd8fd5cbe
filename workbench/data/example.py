"""An example: what one row of a dataset is, whatever format it came in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, as an assistant's turn makes it."""

    name: str
    arguments: str
    """A JSON object as text, with its fields in the order of the data."""
    id: str = ""

    @property
    def function(self) -> dict[str, Any]:
        """Name and arguments, those as an object."""
        return {"name": self.name, "arguments": json.loads(self.arguments)}

    def to_json(self) -> dict[str, Any]:
        """As OpenAI writes it: the arguments as text, which keeps the order of their fields."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"type": "function", **({"id": self.id} if self.id else {}), "function": function}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ToolCall:
        """The inverse of `to_json`."""
        function = body["function"]
        return cls(function["name"], function["arguments"], body.get("id", ""))


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str
    calls: tuple[ToolCall, ...] = ()
    """The tools that an assistant's turn calls, after what it says."""
    call_id: str = ""
    """Of a tool's turn: the call that it answers."""
    name: str = ""
    """Of a tool's turn: which tool."""

    @property
    def written(self) -> str:
        """All that the turn says, with its calls as JSON: what a person or a metric compares."""
        if not self.calls:
            return self.content
        calls = (json.dumps(call.function, ensure_ascii=False) for call in self.calls)
        return "\n".join(text for text in (self.content, *calls) if text)

    def to_json(self) -> dict[str, Any]:
        """As OpenAI writes it; empty fields are left out, but for the content."""
        body: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.calls:
            body["tool_calls"] = [call.to_json() for call in self.calls]
        if self.call_id:
            body["tool_call_id"] = self.call_id
        if self.name:
            body["name"] = self.name
        return body

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Message:
        """The inverse of `to_json`."""
        if len(body) == 2:  # nearly all are: millions of rows come by here
            return cls(body["role"], body["content"])
        calls = tuple(map(ToolCall.from_json, body.get("tool_calls", ())))
        named = (body.get("tool_call_id", ""), body.get("name", ""))
        return cls(body["role"], body["content"], calls, *named)


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

    tools: str = ""
    """The tools that the assistant may call: a JSON list of functions as OpenAI describes them,
    as text, with the fields in the order of the data, in which a template writes them."""

    @property
    def content(self) -> tuple[Message | str, ...] | str:
        """What is learnt from, the turns or the text: the same for exact duplicates."""
        if self.tools:
            return (*self.messages, self.tools)
        return self.text or self.messages

    @property
    def id(self) -> str:
        """What a recipe names the row by: 16 hexadecimal digits that stand for what is learnt
        from it, wherever it stands and whichever split it is in."""
        content = self.text or [
            *(message.to_json() for message in self.messages),
            *([self.tools] if self.tools else []),
        ]
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
        return next((m.written for m in reversed(self.messages) if m.role == "assistant"), "")

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
        if self.tools:
            row["tools"] = self.tools
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
            messages=tuple(map(Message.from_json, turns)),
            task=row.get("task", ""),
            split=row.get("split", "train"),
            source=row.get("source", ""),
            extra=row.get("extra", {}),
            text=text,
            tools=row.get("tools", ""),
        )
