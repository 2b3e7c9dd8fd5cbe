"""A row as a person edits it: YAML with each turn's text as it stands."""

from __future__ import annotations

import json
from typing import Any

import yaml

from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples
from workbench.errors import WorkbenchError

_WIDE = 1 << 20
"""Characters of a line: none is broken."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they stand."""


class _Loader(yaml.SafeLoader):
    """Takes what looks like a date for text: a row has none."""


_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _as_it_stands(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if any(not c.isprintable() and c not in "\n\t" for c in text):
        # Written with escapes: a terminal would follow them, and an editor take them for line ends.
        style = '"'
    else:
        style = "|" if "\n" in text else ""
    return dumper.represent_scalar(_TEXT, text, style=style or None)


_TEXT = "tag:yaml.org,2002:str"
_Dumper.add_representer(str, _as_it_stands)


def to_text(example: Example) -> str:
    """What of a row can be edited, as YAML; `from_text` gives the same fields back."""
    body: dict[str, Any] = {"task": example.task} if example.task else {}
    if example.text:
        body["text"] = example.text
    else:
        body["messages"] = [message.to_json() for message in example.messages]
    text = yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE)
    # Signs that can't be seen stand in quotes alone, where they may be written so.
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\U{ord(c):08x}" for c in text)


def from_text(text: str) -> dict[str, Any]:
    """The fields of an edited row, as the recipe's step `edit` takes them.

    Raises WorkbenchError for what is no YAML, with the line, and for what makes no row.
    """
    try:
        body = yaml.load(text, _Loader)  # noqa: S506 - it makes nothing but plain data
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise WorkbenchError(f"It is no YAML: {where}{error.problem}.", _HOW) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkbenchError(f"It is no YAML: {' '.join(str(error).split())}.", _HOW) from error
    if not isinstance(body, dict):
        raise WorkbenchError("It has no fields.", _HOW)
    check(body)
    return body


def check(body: dict[str, Any]) -> None:
    """Raises WorkbenchError for fields that can't be put in place of a row."""
    task = body.get("task", "")
    if not isinstance(task, str) or not task.isprintable():
        raise WorkbenchError("Its task is no name on one line.", _HOW)
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
        made = to_examples(body)
    except RowError as error:
        raise WorkbenchError(f"It makes no row: {error}.", _HOW) from error
    except (ValueError, TypeError) as error:
        raise WorkbenchError(f"It has what JSON can't hold: {error}.", _HOW) from error
    if len(made) != 1:
        raise WorkbenchError("It makes several rows.", _HOW)
    if lost := [*made[0].extra, *(["split"] if "split" in body else [])]:
        raise WorkbenchError(f"A row has no field {lost[0]} that can be edited.", _HOW)


_HOW = "A row has `messages`, each with `role` and `content`, or `text`; and `task`."
