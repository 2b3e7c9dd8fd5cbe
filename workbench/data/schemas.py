"""Example -> the rows of the formats that are imported, each proved to be read back the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workbench.data.example import Example, Message
from workbench.data.formats import RowError, to_examples
from workbench.errors import WorkbenchError

Row = dict[str, Any]
_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class Unfit(Exception):
    """A row that a format can't hold; the message says why."""


def row_of(example: Example, schema: str) -> Row:
    """The row of an example in a format, with its task and its extra fields.

    Raises Unfit when the format can't hold all of it, so that it would be read back as another.
    """
    row = SCHEMAS[schema](example)
    row |= {"task": example.task} if example.task else {}
    if taken := row.keys() & example.extra.keys():
        raise Unfit(f"its extra field {min(taken)} is one of the format's own")
    row |= example.extra
    try:
        (back,) = to_examples(row)
    except RowError as error:
        raise Unfit(f"it would not be read back: {error}") from error
    if replace(back, split=example.split, source=example.source) != example:
        raise Unfit("its extra fields would be taken for those of another format")
    return row


def check(schema: str) -> None:
    """Raises WorkbenchError when there is no such format."""
    if schema not in SCHEMAS:
        raise WorkbenchError(f"There is no format {schema!a}.", f"There are {', '.join(SCHEMAS)}.")


def _rows(example: Example) -> Row:
    return _text(example) if example.text else _openai(example)


def _openai(example: Example) -> Row:
    messages = [message.to_json() for message in _turns(example)]
    return {"messages": messages, **({"tools": json.loads(example.tools)} if example.tools else {})}


def _sharegpt(example: Example) -> Row:
    turns = [_sharegpt_turn(message) for message in _turns(example)]
    return {"conversations": turns, **({"tools": example.tools} if example.tools else {})}


def _sharegpt_turn(message: Message) -> Row:
    named = {"tool_call_id": message.call_id, "name": message.name}
    turn = {"from": _SHAREGPT[message.role], "value": message.content}
    if message.calls:
        if message.content:
            raise Unfit("a turn says something beside its call of a tool")
        calls = [
            {**({"id": call.id} if call.id else {}), **call.function} for call in message.calls
        ]
        value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
        turn = {"from": "function_call", "value": value}
    return {**turn, **{name: value for name, value in named.items() if value}}


def _alpaca(example: Example) -> Row:
    system, pairs = _pairs(example)
    *history, (instruction, output) = pairs
    row: Row = {"instruction": instruction, "input": "", "output": output}
    row |= {"system": system} if system else {}
    return row | ({"history": [list(pair) for pair in history]} if history else {})


def _pair(prompt: str, response: str) -> Callable[[Example], Row]:
    def convert(example: Example) -> Row:
        system, pairs = _pairs(example)
        if system:
            raise Unfit("it has a system turn")
        if len(pairs) > 1:
            raise Unfit("it has several turns")
        return {prompt: pairs[0][0], response: pairs[0][1]}

    return convert


def _text(example: Example) -> Row:
    if not example.text:
        raise Unfit("it is a conversation, not plain text")
    return {"text": example.text}


def _turns(example: Example) -> tuple[Message, ...]:
    if example.text:
        raise Unfit("it is plain text, not a conversation")
    return example.messages


def _pairs(example: Example) -> tuple[str, list[tuple[str, str]]]:
    """The system turn, and the others as pairs. Raises Unfit for what are no pairs."""
    turns = _turns(example)
    if example.tools or any(turn.role == "tool" or turn.calls for turn in turns):
        raise Unfit("it has tools")
    talk = [turn for turn in turns if turn.role != "system"]
    return example.system, [
        (asked.content, answer.content) for asked, answer in zip(talk[::2], talk[1::2], strict=True)
    ]


SCHEMAS: dict[str, Callable[[Example], Row]] = {
    "rows": _rows,
    "openai": _openai,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _pair("prompt", "completion"),
    "question-answer": _pair("question", "answer"),
    "text": _text,
}
"""The first holds everything: conversations as `openai`, plain texts as `text`."""
