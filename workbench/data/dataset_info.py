"""LLaMA-Factory's `dataset_info.json`: which file an entry names, and which of its fields are
what."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import hub
from workbench.data.mapping import Mapping, mapping
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json

NAME = "dataset_info.json"
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
_SHAREGPT = {"messages": "conversations"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
_OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
_COLUMNS: dict[str, dict[str, str]] = {
    "rows": {"messages": "messages", "prompt": "text", "tools": "tools"},
    "openai": {"messages": "messages", "tools": "tools"},
    "sharegpt": {"messages": "conversations", "tools": "tools"},
    "alpaca": {**_ALPACA, "system": "system", "history": "history"},
    "prompt-completion": {"prompt": "prompt", "response": "completion"},
    "question-answer": {"prompt": "question", "response": "answer"},
    "text": {"prompt": "text"},
}
"""Of the formats that are written."""
_PREFERENCES = ("chosen", "rejected", "kto_tag")
_MEDIA = ("images", "videos", "audios")
_ELSEWHERE = ("script_url", "cloud_file_name", "ms_hub_url", "om_hub_url")
_CALLED = {"query": "context"}
"""Columns that a mapping calls otherwise."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry stands for."""

    path: Path
    mapping: Mapping
    spec: hub.Spec | None = None
    """The data set of the hub, where it is no file."""


def is_one(path: Path) -> bool:
    """Whether a path names such a file."""
    return path.name == NAME and path.is_file()


def entry(path: Path, name: str) -> Entry:
    """The entry `name` of a file.

    Raises WorkbenchError, with the names that there are, when it isn't there or none was named,
    and for data that is not for supervised fine-tuning on texts.
    """
    entries = read_json_object(path)
    body = entries.get(name)
    if not isinstance(body, dict):
        said = f"has no data set {name}" if name else "holds several data sets"
        listed = ", ".join(entries) or "none"
        raise WorkbenchError(
            f"{path} {said}: it has {listed}.", f"Name one: {path}:NAME or --dataset NAME."
        )
    where = f"{name} of {path}"
    columns = _object(body, "columns", where)
    _refuse(body, columns, where)
    made = mapping(_mapping(body, columns, where), where)
    if isinstance(at := body.get("hf_hub_url"), str) and not body.get("file_name"):
        named = hub.parse(at)
        config, part = (str(body.get(key) or "") for key in ("subset", "split"))
        return Entry(path, made, hub.Spec(named.hub, config, named.revision, part))
    file = body.get("file_name")
    if not isinstance(file, str) or not file:
        raise WorkbenchError(f"{where} names no file.", "It has neither file_name nor hf_hub_url.")
    return Entry(path.parent / file, made)


def _refuse(body: dict[str, Any], columns: dict[str, Any], where: str) -> None:
    """Raises WorkbenchError for what isn't for supervised fine-tuning on texts."""
    if body.get("ranking") or any(columns.get(name) for name in _PREFERENCES):
        raise WorkbenchError(
            f"{where} holds preferences (ranking, chosen and rejected, or kto_tag).",
            "workbench trains on conversations and texts: import the chosen answers as a file of "
            "their own, with --map.",
        )
    if media := [name for name in _MEDIA if columns.get(name)]:
        raise WorkbenchError(f"{where} has {media[0]}: workbench trains on text alone.")
    if body.get("num_samples"):
        raise WorkbenchError(
            f"{where} takes a sample of its rows at random (num_samples).",
            "Import it whole: take num_samples out of the entry.",
        )
    for name in _ELSEWHERE:
        if body.get(name) and not (body.get("file_name") or body.get("hf_hub_url")):
            raise WorkbenchError(
                f"{where} names its data by {name}, which can't be read here.",
                "Put the file beside dataset_info.json, and name it by file_name.",
            )


def _mapping(body: dict[str, Any], columns: dict[str, Any], where: str) -> dict[str, Any]:
    form = body.get("formatting", "alpaca")
    if form not in ("alpaca", "sharegpt", "openai"):
        raise WorkbenchError(f"{where} has the formatting {form!a}; known are alpaca and sharegpt.")
    found = dict(columns) or dict(_ALPACA if form == "alpaca" else _SHAREGPT)
    named = {_CALLED.get(key, key): value for key, value in found.items() if value}
    if form == "alpaca":
        if set(named) == {"prompt"}:
            # Its way to name documents to go on with pre-training on.
            return {"text": named["prompt"]}
        return named
    tags = {**_TAGS, **_object(body, "tags", where)}
    roles = {str(tags[tag]): role for tag, role in _ROLES.items()}
    return {
        "messages": _SHAREGPT["messages"],
        **named,
        "role": tags["role_tag"],
        "content": tags["content_tag"],
        "roles": roles,
    }


def _object(body: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    found = body.get(name) or {}
    if not isinstance(found, dict):
        raise WorkbenchError(f"{where} has {name} that are no object.")
    return found


def check_addition(file: Path, name: str) -> None:
    """Raises WorkbenchError when the `dataset_info.json` beside a file has such an entry, or can't
    be read."""
    path = file.parent / NAME
    if path.exists() and name in read_json_object(path):
        raise WorkbenchError(f"{path} has a data set {name} already.", "Choose another name.")


def add(file: Path, name: str, schema: str, present: Collection[str]) -> None:
    """Name a file of the format `schema` in the `dataset_info.json` beside it. `present` are the
    fields of its rows.

    Raises WorkbenchError when it can't be written.
    """
    path = file.parent / NAME
    entries = read_json_object(path) if path.exists() else {}
    body: dict[str, Any] = {"file_name": file.name}
    if "conversations" in present or "messages" in present:
        body["formatting"] = "sharegpt"
        body["tags"] = _TAGS if "conversations" in present else _OPENAI_TAGS
    body["columns"] = {
        column: field for column, field in _COLUMNS[schema].items() if field in present
    }
    write_json(path, {**entries, name: body})
