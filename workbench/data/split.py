"""Deterministic splits, and the proof that nothing leaks from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from workbench.data.example import Example, Message

TRAIN, VALIDATION = "train", "validation"

Key = Callable[[Example], str]


def prompt_key(example: Example) -> str:
    """What two rows share when they ask the same: their prompt, without case and spacing."""
    return _normal(example.prompt)


def opening_key(example: Example) -> str:
    """What two conversations share that begin alike: the prompt of their first response.

    Every turn is trained, so a long conversation teaches the answer to each of its
    beginnings: those that begin alike must stay together.
    """
    return next(iter(_prompt_keys(example)), "")


def _prompt_keys(example: Example) -> Iterator[str]:
    """The prompt of each response, the first one first."""
    for place, message in enumerate(example.messages):
        if message.role == "assistant":
            yield _normal(example.messages[:place])


def _normal(messages: Sequence[Message]) -> str:
    return " ".join(" ".join(f"{m.role} {m.content}" for m in messages).casefold().split())


def assign(
    examples: Sequence[Example], share: float, *, seed: int = 0, key: Key = opening_key
) -> list[Example]:
    """The examples with their split set: about `share` of them for validation.

    Rows with the same key go to the same side, and neither side is left empty where there
    are two keys. Beyond that, the side depends on seed and key alone, so that rows added
    later leave the others where they are.
    """
    if share <= 0:
        return [replace(e, split=TRAIN) for e in examples]
    places = {k: _place(seed, k) for k in {key(e) for e in examples}}
    held_out = {k for k, place in places.items() if place < share}
    in_order = sorted(places, key=lambda k: (places[k], k))
    if not held_out:
        held_out = set(in_order[:1])
    if len(held_out) == len(places):
        held_out -= set(in_order[-1:])
    return [replace(e, split=VALIDATION if key(e) in held_out else TRAIN) for e in examples]


def leaking(examples: Iterable[Example]) -> list[tuple[Example, Example]]:
    """Training rows that ask, in any of their turns, what a validation row asks, each with
    that row."""
    rows = list(examples)
    held_out = {prompt_key(e): e for e in rows if e.split == VALIDATION}
    return [
        (e, held_out[found])
        for e in rows
        if e.split == TRAIN
        and (found := next((k for k in _prompt_keys(e) if k in held_out), None)) is not None
    ]


def _place(seed: int, key: str) -> float:
    """A number in [0, 1) that a seed and a key stand for."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
