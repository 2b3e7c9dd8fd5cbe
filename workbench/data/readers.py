"""JSONL, JSON, CSV, TSV, Parquet, saved `datasets` folders and documents, a row at a time.

Every row comes with its place, and one that can't be read comes with the reason
instead of a value.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from workbench.data import arrow
from workbench.data.documents import documents
from workbench.data.formats import is_row
from workbench.data.opening import opened, suffix_of
from workbench.data.raw import RawRow, check_there, plain_name, refuse_binary, size
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_SHOWN = 2000
"""Characters of an unreadable line that are kept with its reason."""
_LINES = 100
"""Lines of an unreadable row that are kept with its reason."""
_DEEPEST = 200
"""Lists and objects inside each other that a row may have; deeper ones trip up JSON's readers."""
_BLOCK = 1 << 20
_SPACE = re.compile(r"\s*")
_OPENS = re.compile(r"\s*\[\s*(?P<ends>\])?")
_GOES_ON = re.compile(r"\s*(,\s*|(?P<ends>\]))")
_HALF = "it holds half of a surrogate pair, which is no character"
_DEEP = f"it has lists or objects more than {_DEEPEST} deep"


def read(path: Path, encoding: str = "") -> Iterator[RawRow]:
    """The rows of a file or of a folder that `datasets` saved.

    `encoding` is that of a file of text; empty: UTF-8, or what its byte-order mark says. Raises
    WorkbenchError when it doesn't exist, is nothing that can be read, or has another encoding.
    """
    check_there(path)
    try:
        if path.is_dir():
            yield from arrow.read_datasets_folder(path)
        elif (suffix := suffix_of(path)) == ".parquet":
            yield from arrow.read_parquet(path)
        else:
            yield from _READERS.get(suffix, _read_jsonl)(path, encoding)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error


