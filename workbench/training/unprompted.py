"""What each row loses without its prompt: how hard its responses are by themselves.

Measured once, before the first step, by the model as it begins. Each row goes through it with all
that stands before its first response replaced by what the template makes of an empty prompt.
`learning` takes it off what the row loses with its prompt. A row whose prompt has no more tokens
than an empty one, as plain text has, isn't measured.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import torch
from torch import nn

from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate, MaskError
from workbench.files import write_text
from workbench.learning.unprompted import NAME as NAME
from workbench.training import misfit
from workbench.training.batches import Layout, Row
from workbench.training.examples import RowLoss
from workbench.training.loss import OnRows, row_losses
from workbench.training.ranks import Ranks


def empty_prompt(template: ChatTemplate) -> list[int]:
    """The tokens of a prompt that says nothing; none where the template refuses it."""
    try:
        return template.prompt_of(Example((Message("user", ""),)))
    except MaskError:
        return []


class Unprompted(Sequence[Row]):
    """Rows without their prompts, each made when it is asked for; rows that have none are left
    out."""

    def __init__(self, rows: Sequence[Row], prompt: Sequence[int]) -> None:
        """Looks at each of the rows once. `prompt` are the tokens of an empty prompt, at least
        one."""
        self._rows = rows
        self._prompt = torch.tensor(prompt, dtype=torch.int32)
        self._places = array("Q")
        self._begins = array("I")
        """Where the first response of each begins."""
        lengths = array("I")
        for place, row in enumerate(rows):
            begin = int(row.trained.int().argmax()) if row.trained_tokens else 0
            if begin > len(prompt):
                self._places.append(place)
                self._begins.append(begin)
                lengths.append(len(prompt) + len(row) - begin)
        self.lengths = torch.tensor(lengths, dtype=torch.int64)
        """Tokens of each, shape (rows,)."""

    def __len__(self) -> int:
        return len(self._places)

    def misfits(self) -> list[float]:
        """Of each the share of others' prompts that its response fits as well as its own, as
        `misfit.shares` has it."""
        return misfit.shares(lambda n: self._rows[self._places[n]], self._begins)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        row, begin = self._rows[self._places[place]], self._begins[place]
        return replace(
            row,
            ids=torch.cat([self._prompt, row.ids[begin:].int()]),
            trained=torch.cat(
                [torch.zeros(len(self._prompt), dtype=torch.bool), row.trained[begin:]]
            ),
        )


def measure(
    model: nn.Module, rows: Unprompted, layout: Layout, on_rows: OnRows, ranks: Ranks
) -> list[RowLoss]:
    """What each of the rows loses; on the first rank. `model` is a TrainedTokenLoss, and what
    `on_rows` raises ends it after the current batch."""
    sums = row_losses(model, rows, layout, on_rows, ranks)
    return [RowLoss.of(row, total) for row, total in zip(rows, sums, strict=True)]


def save(folder: Path, losses: Sequence[RowLoss], misfits: Sequence[float]) -> None:
    """Write them to the run's folder, each with how well its response fits others' prompts. Raises
    WorkbenchError where that can't be done."""
    told = (
        {**loss.to_json(), "misfit": round(share, 5)}
        for loss, share in zip(losses, misfits, strict=True)
    )
    write_text(folder / NAME, "".join(f"{json.dumps(line)}\n" for line in told))
