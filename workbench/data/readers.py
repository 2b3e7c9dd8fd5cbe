"""JSONL, JSON, CSV, TSV, Parquet and saved `datasets` folders, a row at a time.

Every row comes with its place, and one that can't be read comes with the reason
instead of a value.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_SHOWN = 2000
"""Characters of an unreadable line that are kept with its reason."""
_HALF = "it holds half of a surrogate pair, which is no character"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as the file has it."""

    place: str
    """`FILE:LINE`, or `FILE:row N` where there are no lines."""
    value: Any
    problem: str = ""
    """Why it can't be read; `value` is then the text of the line."""


def read(path: Path) -> Iterator[RawRow]:
    """The rows of a file or of a folder that `datasets` saved.

    Raises WorkbenchError when it doesn't exist, or is nothing that can be read.
    """
    if not path.exists():
        raise WorkbenchError(f"There is no file {path}.", "Check the path.")
    if path.is_dir():
        yield from _read_datasets_folder(path)
        return
    reader = _READERS.get(path.suffix.lower(), _read_jsonl)
    try:
        yield from reader(path)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error


def _read_jsonl(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _parse_line(line, f"{path.name}:{number}")


def _parse_line(line: bytes, place: str) -> RawRow:
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\ud" not in line.lower() or _is_text(value):
            return RawRow(place, value)
        problem = _HALF
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start + 1} of the line)"
    except json.JSONDecodeError as error:
        problem = f"it is not JSON: {error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        problem = f"it is not JSON: {error}"
    return RawRow(place, line.decode("utf-8", "replace").rstrip("\r\n")[:_SHOWN], problem)


def _is_text(value: Any) -> bool:
    """Whether UTF-8 can hold it: JSON can name half of a surrogate pair, which is no character."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    """A value as JSON can have it: dates and the like as text, a number that is none as null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _read_json(path: Path) -> Iterator[RawRow]:
    try:
        body = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # Many a .json is JSON lines.
        yield from _read_jsonl(path)
        return
    if isinstance(body, dict):
        lists = [value for value in body.values() if isinstance(value, list)]
        body = lists[0] if len(lists) == 1 and "messages" not in body else [body]
    if not isinstance(body, list):
        raise WorkbenchError(f"{path} holds no rows: its top level is neither list nor object.")
    for number, value in enumerate(body, start=1):
        place = f"{path.name}:row {number}"
        if _is_text(value):
            yield RawRow(place, value)
        else:
            yield RawRow(place, ascii(value)[:_SHOWN], _HALF)


def _read_csv(path: Path, delimiter: str = ",") -> Iterator[RawRow]:
    # Fields of any length: the module's own limit of 128 KiB is for another age.
    csv.field_size_limit(1 << 30)
    with path.open("rb") as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None or len(header) < 2:
                raise WorkbenchError(
                    f"{path} has no header with at least two columns.",
                    "Its first line must name them, such as instruction,output.",
                )
            for fields in reader:
                yield _csv_row(header, fields, f"{path.name}:{reader.line_num}")
        except csv.Error as error:
            place = f"{path.name}:{reader.line_num}"
            raise WorkbenchError(f"{place} is not CSV: {error}.") from error
        except UnicodeDecodeError as error:
            raise WorkbenchError(
                f"{path.name} is not UTF-8 after line {reader.line_num}.", "Save it as UTF-8."
            ) from error


def _csv_row(header: list[str], fields: list[str], place: str) -> RawRow:
    if len(fields) == len(header):
        return RawRow(place, dict(zip(header, fields, strict=True)))
    problem = f"it has {len(fields)} columns where the header has {len(header)}"
    return RawRow(place, ",".join(fields)[:_SHOWN], problem)


def _read_parquet(path: Path) -> Iterator[RawRow]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(1000):
            for value in batch.to_pylist():
                number += 1
                yield RawRow(f"{path.name}:row {number}", _plain(value))
    except pyarrow.ArrowInvalid as error:
        raise WorkbenchError(f"{path} is not Parquet: {error}") from error


def _read_datasets_folder(path: Path) -> Iterator[RawRow]:
    if not ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
        raise WorkbenchError(
            f"{path} is a folder, but not one that `datasets` saved.",
            "Name a file, or a folder that Dataset.save_to_disk wrote.",
        )
    import datasets

    loaded = datasets.load_from_disk(str(path))
    splits = loaded.items() if isinstance(loaded, datasets.DatasetDict) else [("", loaded)]
    for split, rows in splits:
        for number, value in enumerate(rows, start=1):
            yield RawRow(f"{path.name}{f'/{split}' if split else ''}:row {number}", _plain(value))


_READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": lambda path: _read_csv(path, "\t"),
    ".parquet": _read_parquet,
}
