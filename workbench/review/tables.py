"""Tables of judgements from elsewhere, a row at a time: .xlsx, and what `data import` reads."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.data import readers
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

Row = tuple[str, dict[str, Any], str]
"""`FILE:LINE` or `FILE:row N`; the cells by column, without empty ones; why it can't be read, or an
empty string."""


def rows(path: Path, encoding: str = "") -> Iterator[Row]:
    """The rows of a .xlsx (its first sheet), .csv, .tsv, .json, .jsonl or .parquet file that hold
    anything. `encoding` is that of a file of text, as for `data.readers`. Raises WorkbenchError,
    which names the file, for one that is none of these."""
    found = _sheet(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _plain(path, encoding)
    for place, cells, problem in found:
        kept = {name: value for name, value in cells.items() if value not in (None, "")}
        if kept or problem:
            yield place, kept, problem


def _plain(path: Path, encoding: str) -> Iterator[Row]:
    for raw in readers.read(path, encoding):
        if raw.problem:
            yield raw.place, {}, raw.problem
        elif isinstance(raw.value, dict):
            yield raw.place, raw.value, ""
        else:
            yield raw.place, {}, "it has no named columns"


def _sheet(path: Path) -> Iterator[Row]:
    import openpyxl

    try:
        with warnings.catch_warnings():
            # Of parts of the file that are left out, such as drawings: no cells.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            lines = sheet.iter_rows(values_only=True)
            header = [str(name or "").strip() for name in next(lines, ())]
            for number, line in enumerate(lines, start=2):
                cells = dict(zip(header, line, strict=False))
                cells.pop("", None)
                yield f"{path.name}:row {number}", cells, ""
            book.close()
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError, TypeError, SyntaxError) as error:
        raise WorkbenchError(
            f"{path} is no Excel workbook that can be read: {error}.",
            "Open it in a spreadsheet, save it as .xlsx or .csv, and import that.",
        ) from error
