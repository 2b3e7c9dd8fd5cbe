"""JSONL, JSON, CSV, TSV, Parquet and saved `datasets` folders, a row at a time.

Every row comes with its place, and one that can't be read comes with the reason
instead of a value.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_SHOWN = 2000
"""Characters of an unreadable line that are kept with its reason."""
_DEEPEST = 200
"""Lists and objects inside each other that a row may have; deeper ones trip up JSON's readers."""
_BLOCK = 1 << 20
_SPACE = re.compile(r"\s*")
_OPENS = re.compile(r"\s*\[\s*(?P<ends>\])?")
_GOES_ON = re.compile(r"\s*(,\s*|(?P<ends>\]))")
_HALF = "it holds half of a surrogate pair, which is no character"
_DEEP = f"it has lists or objects more than {_DEEPEST} deep"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as the file has it."""

    place: str
    """`FILE:LINE`, or `FILE:row N` where there are no lines."""
    value: Any
    problem: str = ""
    """Why it can't be read; `value` is then the text of the line."""
    reached: int = field(default=0, compare=False)
    """Bytes of the file that are behind one after this row, of those that `size` counts."""


def check_there(path: Path) -> None:
    """Raises WorkbenchError when there is neither such a file nor such a folder."""
    try:
        if not path.exists():
            raise WorkbenchError(f"There is no file {path}.", "Check the path.")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what can't be looked at counts nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def read(path: Path) -> Iterator[RawRow]:
    """The rows of a file or of a folder that `datasets` saved.

    Raises WorkbenchError when it doesn't exist, or is nothing that can be read.
    """
    check_there(path)
    try:
        if path.is_dir():
            yield from _read_datasets_folder(path)
            return
        yield from _READERS.get(path.suffix.lower(), _read_jsonl)(path)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error


def plain_name(path: Path) -> str:
    """The path's last part as text: a file's name may hold bytes that are no UTF-8."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def refuse_binary(path: Path, head: bytes) -> None:
    """Raises WorkbenchError when a file that begins so can't be JSONL."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise WorkbenchError(f"{path} is not JSONL: it is UTF-16.", "Save it as UTF-8.")
    if b"\0" in head or head.startswith((b"PAR1", b"\x1f\x8b")):
        raise WorkbenchError(
            f"{path} is not JSONL: it holds binary data.",
            "Unpack it if it is compressed. JSON, CSV, TSV and Parquet are told by the end of "
            "the name.",
        )


def _read_jsonl(path: Path) -> Iterator[RawRow]:
    name = plain_name(path)
    with path.open("rb") as stream:
        refuse_binary(path, stream.peek(4096)[:4096])
        reached = 0
        for number, line in enumerate(stream, start=1):
            reached += len(line)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield parse_line(line, f"{name}:{number}", reached)


def parse_line(line: bytes, place: str, reached: int = 0) -> RawRow:
    """The row of one line of JSONL, or the reason why it is none."""
    try:
        value = json.loads(
            line.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
        )
        if b"\\ud" not in line.lower() and line.count(b"[") + line.count(b"{") <= _DEEPEST:
            return RawRow(place, value, "", reached)
        problem = _problem_of(value)
        if not problem:
            return RawRow(place, value, "", reached)
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start + 1} of the line)"
    except json.JSONDecodeError as error:
        problem = f"it is not JSON: {error.msg} at character {error.pos + 1}"
    except ValueError as error:
        problem = f"it is not JSON: {error}"
    except RecursionError:
        problem = _DEEP
    shown = line.decode("utf-8", "replace").rstrip("\r\n")[:_SHOWN]
    return RawRow(place, shown, problem, reached)


