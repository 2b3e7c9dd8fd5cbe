"""Alpaca, ShareGPT, OpenAI messages, prompt/completion, question/answer -> Example.

A row is recognised by its fields. What can't be an example is refused with the reason
and the field: nothing is guessed into shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from workbench.data.example import ROLES, Example, Message

Row = dict[str, Any]

_ROLE_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "observation": "tool",
    "function_response": "tool",
    **{role: role for role in ROLES},
}
"""What ShareGPT's descendants call the roles."""

END_MARKERS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "</s>", "<eos>")
"""Another template's end of a response, left in the data. The run's own template adds the
right one; this one would be learnt as text."""

_OWN_FIELDS = ("task", "system")


class RowError(Exception):
    """A row that can't be an example; the message says which field and why."""


def to_examples(row: Any, *, task: str = "", source: str = "") -> list[Example]:
    """The examples of one row; only self-instruct's rows hold several.

    Raises RowError with the field and the reason.
    """
    if not isinstance(row, dict):
        raise RowError(f"it is {_kind(row)}, not an object with fields")
    fields, convert = _recognise(row)
    extra = {k: v for k, v in row.items() if k not in fields and k not in (*_OWN_FIELDS, "split")}
    chosen = task or (row["task"] if isinstance(row.get("task"), str) else "")
    return [
        Example(messages=_checked(turns), task=chosen, source=source, extra=extra)
        for turns in convert(row)
    ]


def without_end_markers(example: Example) -> Example:
    """The example with its responses rid of a trailing end marker; itself if none has one."""
    messages = tuple(
        Message(m.role, _stripped(m.content)) if m.role == "assistant" else m
        for m in example.messages
    )
    if messages == example.messages:
        return example
    return Example(messages, example.task, example.split, example.source, example.extra)


def _stripped(text: str) -> str:
    for marker in END_MARKERS:
        if text.rstrip().endswith(marker):
            return text.rstrip().removesuffix(marker).rstrip()
    return text


Turns = list[Message]
Convert = Callable[[Row], Iterable[Turns]]


def _recognise(row: Row) -> tuple[tuple[str, ...], Convert]:
    """The fields that carry the conversation, and how it is read from them."""
    for field in ("messages", "conversations", "conversation"):
        if field in row:
            return (field,), partial(_from_turns, field=field)
    if "instances" in row and "instruction" in row:
        return ("instruction", "instances"), _from_instances
    for prompt, context, response in _PAIRS:
        if prompt in row and response in row:
            fields = tuple(name for name in (prompt, context, response) if name)
            return fields, partial(_from_pair, prompt=prompt, context=context, response=response)
    raise RowError(_unrecognised(row))


_PAIRS = (
    ("instruction", "input", "output"),
    ("instruction", "input", "response"),
    ("instruction", "context", "response"),
    ("prompt", "", "completion"),
    ("prompt", "", "response"),
    ("question", "context", "answer"),
    ("input", "", "output"),
)
"""Fields of a pair: prompt, what it is about (may be absent), response."""


def _unrecognised(row: Row) -> str:
    present = ", ".join(map(str, list(row)[:8])) or "none"
    for prompt, _, response in _PAIRS:
        if prompt in row:
            return (
                f"there is no response beside `{prompt}` (such as `{response}`); it has {present}"
            )
        if response in row:
            return f"there is no prompt beside `{response}` (such as `{prompt}`); it has {present}"
    return (
        f"its fields are of no known format: {present}; known are messages, conversations, "
        "instruction/output, prompt/completion, question/answer"
    )


def _from_pair(row: Row, prompt: str, context: str, response: str) -> Iterable[Turns]:
    text = _text(row, prompt)
    if context and row.get(context) not in (None, ""):
        text = f"{text}\n\n{_text(row, context)}"
    yield [*_system(row), Message("user", text), Message("assistant", _text(row, response))]


def _from_instances(row: Row) -> Iterable[Turns]:
    instances = row["instances"]
    if not isinstance(instances, list) or not instances:
        raise RowError("`instances` is not a list with something in it")
    for number, instance in enumerate(instances):
        if not isinstance(instance, dict) or "output" not in instance:
            raise RowError(f"`instances[{number}].output`: there is no response")
        pair = {**row, "input": instance.get("input", ""), "output": instance["output"]}
        yield from _from_pair(pair, "instruction", "input", "output")


def _from_turns(row: Row, field: str) -> Iterable[Turns]:
    turns = row[field]
    if not isinstance(turns, list) or not turns:
        raise RowError(f"`{field}` is not a list of turns with something in it")
    messages = [_turn(turn, f"{field}[{number}]") for number, turn in enumerate(turns)]
    if messages[0].role != "system":
        messages = [*_system(row), *messages]
    yield messages


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise RowError(f"`{where}` is {_kind(turn)}, not a turn with role and content")
    role_field = "from" if "from" in turn else "role"
    text_field = "value" if "value" in turn else "content"
    role = turn.get(role_field)
    if role not in _ROLE_NAMES:
        raise RowError(f"`{where}.{role_field}` is {role!r}, which is no known role")
    if turn.get("tool_calls") and not turn.get(text_field):
        raise RowError(f"`{where}.tool_calls`: turns that call tools can't be imported yet")
    if text_field not in turn:
        raise RowError(f"`{where}` has no content")
    return Message(_ROLE_NAMES[role], _as_text(turn[text_field], f"{where}.{text_field}"))


def _system(row: Row) -> Turns:
    if row.get("system") in (None, ""):
        return []
    return [Message("system", _text(row, "system"))]


def _text(row: Row, field: str) -> str:
    return _as_text(row[field], field)


def _as_text(value: Any, where: str) -> str:
    if isinstance(value, list) and all(
        isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str)
        for p in value
    ):
        # OpenAI's content parts.
        return "".join(part["text"] for part in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(f"`{where}` is {_kind(value)}, not text")
    return str(value)


def _checked(turns: Turns) -> tuple[Message, ...]:
    """The turns, if one can learn from them."""
    spoken = [m for m in turns if m.role != "tool"]
    for number, message in enumerate(spoken):
        if message.role == "system" and number > 0:
            raise RowError("a system turn stands inside the conversation")
        if message.role == "assistant" and not message.content.strip():
            raise RowError("the response is empty")
    talk = [m for m in spoken if m.role != "system"]
    if not any(m.role == "assistant" for m in talk):
        raise RowError("there is no response")
    if talk[0].role != "user":
        raise RowError("the conversation doesn't begin with the user")
    if not any(m.role == "user" and m.content.strip() for m in talk):
        raise RowError("the prompt is empty")
    if talk[-1].role != "assistant":
        raise RowError("the conversation ends without a response")
    _check_alternation(turns)
    return tuple(turns)


def _check_alternation(turns: Turns) -> None:
    last = ""
    for message in turns:
        if message.role == last and message.role in ("user", "assistant"):
            raise RowError(f"two {message.role} turns follow each other")
        last = message.role


def _kind(value: Any) -> str:
    names = {type(None): "null", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")
