"""Reads `examples.jsonl` of a run: the loss of each example each time that it is learnt.

`training.examples` writes it and says what a line is. Of an epoch and a row the last line counts:
after a resume steps come again. A file of any length is read in blocks; what is kept is 8 bytes
for each row and epoch, and 4 for each row. A torn last line waits for its end; a damaged one, and
one of a row that the run's dataset version doesn't have, is passed over and counted.
"""

from __future__ import annotations

import math
import os
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.learning import unprompted

NAME = "examples.jsonl"
_BLOCK = 1 << 20
_LONGEST = 1024
"""Bytes that no line has."""
_LINE = re.compile(
    rb'^\{"epoch": ?(\d{1,9}), ?"step": ?(\d{1,9}), ?"row": ?(\d{1,15}), '
    rb'?"loss": ?(null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?), ?"tokens": ?(\d{1,9})\}$',
    re.MULTILINE,
)
_MOST_EPOCHS = 1000
"""Of which a damaged line can't make the reader keep more."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A line of the file."""

    epoch: int
    step: int
    row: int
    """Its line in the version's data.jsonl, from 1."""
    loss: float | None
    """Mean over its trained tokens, in nats, before the step's update; None where it was no
    number."""
    tokens: int
    """Its trained tokens."""


class Losses:
    """The losses of a run's rows by epoch, as far as its file goes; `read` goes on with it."""

    def __init__(self, run: Path, rows: int) -> None:
        """Of the run in a folder, whose dataset version has `rows` rows. Reads nothing yet."""
        self.path = run / NAME
        self.rows = rows
        self._forget()

    def _forget(self) -> None:
        self.epochs: dict[int, array[float]] = {}
        """By epoch, from 1, the loss of row n + 1 at n in nats; NaN where there is none."""
        self.steps: dict[int, array[int]] = {}
        """By epoch, the step that took row n + 1 at n; 0 where none did."""
        self.tokens = array("I", bytes(4 * self.rows))
        """Trained tokens of row n + 1 at n; 0 for a row that wasn't learnt."""
        self.unprompted: array[float] | None = None
        """What row n + 1 loses without its prompt at n, as `unprompted.read` has it."""
        self.misfits: array[float] | None = None
        """How well the response of row n + 1 fits others' prompts at n, likewise."""
        self.lines = 0
        """Lines that were read."""
        self.damaged = 0
        """Lines among them that say nothing that can be understood."""
        self.beyond = 0
        """Lines among them of rows that the version doesn't have."""
        self._place = 0

    def read(self) -> bool:
        """Read what is new. Returns whether there was something.

        Raises WorkbenchError where there is no file yet, or it can't be read.
        """
        before = self.lines
        if self.unprompted is None:
            self.unprompted = unprompted.read(self.path.parent, self.rows)
            self.misfits = unprompted.misfits(self.path.parent, self.rows)
        try:
            with self.path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._place:
                    self._forget()  # another file, or one that was cut
                    before = -1
                stream.seek(self._place)
                while block := stream.read(_BLOCK):
                    whole = block.rfind(b"\n") + 1
                    if not whole and len(block) < _BLOCK:
                        break
                    whole = whole or len(block)
                    self._take(block[:whole])
                    self._place += whole
                    stream.seek(self._place)
        except FileNotFoundError as error:
            raise no_examples(self.path.parent) from error
        except OSError as error:
            raise explain_os_error(error, f"read {self.path}") from error
        return self.lines != before

    def _take(self, block: bytes) -> None:
        found = _LINE.findall(block)
        lines = max(1, block.count(b"\n"))
        self.lines += lines
        self.damaged += lines - len(found)
        for epoch, step, number, loss, tokens in found:
            row = int(number) - 1
            if not 0 <= row < self.rows:
                self.beyond += 1
                continue
            losses = self._epoch(int(epoch))
            if losses is None:
                self.damaged += 1
                continue
            losses[row] = math.nan if loss == b"null" else float(loss)
            self.steps[int(epoch)][row] = int(step)
            self.tokens[row] = int(tokens)

    def _epoch(self, epoch: int) -> array[float] | None:
        known = self.epochs.get(epoch)
        if known is None and epoch > 0 and len(self.epochs) < _MOST_EPOCHS:
            known = self.epochs[epoch] = array("f", [math.nan]) * self.rows
            self.steps[epoch] = array("I", bytes(4 * self.rows))
        return known