def _problem_of(value: Any) -> str:
    """Why a value can't be a row of JSONL; empty when it can.

    JSON can name half of a surrogate pair, which is no character, so UTF-8 can't hold it.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return _HALF
    except ValueError:
        return "it is not JSON: NaN and Infinity are no JSON values"
    except RecursionError:
        return _DEEP
    return _DEEP if _deeper(value, _DEEPEST) else ""


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(_deeper(part, levels - 1) for part in inner)


def _plain(value: Any) -> Any:
    """A value as JSON can have it: dates and the like as text; null for a number that is none
    and for bytes that are no text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str | int | None) else str(value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _read_json(path: Path) -> Iterator[RawRow]:
    """A list of rows, an object that holds one, one row, or JSON lines that are called .json."""
    if _begins_a_list(path):
        yield from _read_list(path)
        return
    try:
        body = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError):
        yield from _read_jsonl(path)
        return
    if not isinstance(body, dict):
        raise WorkbenchError(f"{path} holds no rows: its top level is neither list nor object.")
    lists = [value for value in body.values() if isinstance(value, list)]
    one_row = len(lists) != 1 or "messages" in body or "text" in body
    rows, whole = [body] if one_row else lists[0], size(path)
    for number, value in enumerate(rows, start=1):
        yield _json_row(path, number, value, whole * number // len(rows))


def _begins_a_list(path: Path) -> bool:
    """Whether a file is one list; a first line that is a whole one is a row of JSON lines."""
    with path.open("rb") as stream:
        opening = stream.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
    line, _, more = opening.partition(b"\n")
    if not (line.startswith(b"[") and more.strip()):
        return opening.startswith(b"[")
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _read_list(path: Path) -> Iterator[RawRow]:
    """The values of a list, a block at a time. Raises WorkbenchError where it is no JSON."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, (value, behind) in enumerate(_values(stream), start=1):
                # A character has a byte or more.
                yield _json_row(path, number, value, behind)
    except json.JSONDecodeError as error:
        raise WorkbenchError(f"{path} is not JSON after row {number}: {error.msg}.") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(
            f"{path} is not UTF-8 after row {number}.", "Save it as UTF-8."
        ) from error
    except RecursionError as error:
        raise WorkbenchError(f"{path} can't be read after row {number}: {_DEEP}.") from error


def _values(stream: TextIO) -> Iterator[tuple[Any, int]]:
    """The values of a list, each with how many characters are behind one after it.

    Raises JSONDecodeError where the list is none.
    """
    decoder, text, place, gone = json.JSONDecoder(), "", 0, 0
    before = _OPENS
    while True:
        # As much again as is left, so that a long value isn't begun too often.
        block = stream.read(max(_BLOCK, len(text) - place))
        text, place, gone = text[place:] + block, 0, gone + place
        while found := before.match(text, place):
            if found["ends"]:
                return
            try:
                value, ends = decoder.raw_decode(text, found.end())
            except json.JSONDecodeError:
                if block:
                    break
                raise
            if block and ends == len(text):
                break  # a number may go on
            yield value, gone + ends
            before, place = _GOES_ON, ends
        else:
            if not block or not _SPACE.fullmatch(text, place):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, place)


def _json_row(path: Path, number: int, value: Any, reached: int) -> RawRow:
    problem = _problem_of(value)
    shown = ascii(value)[:_SHOWN] if problem else value
    return RawRow(f"{plain_name(path)}:row {number}", shown, problem, reached)


def _read_csv(path: Path, delimiter: str = ",") -> Iterator[RawRow]:
    # Fields of any length: the module's own limit of 128 KiB is for another age.
    csv.field_size_limit(1 << 30)
    name = plain_name(path)
    with path.open("rb") as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        line = 1
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None or len(header) < 2:
                raise WorkbenchError(
                    f"{path} has no header with at least two columns.",
                    "Its first line must name them, such as instruction,output.",
                )
            twice = sorted({column for column in header if header.count(column) > 1})
            if twice:
                raise WorkbenchError(f"{path} names the column {twice[0]!r} twice.")
            line = reader.line_num + 1
            for fields in reader:
                if fields:
                    yield _csv_row(header, fields, f"{name}:{line}", raw.tell())
                line = reader.line_num + 1
        except csv.Error as error:
            raise WorkbenchError(
                f"{name}:{reader.line_num} is not CSV: {error}; the row begins on line {line}."
            ) from error
        except UnicodeDecodeError as error:
            raise WorkbenchError(
                f"{name} is not UTF-8 after line {reader.line_num}.", "Save it as UTF-8."
            ) from error


def _csv_row(header: list[str], fields: list[str], place: str, reached: int) -> RawRow:
    if len(fields) == len(header):
        return RawRow(place, dict(zip(header, fields, strict=True)), "", reached)
    problem = f"it has {len(fields)} columns where the header has {len(header)}"
    return RawRow(place, ",".join(fields)[:_SHOWN], problem, reached)


def _read_parquet(path: Path) -> Iterator[RawRow]:
    import pyarrow
    from pyarrow import parquet

    name = plain_name(path)
    try:
        file = parquet.ParquetFile(path)
        whole, rows = size(path), file.metadata.num_rows
        number = 0
        for batch in file.iter_batches(1000):
            for value in batch.to_pylist():
                number += 1
                place = f"{name}:row {number}"
                yield RawRow(place, _plain(value), "", whole * number // rows)
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} has text that is not UTF-8: {error}.") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"{path} is not Parquet that can be read: {reason}") from error


def _read_datasets_folder(path: Path) -> Iterator[RawRow]:
    if not ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
        raise WorkbenchError(
            f"{path} is a folder, but not one that `datasets` saved.",
            "Name a file, or a folder that Dataset.save_to_disk wrote.",
        )
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever its readers of JSON and Arrow raise
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"{path} can't be read by `datasets`: {reason}") from error
    name = plain_name(path)
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    whole, count, done = size(path), sum(map(len, splits.values())), 0
    for split, rows in splits.items():
        for number, value in enumerate(rows, start=1):
            done += 1
            place = f"{name}{f'/{split}' if split else ''}:row {number}"
            yield RawRow(place, _plain(value), "", whole * done // count)


_READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": lambda path: _read_csv(path, "\t"),
    ".parquet": _read_parquet,
}
