"""Deterministic splits, and the proof that nothing leaks from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from workbench.data.example import Example, Message

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


def _prompt_keys(example: Example) -> Iterator[bytes]:
    """A key of the prompt of each response, the first one first; of plain text one of the
    whole.

    Read once, whatever the number of turns: each key goes on from the one before.
    """
    digest = hashlib.sha256()
    turns = (_as_message(example), _END) if example.text else example.messages
    for message in turns:
        if message.role == "assistant":
            yield digest.digest()
        digest.update(f" {_normal(message)}".encode("utf-8", "surrogatepass"))


_END = Message("assistant", "")


def _as_message(example: Example) -> Message:
    # A role that no turn has: a text is never taken for a prompt with the same words.
    return Message("text", example.text)


def _normal(message: Message) -> str:
    return " ".join(f"{message.role} {message.content}".casefold().split())


def assign(
    examples: Iterable[Example], share: float, *, seed: int = 0, key: Key = opening_key
) -> list[Example]:
    """The examples with their split set: about `share` of them for validation.

    Rows with the same key go to the same side, and neither side is left empty where there
    are two keys. Beyond that, the side depends on seed and key alone, so that rows added
    later leave the others where they are.
    """
    if share <= 0:
        return [replace(e, split=TRAIN) for e in examples]
    keyed = [(e, key(e)) for e in examples]
    places = {k: _place(seed, k) for k in {k for _, k in keyed}}
    held_out = {k for k, place in places.items() if place < share}
    if places and not held_out:
        held_out = {min(places, key=lambda k: (places[k], k))}
    if places and len(held_out) == len(places):
        held_out.remove(max(places, key=lambda k: (places[k], k)))
    return [replace(e, split=VALIDATION if k in held_out else TRAIN) for e, k in keyed]


def leaking(examples: Iterable[Example]) -> list[tuple[Example, Example]]:
    """Training rows that ask, in any of their turns, what a validation row asks in any of
    its own, each with that row: the loss of every turn counts on both sides."""
    rows = list(examples)
    held_out = asked(rows)
    return [(row, found) for row in rows if (found := leak(row, held_out)) is not None]


def asked(examples: Iterable[Example]) -> dict[bytes, Example]:
    """What the validation rows ask in any of their turns, each with the first that asks it."""
    held_out: dict[bytes, Example] = {}
    for example in examples:
        if example.split == VALIDATION:
            for key in _prompt_keys(example):
                held_out.setdefault(key, example)
    return held_out


def leak(example: Example, held_out: Mapping[bytes, Example]) -> Example | None:
    """The validation row, of those that were `asked`, that a training row asks the same as."""
    if example.split != TRAIN:
        return None
    return next((held_out[key] for key in _prompt_keys(example) if key in held_out), None)


def _place(seed: int, key: str) -> float:
    """A number in [0, 1) that a seed and a key stand for."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
