"""The share of others' prompts that a response fits as well as its own."""

from __future__ import annotations

import pytest
import torch

from workbench.training.batches import Row
from workbench.training.misfit import shares

ASK, SAY = 1, 2
"""Tokens of every prompt."""


def row(prompt: list[int], response: list[int]) -> Row:
    ids = [ASK, *prompt, SAY, *response]
    trained = [False] * (len(prompt) + 2) + [True] * len(response)
    return Row(torch.tensor(ids, dtype=torch.int32), torch.tensor(trained), len(response))


def shares_of(rows: list[Row]) -> list[float]:
    return shares(rows.__getitem__, [int(row.trained.int().argmax()) for row in rows])


def test_a_response_from_its_prompt_fits_no_other_and_a_swapped_one_does() -> None:
    asked = [[10 * n + k for k in range(5)] for n in range(1, 101)]
    rows = [row(prompt, [prompt[2], prompt[4], 3]) for prompt in asked]
    rows[7], rows[50] = row(asked[7], [502, 504, 3]), row(asked[50], [72, 74, 3])
    found = shares_of(rows)
    # Against 64 of the others, those as good by half: 0.5 of 65 and 32.5 of 65 without any.
    assert found[20] == pytest.approx(0.5 / 65, abs=2e-4)
    assert found[7] >= 0.5 and found[50] >= 0.5
    assert all(share < 0.01 for n, share in enumerate(found) if n not in (7, 50))


def test_tokens_of_every_prompt_and_labels_say_nothing() -> None:
    rows = [row([10 + n], [ASK, SAY, 5 + n % 2]) for n in range(30)]
    assert shares_of(rows) == [0.5] * 30
    assert shares_of(rows[:1]) == [0.5] and shares_of([]) == []
