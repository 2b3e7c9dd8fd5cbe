"""Alpaca, ShareGPT, OpenAI messages, prompt/completion, question/answer, plain text -> Example.

A row is recognised by its fields. What can't be an example is refused with the reason
and the field: nothing is guessed into shape. `text` alone is plain text; beside a
conversation's fields it is what some data sets hold the same turns in once more, and is kept
among the extra ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
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


class RowError(Exception):
    """A row that can't be an example; the message says which field and why."""


def to_examples(row: Any, *, task: str = "", source: str = "") -> list[Example]:
    """The examples of one row; only self-instruct's rows hold several.

    Raises RowError with the field and the reason.
    """
    if not isinstance(row, dict):
        raise RowError(f"it is {_kind(row)}, not an object with fields")
    named = row.get("task", "")
    chosen = task or (named if isinstance(named, str) else "")
    if _is_plain(row):
        extra = {k: v for k, v in row.items() if k not in _own("text", named=named)}
        return [Example(text=_plain(row), task=chosen, source=source, extra=extra)]
    fields, convert = _recognise(row)
    extra = {k: v for k, v in row.items() if k not in _own(*fields, named=named)}
    return [
        Example(messages=_checked(turns), task=chosen, source=source, extra=extra)
        for turns in convert(row)
    ]


def _own(*fields: str, named: Any) -> tuple[str, ...]:
    """Fields that have a place of their own in an example."""
    return (*fields, "system", "split", *(["task"] if isinstance(named, str) else []))


def without_end_markers(example: Example) -> Example:
    """The example with its responses, or its text, rid of a trailing end marker; itself if
    none has one."""
    messages = tuple(
        Message(m.role, _stripped(m.content)) if m.role == "assistant" else m
        for m in example.messages
    )
    text = _stripped(example.text)
    if (messages, text) == (example.messages, example.text):
        return example
    return replace(example, messages=messages, text=text)


