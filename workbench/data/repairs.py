"""Repairs of the usual faults of conversations, each with a name; none is done unasked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from workbench.data.example import Message
from workbench.data.turns import (
    BARE_LIST,
    BEGINS_OTHERWISE,
    ENDS_OPEN,
    REPEATED,
    SYSTEM_INSIDE,
    RowError,
    Turn,
    checked,
)

_BETWEEN = "\n\n"
"""What stands between two turns that become one."""


@dataclass(frozen=True, slots=True)
class Repair:
    """How one fault is mended."""

    name: str
    fault: str
    does: str
    """What it does, in words: `joins turns …`."""
    apply: Callable[[Sequence[Turn]], list[Turn] | None]
    """The turns after it; None where it doesn't fit."""


def _swapped(turns: Sequence[Turn]) -> list[Turn] | None:
    """Only a conversation that is right the other way round: the assistant begins, the user
    has the last word, and no tool is asked."""
    talk = [turn.role for turn in turns if turn.role != "system"]
    asks_tools = "tool" in talk or any(turn.calls for turn in turns)
    if talk[0] != "assistant" or talk[-1] != "user" or asks_tools:
        return None
    other = {"user": "assistant", "assistant": "user"}
    return [replace(turn, role=other.get(turn.role, turn.role)) for turn in turns]


def _from_the_user_on(turns: Sequence[Turn]) -> list[Turn] | None:
    first = next((n for n, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        return None
    return [turn for n, turn in enumerate(turns) if n >= first or turn.role == "system"]


def _up_to_the_response(turns: Sequence[Turn]) -> list[Turn]:
    last = max(n for n, turn in enumerate(turns) if turn.role == "assistant")
    return list(turns[: last + 1])


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for turn in turns:
        before = merged[-1] if merged else None
        alike = before and before.role == turn.role and turn.role in ("user", "assistant")
        # What is said after a call of a tool can't come before it.
        if before and alike and not before.calls:
            merged[-1] = _joined(before, turn)
        else:
            merged.append(turn)
    return merged


def _system_first(turns: Sequence[Turn]) -> list[Turn]:
    system, *more = (turn for turn in turns if turn.role == "system")
    for turn in more:
        system = _joined(system, turn)
    return [system, *(turn for turn in turns if turn.role != "system")]


def _joined(before: Turn, turn: Turn) -> Turn:
    content = _BETWEEN.join(text for text in (before.content, turn.content) if text)
    return replace(before, content=content, calls=(*before.calls, *turn.calls))


REPAIRS = (
    Repair(
        "wrap-list",
        BARE_LIST,
        "takes a row that is a bare list for the turns of it",
        lambda t: None,
    ),
    Repair(
        "system-first",
        SYSTEM_INSIDE,
        "puts a system turn from inside the conversation at its head, joined with one there",
        _system_first,
    ),
    Repair(
        "swap-roles",
        BEGINS_OTHERWISE,
        "swaps user and assistant where the assistant begins and the user ends",
        _swapped,
    ),
    Repair(
        "drop-opening",
        BEGINS_OTHERWISE,
        "leaves out what is said before the user's first turn",
        _from_the_user_on,
    ),
    Repair(
        "drop-ending",
        ENDS_OPEN,
        "leaves out the turns after the last response",
        _up_to_the_response,
    ),
    Repair(
        "merge-turns",
        REPEATED,
        "joins turns of one role that follow each other, with an empty line between",
        _merged,
    ),
)
"""In this order where several fit one fault."""

NAMES = tuple(repair.name for repair in REPAIRS)
WRAP_LIST = NAMES[0]


def does(name: str) -> str:
    """What the repair of that name does, in words."""
    return next(repair.does for repair in REPAIRS if repair.name == name)


def mend(turns: Sequence[Turn], kinds: Collection[str]) -> tuple[tuple[Message, ...], list[str]]:
    """The turns as messages, after as many of the repairs `kinds` as it takes, and those.

    Raises RowError with the first fault when they don't make a conversation of it.
    """
    first: RowError | None = None
    used: list[str] = []
    while True:
        try:
            return checked(turns), used
        except RowError as error:
            first = first or error
            fitting = (
                (repair.name, repair.apply(turns))
                for repair in REPAIRS
                if repair.fault == error.fault and repair.name in kinds
            )
            found = next(((name, mended) for name, mended in fitting if mended), None)
            # A repair that was done and didn't help would be done for ever.
            if found is None or found[0] in used:
                raise first from None
            used.append(found[0])
            turns = found[1]
