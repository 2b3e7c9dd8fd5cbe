"""What is known of a dataset version, and its card on disk.

The card is written with the version; again when a check has looked, or tokens were counted.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from workbench.data import card, versions
from workbench.data.curate import checks, store
from workbench.data.curate.store import Findings
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json, write_text

_TOKENS = "tokens"
_COUNTED = ("base", "revision", "template", "all", "splits", "tasks")
_DIGITS = 8


def facts(version: Version) -> dict[str, Any]:
    """Everything that the card of a version says, as plain data.

    `sources` are the version's own, `lineage` those that these were made from, each with its
    sources and steps. Raises WorkbenchError when the version can't be read.
    """
    about = versions.describe(version)
    lineage = _lineage(version.folder.parent.parent, about["sources"], {version.reference})
    files = [
        source
        for made in (about, *lineage)
        for source in made.get("sources", ())
        if "dataset" not in source
    ]
    declared = set(card.licences(files))
    if any("problem" in parent for parent in lineage):
        declared.add(card.NOT_DECLARED)
    recipe = about.get("recipe")
    steps = [step for made in (about, *lineage) for step in made.get("steps", ())]
    return {
        "reference": version.reference,
        "sha256": version.sha256,
        "rows": version.rows,
        "splits": version.splits,
        "tasks": version.tasks,
        "removed": version.removed,
        "licences": sorted(declared),
        "sources": about["sources"],
        "steps": about["steps"],
        "lineage": lineage,
        "statistics": versions.figures(version),
        "tokens": _tokens(version),
        "checks": list(checks.names()),
        "findings": [
            {"check": f.check, "options": _chosen(f), "flagged": f.flagged, "kinds": f.kinds}
            for f in store.list_findings(version)
        ],
        "redacted": sum(step.get("changed", 0) for step in steps if step["name"] == "redact"),
        "recipe": recipe and _recipe(recipe),
    }


def _chosen(found: Findings) -> dict[str, Any]:
    """The options of a check that aren't as by default."""
    usual = json.loads(json.dumps(asdict(checks.get(found.check).Options())))
    return {name: value for name, value in found.options.items() if usual.get(name) != value}


def _recipe(body: dict[str, Any]) -> str:
    """A recipe as YAML, with files by their names: where they were is nobody's concern."""
    sources = [
        {**source, "path": Path(source["path"]).name} if "path" in source else source
        for source in body["sources"]
    ]
    return yaml.safe_dump({**body, "sources": sources}, sort_keys=False, allow_unicode=True)


def write(version: Version) -> dict[str, Any]:
    """Write the card of a version, whole; returns the facts in it.

    Raises WorkbenchError when the version can't be read, and OSError or WorkbenchError when the
    card can't be written.
    """
    found = facts(version)
    write_text(version.folder / card.NAME, card.render(found))
    return found


def refresh(version: Version) -> dict[str, Any]:
    """Write the card of a version anew, as `write` does; in a folder that can't be written it
    stays as it is."""
    found = facts(version)
    with suppress(WorkbenchError, OSError):
        write_text(version.folder / card.NAME, card.render(found))
    return found


def keep_tokens(version: Version, counts: dict[str, Any]) -> None:
    """Keep what `tokens.count` found of a version beside its rows, and in its card."""
    kept = {name: counts[name] for name in _COUNTED}
    made_of = json.dumps([kept["base"], kept["revision"], kept["template"]], sort_keys=True)
    name = hashlib.sha256(made_of.encode()).hexdigest()[:_DIGITS]
    with suppress(WorkbenchError, OSError):
        (version.folder / _TOKENS).mkdir(exist_ok=True)
        write_json(version.folder / _TOKENS / f"{name}.json", {"v": 1, **kept})
    refresh(version)


def _tokens(version: Version) -> list[dict[str, Any]]:
    found = []
    for path in sorted((version.folder / _TOKENS).glob("[!.]*.json")):
        with suppress(WorkbenchError):
            body = read_json_object(path)
            if all(name in body for name in _COUNTED):
                found.append(body)
    return found


def _lineage(datasets: Path, sources: list[dict[str, Any]], seen: set[str]) -> list[dict[str, Any]]:
    """The versions that a version was made from, the nearest first, each once."""
    found: list[dict[str, Any]] = []
    for source in sources:
        reference = source.get("dataset", "")
        if not reference or reference in seen:
            continue
        seen.add(reference)
        name, _, digits = reference.partition("@")
        try:
            about = read_json_object(datasets / name / digits / "version.json")
            own = {"sources": about["sources"], "steps": about["steps"]}
        except (WorkbenchError, KeyError):
            found.append({"reference": reference, "problem": "it is no longer in the workspace"})
            continue
        found.append({"reference": reference, **own})
        found += _lineage(datasets, own["sources"], seen)
    return found