def of_step(run: Path, step: int) -> list[Loss]:
    """The examples of a step, the highest loss first, those without a loss before them.

    A step's lines stand together, and the last such group counts: it is looked for from the end
    of the file, since steps go back where a run was resumed. Raises WorkbenchError where the run
    has no file, or none of its lines is of the step.
    """
    path = run / NAME
    try:
        lines = _last_group(path, b'"step": %d,' % step)
    except FileNotFoundError as error:
        raise no_examples(run) from error
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    losses = {loss.row: loss for loss in map(_loss, _LINE.findall(lines)) if loss.step == step}
    if not losses:
        raise WorkbenchError(
            f"The run {run.name} has learnt no examples in step {step}.", _steps(path)
        )
    return sorted(losses.values(), key=_first_without)


def of_row(run: Path, row: int) -> list[Loss]:
    """The losses of a row, from 1, by epoch; none of one that no step has taken.

    Raises WorkbenchError where the run has no file.
    """
    mark = re.compile(rb'"row": ?%d,' % row)
    found: dict[int, Loss] = {}
    try:
        with (run / NAME).open("rb") as stream:
            for line in stream:
                if mark.search(line) and (parts := _LINE.match(line.rstrip(b"\n"))):
                    # After a resume steps come again: the last one counts.
                    loss = _loss(parts.groups())
                    found[loss.epoch] = loss
    except FileNotFoundError as error:
        raise no_examples(run) from error
    except OSError as error:
        raise explain_os_error(error, f"read {run / NAME}") from error
    return [found[epoch] for epoch in sorted(found)]


def _first_without(loss: Loss) -> float:
    return -math.inf if loss.loss is None else -loss.loss


def _loss(found: tuple[bytes, ...]) -> Loss:
    epoch, step, row, loss, tokens = found
    value = None if loss == b"null" else float(loss)
    return Loss(int(epoch), int(step), int(row), value, int(tokens))


def _last_group(path: Path, mark: bytes) -> bytes:
    """The last lines with `mark` in them that stand together; empty where there are none."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        after = end
        while after > 0:
            begin = max(0, after - _BLOCK)
            stream.seek(begin)
            # On into the next block: a mark may lie across the border.
            block = stream.read(after - begin + len(mark))
            place = block.rfind(mark)
            if place >= 0:
                return _group(stream.fileno(), begin + place, mark)
            after = begin
    return b""


def _group(handle: int, place: int, mark: bytes) -> bytes:
    """The lines around a place, the last ones of their group, that have the mark."""
    last = os.pread(handle, _LONGEST, place)
    end = place + last.find(b"\n") + 1 if b"\n" in last else place  # a torn one doesn't count
    lines = b""
    while end > 0:
        begin = max(0, end - (64 << 10))
        block = os.pread(handle, end - begin, begin)
        if begin:
            cut = block.find(b"\n") + 1
            begin, block = begin + cut, block[cut:]
        there = block.splitlines(keepends=True)
        of_it = len(there)
        while of_it and mark in there[of_it - 1]:
            of_it -= 1
        lines = b"".join(there[of_it:]) + lines
        if of_it or not there:
            break
        end = begin
    return lines


def _steps(path: Path) -> str:
    """Which steps there are, by the ends of the file."""
    with path.open("rb") as stream:
        first = _LINE.search(stream.read(_LONGEST))
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _BLOCK))
        last = _LINE.findall(stream.read())
    if not first or not last:
        return "Its examples.jsonl has none yet."
    return f"Its examples.jsonl has steps {int(first[2])} to {int(last[-1][1])}."


def no_examples(run: Path) -> WorkbenchError:
    """What is wrong with a run without the file."""
    return WorkbenchError(
        f"The run {run.name} has no {NAME}: nobody knows what each of its rows lost.",
        "A run writes it from its first step on; runs of before it was written have none.",
    )
