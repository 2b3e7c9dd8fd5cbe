"""Look at the rows of a dataset version or of any JSONL file, one at a time."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.data import versions
from workbench.data.example import ROLES, Example
from workbench.data.formats import RowError, to_examples
from workbench.data.readers import parse_line
from workbench.data.rows import RowFile
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.workspace import Workspace

_SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".txt", ".gz")
"""Ends of a file's name; other dots may stand in a dataset's name."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A row of a file, and what was made of it."""

    number: int
    """From 0."""
    text: str
    """The line as it is written."""
    examples: tuple[Example, ...]
    problem: str = ""
    """Why no example could be made of it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.number + 1,
            "problem": self.problem,
            "examples": [example.to_json() for example in self.examples],
        }


def locate(workspace: Workspace, reference: str) -> Path:
    """The JSONL file that a dataset reference or a path names.

    Raises WorkbenchError when there is neither such a file nor such a dataset.
    """
    path = user_path(reference)
    if path.is_file():
        return path.absolute()
    if "/" in reference:
        raise WorkbenchError(f"There is no file {reference}.", "Check the path.")
    try:
        return versions.resolve(workspace, reference).data_path
    except WorkbenchError as error:
        if path.suffix.lower() not in _SUFFIXES:
            raise
        raise WorkbenchError(f"There is no file {reference}.", "Check the path.") from error


def look(rows: RowFile, number: int) -> Looked:
    """Row `number` of a file. Raises IndexError past its end."""
    return look_at(number, rows.line(number))


def look_at(number: int, line: bytes) -> Looked:
    """Row `number` of a file, of its line."""
    if number == 0:
        line = line.removeprefix(codecs.BOM_UTF8)
    text = line.decode("utf-8", "replace")
    if not line.strip():
        return Looked(number, text, (), "the line is empty")
    raw = parse_line(line, f"row {number + 1}")
    if raw.problem:
        return Looked(number, text, (), raw.problem)
    try:
        examples = to_examples(raw.value, source=raw.place)
        if _is_own(raw.value):
            examples = [_as_kept(raw.value, examples)]
        return Looked(number, text, tuple(examples))
    except RowError as error:
        return Looked(number, text, (), str(error))


def _as_kept(value: dict[str, Any], read: list[Example]) -> Example:
    """The row as workbench wrote it."""
    (example,) = read
    place = value.get("source", "")
    return replace(example, split=value["split"], source=place, extra=value.get("extra", {}))


def _is_own(value: dict[str, Any]) -> bool:
    """Whether workbench wrote the row, so that it keeps its split and its source."""
    texts = (value.get(name, "") for name in ("task", "source", "text"))
    carrier = "messages" if "messages" in value else "text"
    return (
        carrier in value
        and value.keys() <= {carrier, "task", "split", "source", "extra", "tools"}
        and value.get("split") in versions.SPLITS
        and all(isinstance(text, str) for text in texts)
        and isinstance(value.get("extra", {}), dict)
        and all(
            isinstance(turn, dict)
            and turn.get("role") in ROLES
            and isinstance(turn.get("content"), str)
            for turn in value.get("messages", ())
        )
    )