def _read_jsonl(path: Path, encoding: str) -> Iterator[RawRow]:
    name = plain_name(path)
    with opened(path, encoding) as file:
        refuse_binary(path, file.stream.peek(4096)[:4096])
        reached = 0
        for number, line in enumerate(file.stream, start=1):
            reached = reached + len(line) if file.plain else file.reached
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


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _read_json(path: Path, encoding: str) -> Iterator[RawRow]:
    """A list of rows, an object that holds one, one row, or JSON lines that are called .json."""
    if _begins_a_list(path, encoding):
        yield from _read_list(path, encoding)
        return
    try:
        with opened(path, encoding) as file:
            body = json.loads(file.stream.read().decode("utf-8-sig"))
    except (ValueError, RecursionError):
        yield from _read_jsonl(path, encoding)
        return
    if not isinstance(body, dict):
        raise WorkbenchError(f"{path} holds no rows: its top level is neither list nor object.")
    lists = [value for value in body.values() if isinstance(value, list)]
    one_row = len(lists) != 1 or is_row(body)
    rows, whole = [body] if one_row else lists[0], size(path)
    for number, value in enumerate(rows, start=1):
        yield _json_row(path, number, value, whole * number // len(rows))


def _begins_a_list(path: Path, encoding: str) -> bool:
    """Whether a file is one list; a first line that is a whole one is a row of JSON lines."""
    with opened(path, encoding) as file:
        opening = file.stream.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
    line, _, more = opening.partition(b"\n")
    if not (line.startswith(b"[") and more.strip()):
        return opening.startswith(b"[")
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _read_list(path: Path, encoding: str) -> Iterator[RawRow]:
    """The values of a list, a block at a time. Raises WorkbenchError where it is no JSON."""
    number = 0
    try:
        with opened(path, encoding, strict=True) as file:
            stream = io.TextIOWrapper(file.stream, encoding="utf-8-sig")
            for number, (value, behind) in enumerate(_values(stream), start=1):
                # A character has a byte or more.
                yield _json_row(path, number, value, min(behind, file.reached))
    except json.JSONDecodeError as error:
        raise WorkbenchError(f"{path} is not JSON after row {number}: {error.msg}.") from error
    except RecursionError as error:
        raise WorkbenchError(f"{path} can't be read after row {number}: {_DEEP}.") from error


def _values(stream: TextIO) -> Iterator[tuple[Any, int]]:
    """The values of a list, each with how many characters are behind one after it.

    Raises JSONDecodeError where the list is none, and where anything follows it.
    """
    decoder, text, place, gone = json.JSONDecoder(), "", 0, 0
    before = _OPENS
    while True:
        # As much again as is left, so that a long value isn't begun too often.
        block = stream.read(max(_BLOCK, len(text) - place))
        text, place, gone = text[place:] + block, 0, gone + place
        while found := before.match(text, place):
            if found["ends"]:
                _check_ended(stream, text, found.end())
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


def _check_ended(stream: TextIO, text: str, place: int) -> None:
    while _SPACE.fullmatch(text, place):
        text, place = stream.read(_BLOCK), 0
        if not text:
            return
    raise json.JSONDecodeError("Something follows the end of the list", text, place)


def _json_row(path: Path, number: int, value: Any, reached: int) -> RawRow:
    problem = _problem_of(value)
    shown = ascii(value)[:_SHOWN] if problem else value
    return RawRow(f"{plain_name(path)}:row {number}", shown, problem, reached)


def _read_csv(path: Path, encoding: str, delimiter: str = ",") -> Iterator[RawRow]:
    # Fields of any length: the module's own limit of 128 KiB is for another age.
    csv.field_size_limit(1 << 30)
    name = plain_name(path)
    with opened(path, encoding, strict=True) as file:
        stream = io.TextIOWrapper(file.stream, encoding="utf-8-sig", newline="")
        lines: list[str] = []
        reader = csv.reader(_noted(stream, lines), delimiter=delimiter, strict=True)
        header = _csv_header(path, reader)
        while True:
            lines.clear()
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                goes_on = f"; it goes on to line {reader.line_num}" if len(lines) > 1 else ""
                shown = "".join(lines).rstrip("\r\n")[:_SHOWN]
                problem = f"it can't be CSV: {error}{goes_on}"
                yield RawRow(f"{name}:{line}", shown, problem, file.reached)
                continue
            if fields:
                yield _csv_row(header, fields, f"{name}:{line}", file.reached)


def _noted(stream: TextIO, lines: list[str]) -> Iterator[str]:
    """The lines of a stream; the first of those that are read are put into `lines`, too."""
    for line in stream:
        if len(lines) < _LINES:
            lines.append(line[:_SHOWN])
        yield line


def _csv_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    """Raises WorkbenchError for what is none."""
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise WorkbenchError(f"{path} is not CSV: {error}; its header is on line 1.") from error
    if len(header) < 2 and not is_row(dict.fromkeys(header, "")):
        raise WorkbenchError(
            f"{path} has no header with at least two columns.",
            "Its first line must name them, such as instruction,output; the one column of plain "
            "texts is called text, that of conversations messages or conversations.",
        )
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise WorkbenchError(f"{path} names the column {twice[0]!r} twice.")
    return header


def _csv_row(header: list[str], fields: list[str], place: str, reached: int) -> RawRow:
    if len(fields) == len(header):
        return RawRow(place, dict(zip(header, fields, strict=True)), "", reached)
    problem = f"it has {len(fields)} columns where the header has {len(header)}"
    return RawRow(place, ",".join(fields)[:_SHOWN], problem, reached)


def _read_text(path: Path, encoding: str) -> Iterator[RawRow]:
    """JSON lines that are called .txt, or else documents."""
    with opened(path, encoding) as file:
        head = file.stream.peek(1)[:1] and file.stream.read(_BLOCK)
    first = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if first.startswith(b"{") and b'"' in first[:200]:
        return _read_jsonl(path, encoding)
    return _read_document(path, encoding)


def _read_document(path: Path, encoding: str) -> Iterator[RawRow]:
    """The documents of a file of text: the whole file, or the parts between lines that hold a
    form feed alone. Line ends become \\n."""
    name = plain_name(path)
    with opened(path, encoding, strict=True) as file:
        refuse_binary(path, file.stream.peek(4096)[:4096])
        for line, text in documents(io.TextIOWrapper(file.stream, encoding="utf-8-sig")):
            yield RawRow(f"{name}:{line}", {"text": text}, "", file.reached)


def _read_tsv(path: Path, encoding: str) -> Iterator[RawRow]:
    return _read_csv(path, encoding, "\t")


_READERS: dict[str, Callable[[Path, str], Iterator[RawRow]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".txt": _read_text,
    ".md": _read_document,
    ".markdown": _read_document,
}
