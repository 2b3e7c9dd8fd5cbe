"""Look at the rows of a dataset version or of any JSONL file, one at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import versions
from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples
from workbench.data.rows import RowFile
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


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
    path = Path(reference).expanduser()
    if path.is_file():
        return path.absolute()
    if "/" in reference or path.suffix:
        raise WorkbenchError(f"There is no file {reference}.", "Check the path.")
    return versions.resolve(workspace, reference).data_path


def look(rows: RowFile, number: int) -> Looked:
    """Row `number` of a file. Raises IndexError past its end."""
    line = rows.line(number)
    text = line.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        value = json.loads(text)
        own = isinstance(value, dict) and value.get("split") in versions.SPLITS
        if own and "messages" in value:
            return Looked(number, text, (Example.from_json(value),))
        return Looked(number, text, tuple(to_examples(value, source=f"row {number + 1}")))
    except RowError as error:
        return Looked(number, text, (), str(error))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Looked(number, text, (), f"it is not a row: {error}")
