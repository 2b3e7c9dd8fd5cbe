"""SHA-256 of encoded rows: of their tokens and masks, in whatever batches they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa


class RowDigest:
    """Takes record batches of encoded rows, in order."""

    def __init__(self) -> None:
        self._parts = [hashlib.sha256() for _ in range(4)]
        self._rows = self._tokens = self._trained = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """One more batch, of the schema of encoded rows."""
        lengths = np.diff(batch["ids"].offsets.to_numpy())
        ids = batch["ids"].flatten().to_numpy(zero_copy_only=False)
        trained = batch["trained"].flatten().to_numpy(zero_copy_only=False)
        numbers = batch["number"].to_numpy(zero_copy_only=False)
        columns = ((numbers, "<i8"), (lengths, "<i4"), (ids, "<i4"), (trained, "u1"))
        for part, (values, kind) in zip(self._parts, columns, strict=True):
            part.update(np.ascontiguousarray(values, dtype=kind).tobytes())
        self._rows += batch.num_rows
        self._tokens += len(ids)
        self._trained += int(trained.sum())

    def to_json(self) -> dict[str, Any]:
        """`rows`, `tokens`, `trained_tokens`, and `sha256` over the rows' numbers in the version,
        their lengths, their token ids and which tokens are trained."""
        whole = hashlib.sha256(b"".join(part.digest() for part in self._parts))
        return {
            "rows": self._rows,
            "tokens": self._tokens,
            "trained_tokens": self._trained,
            "sha256": whole.hexdigest(),
        }


def digest(batches: Iterable[pa.RecordBatch]) -> dict[str, Any]:
    """`RowDigest.to_json` of all of them."""
    found = RowDigest()
    for batch in batches:
        found.add(batch)
    return found.to_json()
