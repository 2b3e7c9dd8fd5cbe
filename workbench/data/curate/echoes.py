"""Responses that repeat what they were asked."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.data.curate.words import WORD, gram

_FEWEST = 4
"""Words of a prompt: a response may well open with the one or two that it was asked about."""
_MOST = 0.8
"""The share of the prompt's words that a response is a copy of."""
_FEWEST_COPIED = 8


def echo(prompt: str, response: str) -> tuple[int, int, float] | None:
    """Where a response repeats its prompt, and the share of the prompt's words that it repeats.

    Either it opens with all of the prompt, or it is nothing else than most of it. What it
    quotes of a longer prompt, as an extract or an answer out of a text does, is no echo.
    """
    asked = WORD.findall(prompt.casefold())
    if len(asked) < gram(asked, _FEWEST):
        return None
    places = list(WORD.finditer(response))
    said = [place[0].casefold() for place in places]
    if said[: len(asked)] == asked:
        return places[0].start(), places[len(asked) - 1].end(), 1.0
    share = len(said) / len(asked)
    copied = share >= _MOST and len(said) >= gram(said, _FEWEST_COPIED) and _within(said, asked)
    return (places[0].start(), places[-1].end(), share) if copied else None


def _within(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the words are there in the others, one after the other."""
    return f" {' '.join(words)} " in f" {' '.join(others)} "
