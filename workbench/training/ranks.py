"""What processes that train together tell each other besides gradients.

It goes over a gloo group of its own, from host to host: no GPU is waited for. One process alone
agrees with itself, at no cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from accelerate import PartialState
from torch import Tensor, distributed

from workbench.errors import WorkbenchError
from workbench.jobs import launcher
from workbench.training.accelerators import keep_to_config

PATIENCE = 1800.0
"""Seconds that ranks wait for each other: the first may be writing a large checkpoint. One that
was killed ends the others at once, one that hangs is told as a stall long before."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together."""

    number: int = 0
    count: int = 1
    _group: distributed.ProcessGroup | None = None
    """None for one process alone."""

    @classmethod
    def join(cls) -> Ranks:
        """Meet the other ranks; one process that no launcher has started is alone.

        Before anything else makes an Accelerator, which takes up what is begun here: a device of
        its own and NCCL for each rank where there are GPUs, gloo where there are none.
        """
        if not launcher.is_rank():
            return cls()
        keep_to_config()
        patience = timedelta(seconds=PATIENCE)
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=patience)
        group = distributed.new_group(backend="gloo", timeout=patience)
        return cls(state.process_index, state.num_processes, group)

    def leave(self) -> None:
        """Part from the others, at the end."""
        if self._group is not None:
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes what there is one of."""
        return self.number == 0

    def agree(self, asked: Sequence[int]) -> list[int]:
        """The largest of what the ranks say, place by place: the same list for all of them.

        So what any rank was asked is what all do at the same step; what the first alone decides
        is 0 on the others.
        """
        if self._group is None:
            return list(asked)
        told = torch.tensor(asked, dtype=torch.int64)
        distributed.all_reduce(told, distributed.ReduceOp.MAX, group=self._group)
        return [int(value) for value in told]

    def gather(self, values: Tensor) -> list[Tensor]:
        """Each rank's values, shape (n,) with an n of its own, by rank; empty but on the first.

        In plain tensors: torch's way for objects pickles them.
        """
        values = values.detach().cpu()
        if self._group is None:
            return [values]
        sizes = torch.zeros(self.count, dtype=torch.int64)
        sizes[self.number] = len(values)
        distributed.all_reduce(sizes, group=self._group)
        room = values.new_zeros(int(sizes.max()))
        room[: len(values)] = values
        parts = [torch.empty_like(room) for _ in range(self.count)] if self.first else None
        distributed.gather(room, parts, group=self._group)
        return [part[:size] for part, size in zip(parts or (), sizes.tolist(), strict=False)]

    def sum(self, values: Tensor) -> Callable[[], object]:
        """Begin to add up the ranks' values in place, on their device.

        Returns what makes the device, not the host, wait for the sum.
        """
        if self._group is None:
            return lambda: None
        work = distributed.all_reduce(values, async_op=True)
        wait: Callable[[], object] = work.wait
        return wait

    def wait_for_all(self, what: str, seconds: float = PATIENCE) -> None:
        """Return once every rank has come here.

        Raises WorkbenchError that says which didn't, and what for, on the first rank; the others
        fail with the loss of it.
        """
        if self._group is None:
            return
        try:
            distributed.monitored_barrier(
                self._group, timeout=timedelta(seconds=seconds), wait_all_ranks=True
            )
        except RuntimeError as error:
            missing = re.search(r"[Rr]anks? ([\d, ]*\d) failed to pass", str(error))
            if missing is None:
                raise
            raise WorkbenchError(
                f"After {seconds:.0f} s rank {missing[1]} had not come to: {what}.",
                "Its stacks, which `workbench stacks` shows while it hangs, say where it is.",
                "lost_rank",
            ) from error


ALONE = Ranks()
"""One process."""


def in_words(processes: int) -> str:
    """`2 processes`."""
    return "1 process" if processes == 1 else f"{processes} processes"


def share(weights: Sequence[int], ranks: int) -> list[list[int | None]]:
    """The places of micro-batches by rank, in an order of work that suits them all.

    `weights` are what each costs, such as its tokens. Every rank has the same number, since each
    one's gradients are added up with the others': None stands for one without rows. What is
    worked on at the same time costs about the same, for all wait for the largest, and no rank
    has more than the largest weight above another. One rank has all of them as they come.
    """
    if ranks == 1:
        return [list(range(len(weights)))]
    shares: list[list[int | None]] = [[] for _ in range(ranks)]
    totals = [0] * ranks
    heaviest_first = sorted(range(len(weights)), key=lambda place: -weights[place])
    for start in range(0, len(weights), ranks):
        turn: list[int | None] = [*heaviest_first[start : start + ranks]]
        turn += [None] * (ranks - len(turn))
        lightest_first = sorted(range(ranks), key=lambda rank: totals[rank])
        for rank, place in zip(lightest_first, turn, strict=True):
            shares[rank].append(place)
            totals[rank] += weights[place] if place is not None else 0
    return shares
