"""Licences that a person declares for rows that are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench.files import read_json_object, write_json


def declare(path: Path, sources: Sequence[dict[str, Any]]) -> bool:
    """Put the licences of `sources` into the `version.json` at `path`, which was made of the same
    rows: of each file by its SHA-256, the newest declaration counting.

    Returns whether one is another than before. Raises WorkbenchError when it can't be written.
    """
    declared = {s["sha256"]: s["license"] for s in sources if s.get("license") and s.get("sha256")}
    if not declared:
        return False
    body = read_json_object(path)
    recipe = body.get("recipe") or {}
    changed = [
        source
        for source in _files((*body["sources"], *recipe.get("sources", ())), declared)
        if source.get("license") != declared[source["sha256"]]
    ]
    for source in changed:
        source["license"] = declared[source["sha256"]]
    if changed:
        write_json(path, body)
    return bool(changed)


def _files(sources: Iterable[dict[str, Any]], declared: dict[str, str]) -> Iterable[dict[str, Any]]:
    return (source for source in sources if source.get("sha256") in declared)
