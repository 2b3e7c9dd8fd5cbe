"""How well each response fits another row's prompt, beside its own, by the tokens that they share.

An answer that is taken from its prompt has rare tokens of it, and a swapped one has not. Tokens are
weighed as in retrieval: by the logarithm of how few prompts have them (Spärck Jones, A Statistical
Interpretation of Term Specificity and Its Application in Retrieval, 1972). No model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workbench.learning.courses import evenly
from workbench.training.batches import Row

OTHERS = 64
"""Rows whose prompts a response is held against."""
_SAME = 1e-4
"""Sums that are as near as this are one."""


def shares(row_of: Callable[[int], Row], begins: Sequence[int]) -> list[float]:
    """Of each row the share, between 0 and 1, of other rows' prompts that have as much of its
    response as its own has or more, ties half; 0.5 where none has anything of it. `begins` is
    where the first response of each begins. Looks at each row three times."""
    size = 1 + max((int(row_of(n).ids.max()) for n in range(len(begins))), default=0)
    counts = torch.zeros(size)
    for n, begin in enumerate(begins):
        counts[_unique(row_of(n).ids[:begin])] += 1
    weights = torch.where(counts > 0, torch.log(len(begins) / counts.clamp(min=1)), 0.0)
    others = {n: column for column, n in enumerate(evenly(len(begins), OTHERS))}
    held = torch.zeros(size, len(others))
    for n, column in others.items():
        ids = _unique(row_of(n).ids[: begins[n]])
        held[ids, column] = weights[ids]
    return [
        _share(row_of(n), begin, weights, held, others.get(n)) for n, begin in enumerate(begins)
    ]


def _share(row: Row, begin: int, weights: Tensor, held: Tensor, own: int | None) -> float:
    """That of one row; `own` is the column of its own prompt among the others."""
    response = _unique(row.ids[row.trained])
    there = torch.isin(response, row.ids[:begin].long())
    more = held[response].sum(0) - weights[response[there]].sum()
    if own is not None:
        more = torch.cat([more[:own], more[own + 1 :]])
    ties = int((more.abs() <= _SAME).sum())
    return (int((more > _SAME).sum()) + ties / 2 + 0.5) / (len(more) + 1)


def _unique(ids: Tensor) -> Tensor:
    found: Tensor = torch.unique(ids.long())
    return found
