"""Preference pairs (`prompt`, `chosen`, `rejected`, as TRL has them) as conversations: the chosen
answer is the response. The rejected one is left in the row, where nothing is trained on it."""

from __future__ import annotations

from typing import Any

from workbench.data.turn_reading import Names, from_json_text, read_turns
from workbench.data.turns import RowError, Turn, as_text

PROMPT, CHOSEN, REJECTED = "prompt", "chosen", "rejected"


def is_pair(row: dict[str, Any]) -> bool:
    return CHOSEN in row and REJECTED in row


def fields(row: dict[str, Any]) -> tuple[str, ...]:
    """Those that carry the conversation: `chosen` alone where it holds the prompt as well."""
    return (CHOSEN,) if _is_whole(row) else (PROMPT, CHOSEN)


def turns_of(row: dict[str, Any]) -> list[Turn]:
    """The prompt, a text or turns, and the chosen answer, one or the other.

    Raises RowError with the field and the reason.
    """
    if _is_whole(row):
        return read_turns(row[CHOSEN], CHOSEN, Names())
    if PROMPT not in row:
        raise RowError(f"there is no `{PROMPT}` beside `{CHOSEN}`, which holds none itself")
    return [*_turns(row, PROMPT, "user"), *_turns(row, CHOSEN, "assistant")]


def _turns(row: dict[str, Any], field: str, role: str) -> list[Turn]:
    if _is_turns(row[field]):
        return read_turns(row[field], field, Names())
    return [Turn(field, role, as_text(row[field], field))]


def _is_whole(row: dict[str, Any]) -> bool:
    """Whether `chosen` begins with another's turn than the assistant's."""
    if not _is_turns(row[CHOSEN]):
        return False
    return read_turns(row[CHOSEN], CHOSEN, Names())[0].role != "assistant"


def _is_turns(value: Any) -> bool:
    value = from_json_text(value)
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