def _stripped(text: str) -> str:
    while (bare := text.rstrip()).endswith(END_MARKERS):
        marker = next(marker for marker in END_MARKERS if bare.endswith(marker))
        text = bare.removesuffix(marker).rstrip()
    return text


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn with the field that it was read from."""

    where: str
    role: str
    content: str


Turns = list[_Turn]
Convert = Callable[[Row], Iterable[Turns]]


def _is_plain(row: Row) -> bool:
    """Whether a row is plain text: it has `text`, and no field of a conversation."""
    return "text" in row and not _CONVERSATION.intersection(row)


def _plain(row: Row) -> str:
    if row.get("system") not in (None, ""):
        raise RowError("`system`: plain text has no system turn")
    text = _text(row, "text")
    if not _stripped(text).strip():
        raise RowError("`text`: the text is empty")
    return text


def _recognise(row: Row) -> tuple[tuple[str, ...], Convert]:
    """The fields that carry the conversation, and how it is read from them."""
    for field in _TURN_FIELDS:
        if field in row:
            return (field,), partial(_from_turns, field=field)
    if "instances" in row and "instruction" in row:
        return ("instruction", "instances"), _from_instances
    fitting = [pair for pair in _PAIRS if pair[0] in row and pair[2] in row]
    if not fitting:
        raise RowError(_unrecognised(row))
    # `input` and `context` go with the same fields: the one that is there counts.
    prompt, context, response = next((pair for pair in fitting if pair[1] in row), fitting[0])
    fields = tuple(name for name in (prompt, context, response) if name)
    return fields, partial(_from_pair, prompt=prompt, context=context, response=response)


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
_TURN_FIELDS = ("messages", "conversations", "conversation")
_CONVERSATION = frozenset(
    (*_TURN_FIELDS, "instances", *(name for pair in _PAIRS for name in pair if name))
) - {"context"}


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
        "instruction/output, prompt/completion, question/answer, text"
    )


def _from_pair(row: Row, prompt: str, context: str, response: str) -> Iterable[Turns]:
    yield _pair(row, row[response], prompt, context, response)


def _pair(row: Row, answer: Any, prompt: str, context: str, where: str) -> Turns:
    text = _text(row, prompt)
    if context and row.get(context) not in (None, ""):
        text = f"{text}\n\n{_text(row, context)}"
    response = _Turn(where, "assistant", _as_text(answer, where))
    return [*_system(row), _Turn(prompt, "user", text), response]


def _from_instances(row: Row) -> Iterable[Turns]:
    instances = row["instances"]
    if not isinstance(instances, list) or not instances:
        raise RowError("`instances` is not a list with something in it")
    for number, instance in enumerate(instances):
        where = f"instances[{number}]"
        if not isinstance(instance, dict) or "output" not in instance:
            raise RowError(f"`{where}.output`: there is no response")
        pair = {**row, f"{where}.input": instance.get("input", "")}
        answer = instance["output"]
        yield _pair(pair, answer, "instruction", f"{where}.input", f"{where}.output")


def _from_turns(row: Row, field: str) -> Iterable[Turns]:
    turns = row[field]
    if not isinstance(turns, list) or not turns:
        raise RowError(f"`{field}` is not a list of turns with something in it")
    read = [_turn(turn, f"{field}[{number}]") for number, turn in enumerate(turns)]
    system = _system(row)
    if system and read[0].role == "system":
        if system[0].content != read[0].content:
            raise RowError(f"`system` says another thing than the system turn `{field}[0]`")
        system = []
    yield [*system, *read]


def _turn(turn: Any, where: str) -> _Turn:
    if not isinstance(turn, dict):
        raise RowError(f"`{where}` is {_kind(turn)}, not a turn with role and content")
    role_field = "from" if "from" in turn else "role"
    text_field = "value" if "value" in turn else "content"
    role = turn.get(role_field)
    if not isinstance(role, str) or role not in _ROLE_NAMES:
        shown = f"{role!r}" if isinstance(role, str) else _kind(role)
        raise RowError(f"`{where}.{role_field}` is {shown}, which is no known role")
    for calls in ("tool_calls", "function_call"):
        if turn.get(calls):
            raise RowError(f"`{where}.{calls}`: turns that call tools can't be imported yet")
    if text_field not in turn:
        raise RowError(f"`{where}` has no content")
    place = f"{where}.{text_field}"
    return _Turn(place, _ROLE_NAMES[role], _as_text(turn[text_field], place))


def _system(row: Row) -> Turns:
    if row.get("system") in (None, ""):
        return []
    return [_Turn("system", "system", _text(row, "system"))]


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
    spoken = [turn for turn in turns if turn.role != "tool"]
    for number, turn in enumerate(spoken):
        if turn.role == "system" and number > 0:
            raise RowError(f"`{turn.where}`: a system turn stands inside the conversation")
        if turn.role == "assistant" and not _stripped(turn.content).strip():
            raise RowError(f"`{turn.where}`: the response is empty")
    talk = [turn for turn in spoken if turn.role != "system"]
    where = turns[-1].where
    if not any(turn.role == "assistant" for turn in talk):
        raise RowError(f"`{where}`: there is no response")
    if talk[0].role != "user" or turns[0].role == "tool":
        raise RowError(f"`{talk[0].where}`: the conversation doesn't begin with the user")
    if not any(turn.role == "user" and turn.content.strip() for turn in talk):
        raise RowError(f"`{talk[0].where}`: the prompt is empty")
    if turns[-1].role != "assistant":
        raise RowError(f"`{where}`: the conversation ends without a response")
    for before, turn in itertools.pairwise(turns):
        if before.role == turn.role and turn.role in ("user", "assistant"):
            raise RowError(f"`{turn.where}`: two {turn.role} turns follow each other")
    return tuple(Message(turn.role, turn.content) for turn in turns)


def _kind(value: Any) -> str:
    names = {type(None): "null", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")
