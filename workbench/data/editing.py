"""A row as a person edits it: YAML with each turn's text as it stands."""

from __future__ import annotations

from typing import Any

import yaml

from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples
from workbench.errors import WorkbenchError

_FIELDS = ("messages", "text", "task")
_WIDE = 1 << 20
"""Characters of a line: none is broken."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they stand."""


def _as_it_stands(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _as_it_stands)


def to_text(example: Example) -> str:
    """What of a row can be edited, as YAML; `from_text` gives the same fields back."""
    body: dict[str, Any] = {"task": example.task} if example.task else {}
    if example.text:
        body["text"] = example.text
    else:
        body["messages"] = [message.to_json() for message in example.messages]
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE)


def from_text(text: str) -> dict[str, Any]:
    """The fields of an edited row, as the recipe's step `edit` takes them.

    Raises WorkbenchError for what is no YAML, with the line, and for what makes no row.
    """
    try:
        body = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise WorkbenchError(f"It is no YAML: {where}{error.problem}.", _HOW) from error
    except yaml.YAMLError as error:
        raise WorkbenchError(f"It is no YAML: {' '.join(str(error).split())}.", _HOW) from error
    if not isinstance(body, dict):
        raise WorkbenchError("It has no fields.", _HOW)
    if unknown := sorted(str(name) for name in body if name not in _FIELDS):
        raise WorkbenchError(
            f"A row has no field {unknown[0]} that can be edited.", f"It has {', '.join(_FIELDS)}."
        )
    try:
        made = to_examples(body)
    except RowError as error:
        raise WorkbenchError(f"It makes no row: {error}.", _HOW) from error
    if len(made) != 1:
        raise WorkbenchError("It makes several rows.", _HOW)
    return body


_HOW = "A row has `messages`, each with `role` and `content`, or `text`."
