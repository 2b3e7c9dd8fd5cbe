"""What one annotator thought of one item, in the form that every analysis takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assessment:
    """A judgement that counts: of two systems' outputs, or a rating of one.

    `systems` says who wrote what, so it is made only of what is no longer blind.
    """

    annotator: str
    item: str
    """The prompt. Judgements of one item are not independent, whichever systems they are of."""
    systems: tuple[str, ...]
    """Two, or one, in the order in which their outputs were shown."""
    preferences: Mapping[str, int]
    """By criterion: positive when the first output is better, negative when the second is, 0 for
    a tie. The size says how clearly, where it was asked."""
    ratings: Mapping[str, tuple[float | None, ...]]
    """By criterion: a number for each of `systems`, None where none was given."""
    lengths: tuple[int, ...] = ()
    """Characters of each output; empty when the outputs are not known."""
    note: str = ""
    made: float | None = None
    """When, so that a later judgement of the same replaces an earlier one."""

    @property
    def subject(self) -> tuple[str, str, tuple[str, ...]]:
        """What was judged by whom, on whichever sides it stood."""
        return self.annotator, self.item, tuple(sorted(self.systems))


def last_of_each(assessments: list[Assessment]) -> list[Assessment]:
    """The one that counts of those by one annotator on the same outputs of the same item: the
    latest, and of those made at one time, or at none, the last."""
    kept: dict[tuple[str, str, tuple[str, ...]], Assessment] = {}
    for each in assessments:
        earlier = kept.get(each.subject)
        if earlier is None or (each.made or 0.0) >= (earlier.made or 0.0):
            # Taken out first, so that the order is that of the judgements that count.
            kept.pop(each.subject, None)
            kept[each.subject] = each
    return list(kept.values())
