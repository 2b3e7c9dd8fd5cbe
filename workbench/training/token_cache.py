"""Encoded rows on disk: made once, memory-mapped by every run of the same content.

`WORKSPACE/cache/tokens/KEY/` holds `rows.arrow`, an Arrow stream as `datasets` writes it, and
`about.json`. KEY is a SHA-256 over everything that decides the tokens, so nothing in the
cache is ever out of date; what is damaged doesn't fit its own hash, and is made again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json_object, sha256_file, write_json
from workbench.training import row_digest
from workbench.training.batches import Row
from workbench.training.encode_worker import SCHEMA, Batches
from workbench.training.row_encoder import Account
from workbench.workspace import Workspace

ROOM = 20 << 30
"""Bytes that the cache may take; beyond, what was used the longest ago goes."""
_ROWS, _ABOUT = "rows.arrow", "about.json"


class EncodedRows(Sequence[Row]):
    """Encoded rows by their place, read from disk each time; in memory are 8 bytes a row."""

    def __init__(self, table: pa.Table, account: Account, held: int | None = None) -> None:
        """`table` is of the schema of encoded rows. `held` is a handle that is closed with
        this, and keeps the rows from being removed until then."""
        self._batches = table.to_batches()
        self.account = account
        """What became of the rows that are not here as they were."""
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)
        self._held = held
        self.lengths = _joined([np.diff(batch["ids"].offsets) for batch in self._batches])
        """Tokens of each row, int32, shape (rows,)."""
        self.trained = _joined([batch["trained_tokens"].to_numpy() for batch in self._batches])
        """Trained tokens of each row, int32, shape (rows,)."""

    def __del__(self) -> None:
        if self._held is not None:
            os.close(self._held)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return int(self.lengths.sum(dtype=np.int64))

    def digest(self) -> dict[str, Any]:
        """Their figures and their SHA-256, as `row_digest` has them."""
        return row_digest.digest(self._batches)

    @property
    def largest_id(self) -> int:
        """Of all tokens; -1 of none. Looks at each: 4 bytes of what opening has read already."""
        ids = (pc.max(batch["ids"].flatten()).as_py() for batch in self._batches)
        return max((largest for largest in ids if largest is not None), default=-1)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        number = int(np.searchsorted(self._ends, place, side="right"))
        batch = self._batches[number]
        inside = place - int(self._ends[number]) + batch.num_rows
        trained = batch["trained"][inside].values.to_numpy(zero_copy_only=False)
        return Row(
            # A copy: the map is for reading only, and torch knows no such tensors.
            ids=torch.from_numpy(batch["ids"][inside].values.to_numpy().copy()),
            trained=torch.from_numpy(trained),
            trained_tokens=int(self.trained[place]),
            number=batch["number"][inside].as_py(),
            task=batch["task"][inside].as_py(),
        )


def empty() -> EncodedRows:
    """No rows."""
    return EncodedRows(SCHEMA.empty_table(), Account())


def cached(workspace: Workspace, key: str, make: Callable[[Path], Batches]) -> EncodedRows:
    """The rows of `key`, from the cache or made by `make` and put there.

    `make` is given a folder for its own use. Two who make the same rows at once both finish,
    and one's are kept. Raises WorkbenchError when the cache can't be written; what `make`
    raises leaves nothing behind.
    """
    # `datasets` reads it when it is imported, which the first look does.
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    folder = workspace.cache / "tokens" / key
    found = _open(folder)
    if found is not None:
        return found
    _remove_damaged(workspace, folder)
    try:
        with building_folder(folder) as building:
            _write(building, make(building))
    except WorkbenchError:
        # Somebody else may have been faster: what is wrong with the rows is wrong with theirs.
        found = _open(folder)
        if found is None:
            raise
        return found
    found = _open(folder)
    if found is None:
        raise WorkbenchError(
            f"What was written to {folder} is not what is read from it.",
            "The disk, or the connection to it, is faulty.",
        )
    _make_room(workspace)
    return found


def _write(folder: Path, batches: Batches) -> None:
    from datasets import Features
    from datasets.arrow_writer import ArrowWriter

    account = Account()
    path = folder / _ROWS
    with ArrowWriter(features=Features.from_arrow_schema(SCHEMA), path=os.fspath(path)) as writer:
        for batch, more in batches:
            account.merge(more)
            if batch.num_rows:
                writer.write_table(pa.Table.from_batches([batch]))
        rows, _ = writer.finalize()
    about = {"v": 1, "rows": rows, "sha256": sha256_file(path), "account": account.to_json()}
    write_json(folder / _ABOUT, about)


def _open(folder: Path) -> EncodedRows | None:
    """The rows in a folder; None unless they are whole, to the last bit."""
    from datasets import Dataset

    try:
        held = os.open(folder / _ABOUT, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    kept = False
    try:
        # Held until the rows are let go of; not on a file system without locks.
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        about = read_json_object(folder / _ABOUT)
        if about["sha256"] != sha256_file(folder / _ROWS):
            return None
        table = Dataset.from_file(os.fspath(folder / _ROWS)).data.table
        with suppress(OSError):
            os.utime(folder / _ABOUT)
        found = EncodedRows(table, Account.from_json(about["account"]), held)
        kept = True
        return found
    except (WorkbenchError, KeyError, TypeError, ValueError, OSError):
        return None
    finally:
        if not kept:
            os.close(held)


def _remove_damaged(workspace: Workspace, folder: Path) -> None:
    """Remove what is in the way of rows that are to be made."""
    if not folder.exists():
        return
    # Under a lock, looked at once more: what somebody else has just made is not removed.
    with workspace.lock("tokens"):
        if _open(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _make_room(workspace: Workspace) -> None:
    """Remove what was used the longest ago and is used by nobody now, until the rest fits."""
    with workspace.lock("tokens"):
        used: list[tuple[float, int, Path]] = []
        for about in (workspace.cache / "tokens").glob(f"[!.]*/{_ABOUT}"):
            with suppress(OSError):
                size = about.with_name(_ROWS).stat().st_size
                used.append((about.stat().st_mtime, size, about))
        total = sum(size for _, size, _ in used)
        for _, size, about in sorted(used):
            if total <= ROOM:
                return
            with _unused(about) as unused:
                if unused:
                    shutil.rmtree(about.parent, ignore_errors=True)
                    total -= size


@contextmanager
def _unused(about: Path) -> Iterator[bool]:
    """Whether nobody has the rows open; nobody opens them meanwhile and finds them whole."""
    try:
        handle = os.open(about, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)
