"""The lines of a dataset version -> record batches of tokens, in order, on all cores.

Lines are dealt to workers (`data.dealing`); one is `python -m workbench.training.encode_worker
REQUEST PLACE`, and imports no torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.config.schema import Data
from workbench.data import dealing
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.files import write_json
from workbench.training.row_encoder import Account, EncodedRow, RowEncoder

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("task", pa.string()),
        ("ids", pa.list_(pa.int32())),
        ("trained", pa.list_(pa.bool_())),
        ("trained_tokens", pa.int32()),
    ]
)
"""An encoded row; `trained` is as long as `ids`, and `trained_tokens` counts it."""
_ROWS = 256
"""Lines of a chunk."""
_A_WORKER = 4 << 20
"""Bytes of rows that are worth a process more: some three seconds of work, where it takes one
to be there."""
_ACCOUNT = b"account"
_REQUEST = "request.json"

Batches = Iterator[tuple[pa.RecordBatch, Account]]
"""The rows of each chunk that are used, and the account of the others; in order."""


@dataclass(frozen=True)
class Work:
    """Which lines of which file are encoded, and how."""

    path: Path
    split: str
    chosen: list[int] | None
    """Numbers of the lines, from 1, in order; None: all of the split."""
    data: Data

    def to_json(self, template: ChatTemplate, workers: int) -> dict[str, Any]:
        return {
            "path": os.fspath(self.path),
            "split": self.split,
            "chosen": self.chosen,
            "data": self.data.model_dump(),
            "template": template.to_json(),
            "workers": workers,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Work:
        data = Data.model_validate(body["data"])
        return cls(Path(body["path"]), body["split"], body["chosen"], data)


def worth(size: int) -> int:
    """Workers that `size` bytes of rows are worth."""
    return dealing.worth(size, _A_WORKER)


def encode_lines(work: Work, template: ChatTemplate, workers: int, folder: Path) -> Batches:
    """Encode `work`, in this process if one worker is enough.

    `folder` is a place for what the workers are told, which is removed again. Workers end
    with the iterator. Raises WorkbenchError when one of them ends before its work is done.
    """
    return _here(work, template) if workers == 1 else _beside(work, template, workers, folder)


def _here(work: Work, template: ChatTemplate, place: int = 0, workers: int = 1) -> Batches:
    wanted = None if work.chosen is None else frozenset(work.chosen)
    for chunk, _ in dealing.chunks(work.path, _ROWS, place, workers):
        encoder = RowEncoder(template, work.data)
        rows = []
        for before, line in chunk:
            number = before + 1
            if wanted is not None and number not in wanted:
                continue
            example = Example.from_json(json.loads(line))
            if example.split == work.split and (row := encoder.encode(example, number)):
                rows.append(row)
        yield _batch(rows), encoder.account


def _batch(rows: list[EncodedRow]) -> pa.RecordBatch:
    columns = {
        "number": [row.number for row in rows],
        "task": [row.task for row in rows],
        "ids": [row.ids for row in rows],
        "trained": [row.trained for row in rows],
        "trained_tokens": [sum(row.trained) for row in rows],
    }
    return pa.RecordBatch.from_pydict(columns, SCHEMA)


def _beside(work: Work, template: ChatTemplate, workers: int, folder: Path) -> Batches:
    request = folder / _REQUEST
    write_json(request, work.to_json(template, workers))
    try:
        yield from dealing.in_turn(partial(_Encoder, request), workers, _Encoder.next_batch)
    finally:
        request.unlink(missing_ok=True)


class _Encoder(dealing.Worker):
    """A process that encodes every so many-th chunk."""

    def __init__(self, request: Path, place: int) -> None:
        arguments = [os.fspath(request), str(place)]
        super().__init__("workbench.training.encode_worker", arguments, "encodes rows")
        self._stream: Any = None

    def next_batch(self) -> tuple[pa.RecordBatch, Account] | None:
        """Its next chunk, once it is there; None after its last one."""
        try:
            if self._stream is None:
                self._stream = pa.ipc.open_stream(self.pipe)
            batch, metadata = self._stream.read_next_batch_with_custom_metadata()
        except StopIteration:
            self.check_ended()
            return None
        except (pa.ArrowInvalid, OSError):
            # Half a message is all that one that was killed has left.
            self.check_ended()
            raise
        return batch, Account.from_json(json.loads(metadata[_ACCOUNT]))


def _work(request: Path, place: int) -> None:
    """What a worker does: encode every so many-th chunk, and send its rows."""
    body = json.loads(request.read_text(encoding="utf-8"))
    template = ChatTemplate.from_json(body["template"])
    found = _here(Work.from_json(body), template, place, body["workers"])
    with pa.ipc.new_stream(sys.stdout.buffer, SCHEMA) as stream:
        for batch, account in found:
            metadata = {_ACCOUNT: json.dumps(account.to_json())}
            stream.write_batch(batch, custom_metadata=metadata)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        _work(Path(sys.argv[1]), int(sys.argv[2]))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Nobody wants the rows any more; there is no one to tell, either.
        os._exit(0)
