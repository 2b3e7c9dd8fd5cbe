"""Rows -> JSONL, JSON, CSV, TSV, Parquet, a block at a time, and packed by gzip if so named."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from workbench.data.opening import GZIP, suffix_of
from workbench.errors import WorkbenchError
from workbench.files import writing

Row = dict[str, Any]
_BATCH = 1000
_TYPES: dict[type, str] = {str: "string", bool: "bool_", int: "int64", float: "float64"}


class Columns:
    """The fields of all rows, in the order in which they are met, each with what it holds."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[type]] = {}
        self.calls = False
        """Whether any turn has more than a role and a text."""

    def add(self, row: Row) -> None:
        """Count a row in."""
        for name, value in row.items():
            kinds = self.kinds.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))
        for name in ("messages", "conversations"):
            self.calls |= name in row and any(len(turn) > 2 for turn in row[name])


class _Wide:
    """Stands for integers that a column of integers holds, and one of floats may not."""


class _Longer:
    """Stands for integers of more than 64 bits, which no column holds."""


def _kind(value: Any) -> type:
    if type(value) is not int or -(2**53) <= value <= 2**53:
        return type(value)
    return _Wide if -(2**63) <= value < 2**63 else _Longer


Write = Callable[[IO[bytes], Iterable[Row], Columns], None]


def check_suffix(path: Path) -> None:
    """Raises WorkbenchError for the name of a file of no kind that is written."""
    packed = path.suffix.lower() == GZIP
    if suffix_of(path) not in _WRITERS or (packed and suffix_of(path) == ".parquet"):
        known = ", ".join(_WRITERS)
        raise WorkbenchError(
            f"What {path} is to be can't be told from its name.",
            f"Known are {known}, all but .parquet also with .gz; a name without an end is a "
            "folder for `datasets`.",
        )


def write(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write a file whole, of the kind that its name ends with. Raises WorkbenchError."""
    with writing(path) as stream:
        if path.suffix.lower() == GZIP:
            # Without name and time: the same rows give the same bytes.
            with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
                _WRITERS[suffix_of(path)](packed, rows, columns)  # type: ignore[arg-type]
        else:
            _WRITERS[suffix_of(path)](stream, rows, columns)


def _json_text(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False)


def _jsonl(stream: IO[bytes], rows: Iterable[Row], columns: Columns) -> None:
    for row in rows:
        stream.write(f"{_json_text(row)}\n".encode())


def _json(stream: IO[bytes], rows: Iterable[Row], columns: Columns) -> None:
    before = "[\n"
    for row in rows:
        stream.write(f"{before}{_json_text(row)}".encode())
        before = ",\n"
    stream.write(b"\n]\n")


def _csv(stream: IO[bytes], rows: Iterable[Row], columns: Columns, delimiter: str = ",") -> None:
    # A field with \r is put into quotes only where the end of the line has one.
    writer = csv.writer(_Lines(stream), delimiter=delimiter, lineterminator="\r\n")
    names = list(columns.kinds)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])


class _Lines:
    """Takes a line that ends in \\r\\n at a time, and writes it with \\n."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(f"{line[:-2]}\n".encode())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json_text(value)


def _tsv(stream: IO[bytes], rows: Iterable[Row], columns: Columns) -> None:
    _csv(stream, rows, columns, "\t")


def _parquet(stream: IO[bytes], rows: Iterable[Row], columns: Columns) -> None:
    from pyarrow import Table, parquet

    schema = _schema(columns)
    with parquet.ParquetWriter(stream, schema) as writer:
        for batch in _batches(rows):
            writer.write_table(Table.from_pylist(list(map(_for(schema), batch)), schema))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _for(schema: Any) -> Callable[[Row], Row]:
    """Makes a row fit a schema: what its column is no type for is JSON text."""
    texts = {field.name for field in schema if field.type == "string"}

    def fit(row: Row) -> Row:
        return {
            name: _cell(value)
            if name in texts and value is not None and not isinstance(value, str)
            else value
            for name, value in row.items()
        }

    return fit


def _schema(columns: Columns) -> Any:
    """Columns of the format's own types; of the others, texts and numbers as such, and what is
    nested, longer than 64 bits or of several kinds as JSON text."""
    import pyarrow as pa

    text = pa.string()
    function = pa.struct([("name", text), ("arguments", text)])
    call = pa.struct([("type", text), ("id", text), ("function", function)])
    named = [("tool_call_id", text), ("name", text)] if columns.calls else []
    calls = [("tool_calls", pa.list_(call))] if columns.calls else []
    own = {
        "messages": pa.list_(pa.struct([("role", text), ("content", text), *calls, *named])),
        "conversations": pa.list_(pa.struct([("from", text), ("value", text), *named])),
        "history": pa.list_(pa.list_(text)),
    }

    def type_of(name: str, kinds: set[type]) -> Any:
        if name in own and kinds == {list}:
            return own[name]
        if kinds == {int, _Wide} or kinds == {_Wide}:
            return pa.int64()
        one = kinds.pop() if len(kinds) == 1 else float if kinds == {int, float} else str
        return getattr(pa, _TYPES.get(one, "string"))()

    return pa.schema([(name, type_of(name, set(kinds))) for name, kinds in columns.kinds.items()])


_WRITERS: dict[str, Write] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
