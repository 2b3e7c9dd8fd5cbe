"""Licences that a person declared for files that are read again."""

from __future__ import annotations

from typing import Any


def inherit(about: dict[str, Any], before: dict[str, Any]) -> None:
    """Let the licences that `before`, the `version.json` of the same rows, declares for files, told
    by their SHA-256, hold in `about`, too, where nothing else is declared."""
    known = {
        source["sha256"]: source["license"]
        for source in before["sources"]
        if source.get("license") and source.get("sha256")
    }
    recipe = about.get("recipe") or {}
    for source in (*about["sources"], *recipe.get("sources", ())):
        if source.get("sha256") in known:
            source.setdefault("license", known[source["sha256"]])
