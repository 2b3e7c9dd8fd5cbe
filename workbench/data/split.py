"""Deterministic splits, and the proof that nothing leaks from one to the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

TRAIN, VALIDATION = "train", "validation"

Key = Callable[[Example], str]


def opening_key(example: Example) -> str:
    """What two conversations share that begin alike: the prompt of their first response,
    without case and spacing. Of plain text it is the whole.

    Every turn is trained, so a long conversation teaches the answer to each of its
    beginnings: those that begin alike must stay together.
    """
    if example.text:
        return _normal(_as_message(example))
    roles = [message.role for message in example.messages]
    if "assistant" not in roles:
        return ""
    return " ".join(map(_normal, example.messages[: roles.index("assistant")]))


def key_by(name: str) -> Key:
    """The key that `prompt` stands for, or the name of an extra field of the rows."""
    if name == "prompt":
        return opening_key
    return lambda example: json.dumps(example.extra.get(name), sort_keys=True)


def check_key(rows: Iterable[Example], name: str) -> None:
    """Raises WorkbenchError when no row has the extra field of that name: all rows would be one
    group, and none could be held out."""
    if name == "prompt":
        return
    known: set[str] = set()
    for example in rows:
        if name in example.extra:
            return
        known |= example.extra.keys()
    listed = ", ".join(sorted(known)[:10])
    raise WorkbenchError(
        f"No row has the field {name} that the split is to go by.",
        f"The rows' other fields are {listed}."
        if known
        else "The rows have no other fields than those that are learnt from.",
    )


def _prompt_keys(example: Example) -> Iterator[bytes]:
    """A key of the prompt of each response, the first one first; of plain text one of the
    whole.

    Read once, whatever the number of turns: each key goes on from the one before.
    """
    digest = hashlib.sha256()
    turns = (_as_message(example), _END) if example.text else example.messages
    for message in turns:
        if message.role == "assistant":
            yield digest.digest()[:16]
        digest.update(f" {_normal(message)}".encode("utf-8", "surrogatepass"))


_END = Message("assistant", "")


def _as_message(example: Example) -> Message:
    # A role that no turn has: a text is never taken for a prompt with the same words.
    return Message("text", example.text)


def _normal(message: Message) -> str:
    return " ".join(f"{message.role} {message.written}".casefold().split())


def assign(
    examples: Iterable[Example], share: float, *, seed: int = 0, key: Key = opening_key
) -> list[Example]:
    """The examples with their split set: about `share` of them for validation.

    Rows with the same key go to the same side, and neither side is left empty where there
    are two keys. Beyond that, the side depends on seed and key alone, so that rows added
    later leave the others where they are.
    """
    rows = list(examples)
    places = [place_of(example, seed, key) for example in rows]
    sides = (VALIDATION if held else TRAIN for held in held_out(places, share))
    return [replace(example, split=side) for example, side in zip(rows, sides, strict=True)]


def place_of(example: Example, seed: int, key: Key = opening_key) -> float:
    """A number in [0, 1) that a seed and the key of an example stand for."""
    digest = hashlib.sha256(f"{seed}/{key(example)}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def held_out(places: Sequence[float], share: float) -> Iterator[bool]:
    """Whether each row, by its place, is for validation, as `assign` says."""
    if share <= 0 or not places or (least := min(places)) == (most := max(places)):
        return (False for _ in places)
    if least >= share:
        return (place == least for place in places)
    if most < share:
        return (place != most for place in places)
    return (place < share for place in places)


def leaking(examples: Iterable[Example]) -> list[tuple[Example, Example]]:
    """Training rows that ask, in any of their turns, what a validation row asks in any of
    its own, each with that row: the loss of every turn counts on both sides."""
    rows = list(examples)
    known = asked(rows)
    return [(row, rows[found]) for row in rows if (found := leak(row, known)) is not None]


def asked(examples: Iterable[Example]) -> dict[bytes, int]:
    """What the validation rows ask in any of their turns, each with the place of the first that
    asks it."""
    known: dict[bytes, int] = {}
    for place, example in enumerate(examples):
        if example.split == VALIDATION:
            for key in _prompt_keys(example):
                known.setdefault(key, place)
    return known


def leak(example: Example, known: Mapping[bytes, int]) -> int | None:
    """The place of the validation row, of those that were `asked`, that a training row asks the
    same as."""
    if example.split != TRAIN:
        return None
    return next((known[key] for key in _prompt_keys(example) if key in known), None)
