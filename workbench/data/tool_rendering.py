"""Calls of tools in the text of a chat template: where a turn that makes some ends, and the proof
that the template has written them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from workbench.data.example import Example, Message, ToolCall
from workbench.data.masking import MaskError

_OTHER = "other"


def shown(message: Message) -> dict[str, Any]:
    """A turn as templates expect it: as OpenAI writes it, but with the arguments as an object."""
    body = message.to_json()
    if message.calls:
        body["tool_calls"] = [
            {**call.to_json(), "function": call.function} for call in message.calls
        ]
    return body


def call_end(text: str, start: int, message: Message, special: Collection[str]) -> int:
    """The end, with its marker, of a turn that calls tools and begins at `start`; nothing but
    white space may follow it in `text`.

    How a call is written is the template's own affair: all of it is learnt. Raises MaskError
    where no special token ends the turn, or what it says beside the calls isn't there.
    """
    turn = text[start:].rstrip()
    if not any(turn.endswith(marker) for marker in special if marker.strip()):
        raise MaskError("the chat template puts no end marker after a call of a tool")
    if message.content.strip() not in turn:
        raise MaskError("the chat template leaves out what is said before a call of a tool")
    return start + len(turn)


def check_kept(example: Example, text: str, render: Callable[..., str]) -> None:
    """Raises MaskError when the tools of an example, or a name or the arguments of a call, are
    not in `text`: templates that don't know of tools pass over them without a word."""
    if example.tools and render(example.messages) == text:
        raise MaskError("the chat template leaves out the tools that the row offers")
    for place, message in enumerate(example.messages):
        for number, call in enumerate(message.calls):
            changed = (
                ("name", replace(call, name=f"{call.name}{_OTHER}")),
                ("arguments", _with_more(call)),
            )
            for what, other in changed:
                calls = (*message.calls[:number], other, *message.calls[number + 1 :])
                turn = replace(message, calls=calls)
                turns = [*example.messages[:place], turn, *example.messages[place + 1 :]]
                if render(turns, tools=example.tools) == text:
                    raise MaskError(f"the chat template leaves out the {what} of a call of a tool")


def _with_more(call: ToolCall) -> ToolCall:
    arguments = {**json.loads(call.arguments), _OTHER: _OTHER}
    return replace(call, arguments=json.dumps(arguments))
