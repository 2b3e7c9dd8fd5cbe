"""Configs as files that people edit: their comments stay, and an editor knows the fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.config import json_schema
from workbench.config.loading import dump
from workbench.config.rewriting import rewrite
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, write_text

SCHEMA = ".schema.json"
"""The JSON Schema that lies beside the configs."""
MODELINE = f"# yaml-language-server: $schema={SCHEMA}"
"""What tells an editor of it, as the first line of a config."""


def save_new(path: Path, config: RunConfig, comments: Mapping[str, str] | None = None) -> None:
    """Write a config with every field and its help, in the place of what is there.

    `comments` are as `dump` has them. Raises WorkbenchError when it can't be written.
    """
    write_text(path, new_text(config, comments))
    keep_schema(path.parent)


def new_text(config: RunConfig, comments: Mapping[str, str] | None = None) -> str:
    """The text of a config that no file is of yet."""
    return f"{MODELINE}\n{dump(config, comments)}"


def save_over(path: Path, config: RunConfig) -> None:
    """Write a config into its file, of which all but the changed values stays as it is.

    Where there is no file, or none that can be read as a config, it is written anew. Raises
    WorkbenchError when it can't be.
    """
    try:
        before = path.read_bytes().decode("utf-8")
        after = rewrite(before, config)
    except (FileNotFoundError, ValueError, WorkbenchError):
        save_new(path, config)
        return
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    if after != before:
        write_text(path, after)
    keep_schema_for(path, after)


def keep_schema_for(path: Path, text: str) -> None:
    """Write the JSON Schema beside a config whose text names it."""
    if MODELINE in text:
        keep_schema(path.parent)


def keep_schema(folder: Path) -> None:
    """Write the JSON Schema into a folder, unless it is there as it is."""
    path = folder / SCHEMA
    text = json_schema.text()
    try:
        same = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        same = False
    if not same:
        write_text(path, text)
