"""The lines of a dataset version -> record batches of tokens, in order, on all cores.

Chunks of lines are dealt to the workers in turn, and each worker's batches come through its
pipe: who reads them in turn has the rows in their order, and a worker that is ahead waits at
a full pipe, so that few batches exist at once, however many rows there are. A worker is
`python -m workbench.training.encode_worker REQUEST PLACE`; it imports no torch.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.config.schema import Data
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
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
_BYTES = 1 << 20
"""Lines and bytes after which a chunk ends: long documents make small chunks."""
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
    """Workers that `size` bytes of rows are worth, at least 1 and at most one a core."""
    return min(len(os.sched_getaffinity(0)), 1 + size // _A_WORKER)


def encode_lines(work: Work, template: ChatTemplate, workers: int, folder: Path) -> Batches:
    """Encode `work`, in this process if one worker is enough.

    `folder` is a place for what the workers are told, which is removed again. Workers end
    with the iterator. Raises WorkbenchError when one of them ends before its work is done.
    """
    return _here(work, template) if workers == 1 else _beside(work, template, workers, folder)


def _here(work: Work, template: ChatTemplate, place: int = 0, workers: int = 1) -> Batches:
    wanted = None if work.chosen is None else frozenset(work.chosen)
    for chunk in itertools.islice(_chunks(work.path), place, None, workers):
        encoder = RowEncoder(template, work.data)
        rows = []
        for number, line in chunk:
            if wanted is not None and number not in wanted:
                continue
            example = Example.from_json(json.loads(line))
            if example.split == work.split and (row := encoder.encode(example, number)):
                rows.append(row)
        yield _batch(rows), encoder.account


def _chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """The lines with their numbers, from 1, some at a time; the same for every worker."""
    chunk: list[tuple[int, bytes]] = []
    size = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            chunk.append((number, line))
            size += len(line)
            if len(chunk) >= _ROWS or size >= _BYTES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


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
    with ExitStack() as ending:
        ending.callback(request.unlink, missing_ok=True)
        started = [_Worker(request, place) for place in range(workers)]
        for worker in started:
            ending.callback(worker.end)
        for worker in itertools.cycle(started):
            found = worker.next_batch()
            if found is None:
                break  # the lines end here, for all of them
            yield found
        for worker in started:
            worker.check_ended()


class _Worker:
    """A process that encodes every so many-th chunk."""

    def __init__(self, request: Path, place: int) -> None:
        module = "workbench.training.encode_worker"
        command = [sys.executable, "-m", module, os.fspath(request), str(place)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._pipe: Any = self._process.stdout
        self._stream: Any = None

    def next_batch(self) -> tuple[pa.RecordBatch, Account] | None:
        """Its next chunk, once it is there; None after its last one."""
        try:
            if self._stream is None:
                self._stream = pa.ipc.open_stream(self._pipe)
            batch, metadata = self._stream.read_next_batch_with_custom_metadata()
        except StopIteration:
            self.check_ended()
            return None
        except (pa.ArrowInvalid, OSError):
            # Half a message is all that one that was killed has left.
            self.check_ended()
            raise
        return batch, Account.from_json(json.loads(metadata[_ACCOUNT]))

    def check_ended(self) -> None:
        """Wait for its end, which is near. Raises WorkbenchError when it died."""
        status = self._process.wait()
        if status:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            raise WorkbenchError(
                f"A process that encodes rows ended before its work was done ({how}).",
                "stderr.log has what it said; signal 9 is mostly a lack of memory.",
                "out_of_host_memory" if status == -signal.SIGKILL else "error",
            )

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()


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
