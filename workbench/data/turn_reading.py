"""Lists of turns as rows have them, under whichever names, as turns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.tool_calls import calls_in, calls_of
from workbench.data.turns import ROLE_NAMES, RowError, Turn, as_text, kind

CALL = "function_call"
"""ShareGPT's descendants have a role for turns that are nothing but calls, as JSON text."""

_REASONING = ("reasoning_content", "reasoning", "thinking")
"""What APIs call the key of a turn's reasoning."""


@dataclass(frozen=True, slots=True)
class Names:
    """The keys of a turn, and what the roles are called."""

    role: str = ""
    """Empty: `from` where it is there, else `role`."""
    content: str = ""
    """Empty: `value` where it is there, else `content`."""
    roles: Mapping[str, str] = field(default_factory=lambda: ROLE_NAMES)


def read_turns(turns: Any, where: str, names: Names) -> list[Turn]:
    """The turns of a list. Raises RowError for what is none."""
    turns = from_json_text(turns)
    if not isinstance(turns, list) or not turns:
        raise RowError(f"`{where}` is not a list of turns with something in it")
    return [_turn(turn, f"{where}[{number}]", names) for number, turn in enumerate(turns)]


def history_turns(history: Any, where: str) -> list[Turn]:
    """The turns of Alpaca's `history`: a list of pairs of prompt and response."""
    history = from_json_text(history)
    if not isinstance(history, list):
        raise RowError(f"`{where}` is {kind(history)}, not a list of pairs")
    turns = []
    for number, pair in enumerate(history):
        place = f"{where}[{number}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowError(f"`{place}` is not a pair of prompt and response")
        for side, (role, text) in enumerate(zip(("user", "assistant"), pair, strict=True)):
            turns.append(Turn(f"{place}[{side}]", role, as_text(text, f"{place}[{side}]")))
    return turns


def from_json_text(value: Any) -> Any:
    """A list that a file without lists, such as CSV, has as JSON text; others as they are."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _check_reasoning(turn: dict[str, Any], where: str, read: tuple[str, str]) -> None:
    """Raises RowError for reasoning beside the text, which would be lost."""
    for name in _REASONING:
        if name not in read and turn.get(name):
            raise RowError(
                f"`{where}.{name}`: reasoning beside the text would be lost; put it at the head "
                "of the text, between <think> and </think>"
            )


def _check_weight(turn: dict[str, Any], where: str) -> None:
    """Raises RowError for a response that is to be learnt from less than others, or not."""
    weight = turn.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight != 1):
        raise RowError(
            f"`{where}.weight` is {json.dumps(weight)}, and every response is learnt from alike; "
            "take the turn out, or its weight"
        )


def _turn(turn: Any, where: str, names: Names) -> Turn:
    if not isinstance(turn, dict):
        raise RowError(f"`{where}` is {kind(turn)}, not a turn with role and content")
    role_field = names.role or ("from" if "from" in turn else "role")
    text_field = names.content or ("value" if "value" in turn else "content")
    named = turn.get(role_field)
    place = f"{where}.{text_field}"
    calling = named == CALL or (isinstance(named, str) and names.roles.get(named) == CALL)
    _check_reasoning(turn, where, (role_field, text_field))
    if calling or (isinstance(named, str) and names.roles.get(named) == "assistant"):
        _check_weight(turn, where)
    if calling:
        text = as_text(turn.get(text_field), place)
        return Turn(place, "assistant", "", calls_in(text, place))
    if not isinstance(named, str) or named not in names.roles:
        shown = f"{named!r}" if isinstance(named, str) else kind(named)
        raise RowError(f"`{where}.{role_field}` is {shown}, which is no known role")
    role = names.roles[named]
    calls = calls_of(turn, where)
    if calls and role != "assistant":
        raise RowError(f"`{where}`: a {role} turn calls a tool")
    if text_field not in turn and not calls:
        raise RowError(f"`{where}` has no content")
    content = turn.get(text_field)
    text = "" if calls and content is None else as_text(content, place)
    if role != "tool":
        return Turn(place, role, text, calls)
    id, name = turn.get("tool_call_id"), turn.get("name")
    return Turn(
        place,
        role,
        text,
        call_id=id if isinstance(id, str) else "",
        name=name if isinstance(name, str) else "",
    )
