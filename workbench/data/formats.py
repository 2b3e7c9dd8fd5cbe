"""Alpaca, ShareGPT, OpenAI messages, prompt/completion, preference pairs, question/answer, plain
text -> Example.

A row is recognised by its fields, or read as a mapping says. What can't be an example is refused
with the reason and the field: nothing is guessed into shape, and mended only by repairs that were
asked for. `text` alone is plain text; beside a conversation's fields it is what some data sets
hold the same turns in once more, and is kept among the extra ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench.data import preferences, repairs
from workbench.data.example import Example, Message
from workbench.data.tool_calls import tools_of
from workbench.data.turn_reading import Names, from_json_text, history_turns, read_turns
from workbench.data.turns import (
    BARE_LIST,
    END_MARKERS,
    UNRECOGNISED,
    RowError,
    Turn,
    as_text,
    kind,
    stripped,
)

if TYPE_CHECKING:
    from workbench.data.mapping import Mapping

__all__ = ["END_MARKERS", "Converted", "RowError", "convert", "to_examples", "without_end_markers"]

Row = dict[str, Any]
Turns = list[Turn]
Convert = Callable[[Row], Iterable[Turns]]


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made of a row."""

    examples: list[Example]
    repairs: tuple[str, ...] = ()
    """The names of those that it took, each once, in the order in which they were done."""
    pair: bool = False
    """It was a preference pair: the rejected answer is among the extra fields."""


def to_examples(
    row: Any, *, task: str = "", source: str = "", mapping: Mapping | None = None
) -> list[Example]:
    """The examples of one row; only self-instruct's rows hold several.

    Raises RowError with the field and the reason.
    """
    return convert(row, task=task, source=source, mapping=mapping).examples


def convert(
    row: Any,
    *,
    task: str = "",
    source: str = "",
    mapping: Mapping | None = None,
    kinds: Collection[str] = (),
) -> Converted:
    """The examples of one row, read as `mapping` says or else as its fields do, and mended by
    the repairs `kinds` where it takes some.

    Raises RowError with the field and the reason.
    """
    used: list[str] = []
    if isinstance(row, list) and row and all(isinstance(turn, dict) for turn in row):
        if repairs.WRAP_LIST not in kinds:
            raise RowError("it is a bare list, not an object with fields", BARE_LIST)
        row = {mapping.messages if mapping and mapping.messages else "messages": row}
        used.append(repairs.WRAP_LIST)
    if not isinstance(row, dict):
        raise RowError(f"it is {kind(row)}, not an object with fields")
    read = _Read(source, kinds, used)
    if mapping is not None:
        return _mapped(row, mapping, task, read)
    named = row.get("task", "")
    chosen = task or (named if isinstance(named, str) else "")
    if _is_plain(row):
        own = _own("text", *_TURN_FIELDS, named=named)
        extra = {k: v for k, v in row.items() if k not in own}
        return read.text(_plain(row), chosen, extra)
    fields, turns_of = _recognise(row)
    pair = preferences.CHOSEN in fields
    tools = tools_of(row.get("tools") or row.get("functions"))
    if tools:
        fields = (*fields, "tools" if row.get("tools") else "functions")
    extra = {k: v for k, v in row.items() if k not in _own(*fields, named=named)}
    return replace(read.talks(turns_of(row), chosen, extra, tools), pair=pair)


@dataclass(frozen=True, slots=True)
class _Read:
    """How a row's turns become examples."""

    source: str
    kinds: Collection[str]
    used: list[str]

    def text(self, text: str, task: str, extra: Row) -> Converted:
        example = Example(text=text, task=task, source=self.source, extra=extra)
        return Converted([example], tuple(self.used))

    def talks(self, talks: Iterable[Turns], task: str, extra: Row, tools: str) -> Converted:
        examples = []
        for turns in talks:
            messages, used = repairs.mend(turns, self.kinds)
            self.used.extend(used)
            examples.append(
                Example(messages, task=task, source=self.source, extra=extra, tools=tools)
            )
        return Converted(examples, tuple(dict.fromkeys(self.used)))


def _mapped(row: Row, mapping: Mapping, task: str, read: _Read) -> Converted:
    task = task or mapping.task_of(row)
    own = ["split"] if mapping.task or not isinstance(row.get("task"), str) else ["split", "task"]
    extra = {k: v for k, v in mapping.rest_of(row).items() if k not in own}
    if mapping.text:
        return read.text(_not_empty(mapping.text_of(row), mapping.text), task, extra)
    return read.talks([mapping.turns_of(row)], task, extra, mapping.tools_of(row))


