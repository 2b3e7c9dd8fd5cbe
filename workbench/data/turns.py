"""Turns on their way to an example: each with the field it was read from, checked together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data.example import ROLES, Message, ToolCall

ROLE_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "function": "tool",
    "developer": "system",
    **{role: role for role in ROLES},
}
"""What ShareGPT's descendants and OpenAI call the roles."""

END_MARKERS = (
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
)
"""Another template's end of a response, left in the data. The run's own template adds the
right one; this one would be learnt as text."""

UNRECOGNISED = "unrecognised"
"""The fault of rows whose fields are of no known format: they take a mapping."""
BARE_LIST = "bare list"
SYSTEM_INSIDE = "system inside"
BEGINS_OTHERWISE = "begins otherwise"
ENDS_OPEN = "ends open"
REPEATED = "repeated"
"""Faults that a repair is known for."""


class RowError(Exception):
    """A row that can't be an example; the message says which field and why."""

    def __init__(self, message: str, fault: str = "") -> None:
        """`fault` is one of those that a repair is known for, else empty."""
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn with the field that it was read from."""

    where: str
    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    """Of a tool's turn: the call that it answers."""
    name: str = ""
    """Of a tool's turn: which tool."""

    @property
    def message(self) -> Message:
        return Message(self.role, self.content, self.calls, self.call_id, self.name)


def checked(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """The turns as messages, if one can learn from them. Raises RowError."""
    spoken = [turn for turn in turns if turn.role != "tool"]
    for number, turn in enumerate(spoken):
        if turn.role == "system" and number > 0:
            raise RowError(
                f"`{turn.where}`: a system turn stands inside the conversation", SYSTEM_INSIDE
            )
        if turn.role == "assistant" and not (turn.calls or stripped(turn.content).strip()):
            raise RowError(f"`{turn.where}`: the response is empty")
    talk = [turn for turn in spoken if turn.role != "system"]
    where = turns[-1].where
    if not any(turn.role == "assistant" for turn in talk):
        raise RowError(f"`{where}`: there is no response")
    if talk[0].role != "user" or turns[0].role == "tool":
        raise RowError(
            f"`{talk[0].where}`: the conversation doesn't begin with the user", BEGINS_OTHERWISE
        )
    if not any(turn.role == "user" and turn.content.strip() for turn in talk):
        raise RowError(f"`{talk[0].where}`: the prompt is empty")
    if turns[-1].role != "assistant":
        raise RowError(f"`{where}`: the conversation ends without a response", ENDS_OPEN)
    for before, turn in itertools.pairwise(turns):
        if before.role == turn.role and turn.role in ("user", "assistant"):
            raise RowError(f"`{turn.where}`: two {turn.role} turns follow each other", REPEATED)
    return tuple(turn.message for turn in turns)


def stripped(text: str) -> str:
    """The text without a trailing end marker."""
    while (bare := text.rstrip()).endswith(END_MARKERS):
        marker = next(marker for marker in END_MARKERS if bare.endswith(marker))
        text = bare.removesuffix(marker).rstrip()
    return text


def as_text(value: Any, where: str) -> str:
    """A field as text. Raises RowError for what is none."""
    if isinstance(value, list) and all(
        isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str)
        for p in value
    ):
        # OpenAI's content parts.
        return "".join(part["text"] for part in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(f"`{where}` is {kind(value)}, not text")
    return str(value)


def kind(value: Any) -> str:
    """What a value of JSON is, in words."""
    names = {type(None): "null", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")
