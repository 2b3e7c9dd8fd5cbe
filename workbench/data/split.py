"""Deterministic splits, and the proof that nothing leaks from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from workbench.data.example import Example

TRAIN, VALIDATION = "train", "validation"

Key = Callable[[Example], str]


def prompt_key(example: Example) -> str:
    """What two rows share when they ask the same: their prompt, without case and spacing."""
    words = " ".join(f"{m.role} {m.content}" for m in example.prompt).casefold().split()
    return " ".join(words)


def assign(
    examples: Sequence[Example], share: float, *, seed: int = 0, key: Key = prompt_key
) -> list[Example]:
    """The examples with their split set: about `share` of them for validation.

    Rows with the same key go to the same side. The side depends on seed and key alone,
    so that rows added later leave the others where they are.
    """
    if share <= 0:
        return [replace(e, split=TRAIN) for e in examples]
    places = {k: _place(seed, k) for k in {key(e) for e in examples}}
    held_out = {k for k, place in places.items() if place < share}
    if not held_out and len(places) > 1:
        held_out = {min(places, key=lambda k: (places[k], k))}
    return [replace(e, split=VALIDATION if key(e) in held_out else TRAIN) for e in examples]


def leaking(examples: Iterable[Example]) -> list[tuple[Example, Example]]:
    """Training rows that ask what a validation row asks, each with that row."""
    held_out = {prompt_key(e): e for e in examples if e.split == VALIDATION}
    return [
        (e, held_out[found])
        for e in examples
        if e.split == TRAIN and (found := prompt_key(e)) in held_out
    ]


def _place(seed: int, key: str) -> float:
    """A number in [0, 1) that a seed and a key stand for."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
