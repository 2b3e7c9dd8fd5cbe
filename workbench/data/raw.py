"""Rows as files have them, before anything is made of them."""

from __future__ import annotations

import codecs
import contextlib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_BINARY = 1 / 20
"""The share of NUL bytes above which a file is taken for no text: a few are a fault of rows."""


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


def plain_name(path: Path) -> str:
    """The path's last part as text: a file's name may hold bytes that are no UTF-8."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def refuse_binary(path: Path, head: bytes) -> None:
    """Raises WorkbenchError when a file that begins so can't be JSONL."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise WorkbenchError(
            f"{path} is not JSONL: it is UTF-16.",
            "Save it as UTF-8 to look at it as it is; an import reads it.",
        )
    packed = head.startswith((b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ"))
    if packed or _is_binary(head):
        raise WorkbenchError(
            f"{path} is not JSONL: it holds binary data.",
            "Unpack it if it is compressed; what gzip has packed is read if its name ends in .gz. "
            "JSON, CSV, TSV and Parquet are told by the end of the name. Name the encoding of a "
            "text by --encoding, such as utf-16-le.",
        )


def plain_value(value: Any) -> Any:
    """A value as JSON can have it: dates and the like as text; null for a number that is none
    and for bytes that are no text."""
    if isinstance(value, dict):
        return {str(k): plain_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str | int | None) else str(value)


def _is_binary(head: bytes) -> bool:
    if 0 not in head:
        return False
    try:
        # The last character may be cut.
        head[: max(1, len(head) - 3)].decode("utf-8")
    except UnicodeDecodeError:
        return True
    return head.count(0) > len(head) * _BINARY