def _own(*fields: str, named: Any) -> tuple[str, ...]:
    """Fields that have a place of their own in an example."""
    return (*fields, "system", "split", *(["task"] if isinstance(named, str) else []))


def is_row(body: Row) -> bool:
    """Whether an object is a row by its fields, and no object around a list of rows."""
    for field in _TURN_FIELDS:
        if field in body:
            within = body[field]
            # What is called like a list of turns may be one of conversations.
            return not (within and isinstance(within, list) and _has_turns(within[0]))
    of_instances = "instances" in body and "instruction" in body
    return "text" in body or of_instances or preferences.is_pair(body) or bool(_fitting(body))


def _has_turns(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint(_TURN_FIELDS)


def without_end_markers(example: Example) -> Example:
    """The example with its responses, or its text, rid of a trailing end marker; itself if
    none has one."""
    messages = tuple(_bare(m) if m.role == "assistant" else m for m in example.messages)
    text = stripped(example.text)
    if (messages, text) == (example.messages, example.text):
        return example
    return replace(example, messages=messages, text=text)


def _bare(message: Message) -> Message:
    bare = stripped(message.content)
    return message if bare == message.content else replace(message, content=bare)


def _is_plain(row: Row) -> bool:
    """Whether a row is plain text: it has `text`, and no field of a conversation; a list of turns
    that is empty beside it is what tables have where a row lacks a field."""
    if "text" not in row:
        return False
    fields = _CONVERSATION.intersection(row)
    return not fields or (
        bool(row["text"])
        and fields.issubset(_TURN_FIELDS)
        and all(row[field] in (None, "") for field in fields)
    )


def _plain(row: Row) -> str:
    if row.get("system") not in (None, ""):
        raise RowError("`system`: plain text has no system turn")
    return _not_empty(_text(row, "text"), "text")


def _not_empty(text: str, where: str) -> str:
    if not stripped(text).strip():
        raise RowError(f"`{where}`: the text is empty")
    return text


def _recognise(row: Row) -> tuple[tuple[str, ...], Convert]:
    """The fields that carry the conversation, and how it is read from them."""
    for field in _TURN_FIELDS:
        if field in row:
            return (field,), partial(_from_turns, field=field)
    if "instances" in row and "instruction" in row:
        return ("instruction", "instances"), _from_instances
    if preferences.is_pair(row):
        return preferences.fields(row), lambda row: [preferences.turns_of(row)]
    fitting = _fitting(row)
    if not fitting:
        raise RowError(_unrecognised(row), UNRECOGNISED)
    # `input` and `context` go with the same fields: the one that is there counts.
    prompt, context, response = next((pair for pair in fitting if pair[1] in row), fitting[0])
    earlier = from_json_text(row.get("history"))
    history = "history" if earlier not in (None, "", []) else ""
    fields = tuple(name for name in (prompt, context, response, history) if name)
    return fields, partial(
        _from_pair, prompt=prompt, context=context, response=response, history=history
    )


def _fitting(row: Row) -> list[tuple[str, str, str]]:
    return [pair for pair in _PAIRS if pair[0] in row and pair[2] in row]


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
        "instruction/output, prompt/completion, prompt/chosen/rejected, question/answer, text"
    )


def _from_pair(row: Row, prompt: str, context: str, response: str, history: str) -> Iterable[Turns]:
    try:
        earlier = history_turns(row[history], history) if history else []
    except RowError as error:
        # Where it is something else, a mapping leaves it aside.
        raise RowError(str(error), UNRECOGNISED) from error
    *system, asked, answer = _pair(row, row[response], prompt, context, response)
    yield [*system, *earlier, asked, answer]


def _pair(row: Row, answer: Any, prompt: str, context: str, where: str) -> Turns:
    text = _text(row, prompt)
    if context and row.get(context) not in (None, ""):
        text = f"{text}\n\n{_text(row, context)}"
    response = Turn(where, "assistant", as_text(answer, where))
    return [*_system(row), Turn(prompt, "user", text), response]


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
    read = read_turns(row[field], field, Names())
    system = _system(row)
    if system and read[0].role == "system":
        if system[0].content != read[0].content:
            raise RowError(f"`system` says another thing than the system turn `{field}[0]`")
        system = []
    yield [*system, *read]


def _system(row: Row) -> Turns:
    if row.get("system") in (None, ""):
        return []
    return [Turn("system", "system", _text(row, "system"))]


def _text(row: Row, field: str) -> str:
    return as_text(row[field], field)
