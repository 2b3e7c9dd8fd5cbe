"""Several runs held against each other: only what differs between their configs, environments and
data, and their figures with intervals.

`plain` reads manifests and scores, in milliseconds; `whole` adds what takes longer: the rows that
differ between dataset versions, and tests on the held-out rows that runs have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.tracking import summary
from workbench.tracking.columns import BASE, at, own_system, paths
from workbench.tracking.finding import MANIFEST
from workbench.tracking.summary import SCORES
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.data.versions import Version

_UNTOLD = ("name",)
"""Fields of a config that say nothing of what is learnt."""
_SECTIONS = ("workbench", "git", "template", "tokenizer", "base")
"""Sections of a manifest, besides the last start's environment, that say what a run was made
with."""
_SKIPPED = ("git.folder", "base.name", "host")
"""In these: where it happened to lie, and what the config says."""

Table = list[dict[str, Any]]
"""Rows with a `name` and the `values` of the runs in their order, None where one has none."""


def plain(folders: Sequence[Path]) -> dict[str, Any]:
    """What is known of the runs at once: `runs` (the line of each), `config` and `environment`
    (only what differs), `scores` (figures with intervals of each run's own newest evaluation) and
    `problems`. A run whose files can't be read is compared as far as it can."""
    read = [summary.read(folder) for folder in folders]
    manifests, problems = [], []
    for folder in folders:
        try:
            manifests.append(read_json_object(folder / MANIFEST))
        except WorkbenchError as error:
            manifests.append({})
            problems.append(f"{folder.name}: {error.message}")
    return {
        "runs": [one.summary.to_json() for one in read],
        "config": _differing([one.config for one in read]),
        "environment": differences([_environment(made) for made in manifests]),
        "scores": _scores(folders),
        "problems": problems,
    }


def whole(workspace: Workspace, folders: Sequence[Path]) -> dict[str, Any]:
    """As `plain`, with `data` (what each run's dataset version differs by from the first's) and
    `paired` (what each run's answers differ by from the first's on the same rows, or the `problem`
    with that)."""
    # What reads data and draws resamples takes a while to import.
    body = plain(folders)
    body["data"] = [_data(workspace, body["runs"][0], other) for other in body["runs"][1:]]
    body["paired"] = _paired(folders)
    return body


def differences(bodies: Sequence[Mapping[str, Any]]) -> Table:
    """What isn't the same in all of these, by name."""
    names = dict.fromkeys(name for body in bodies for name in body)
    rows = [{"name": name, "values": [body.get(name) for body in bodies]} for name in names]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _differing(configs: Sequence[Mapping[str, Any]]) -> Table:
    fields = dict.fromkeys(path for config in configs for path in paths(config))
    bodies = [{path: at(config, path) for path in fields} for config in configs]
    return [row for row in differences(bodies) if row["name"] not in _UNTOLD]


def _environment(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made with, flat: packages and machine of its last start, code, base, template.

    The lists that are long and decide nothing are one value each."""
    starts = made.get("starts")
    last = starts[-1] if isinstance(starts, list) and starts else {}
    found = last.get("environment") if isinstance(last, Mapping) else {}
    body = {**(found if isinstance(found, Mapping) else {})}
    body |= {name: made[name] for name in _SECTIONS if name in made and name not in body}
    return {name: value for name, value in flat(body) if name not in _SKIPPED}


def flat(body: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path."""
    for name, value in body.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _scores(folders: Sequence[Path]) -> Table:
    """By metric the figure of each run, of its own newest evaluation, and of its base."""
    found = [_figures(folder) for folder in folders]
    names = dict.fromkeys(name for of in found for name in of)
    return [{"name": name, "values": [of.get(name) for of in found]} for name in names]


def _figures(folder: Path) -> dict[str, Any]:
    newest = summary.newest_evaluation(folder)
    found = [] if newest is None else [newest / SCORES]
    found += (folder / summary.EVALUATIONS).glob(f"*/{summary.HARNESS}")
    own: dict[str, Any] = {}
    base: dict[str, Any] = {}
    for path in sorted(found, key=lambda path: path.stat().st_mtime):
        systems = _systems(path)
        own |= systems.get(own_system(folder.name, systems), {})
        base |= {f"{BASE}.{name}": figure for name, figure in systems.get(BASE, {}).items()}
    return {**own, **base}


def _systems(result: Path) -> dict[str, dict[str, Any]]:
    """The figures of an evaluation by system and name; none of one that can't be read."""
    try:
        systems = read_json_object(result)["systems"]
        return {
            system: {name: figure for name, figure in of.items() if "value" in figure}
            for system, of in systems.items()
        }
    except (WorkbenchError, AttributeError, LookupError, TypeError):
        return {}


def _data(
    workspace: Workspace, first: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any]:
    from workbench.data import diff, versions

    body: dict[str, Any] = {"run": other["id"], "from": first["dataset"], "to": other["dataset"]}
    if first["dataset"] == other["dataset"]:
        return {**body, "same": True}
    found: list[Version] = []
    for one in (first, other):
        try:
            found.append(versions.resolve(workspace, one["dataset"]))
        except WorkbenchError:
            gone = f"{one['dataset']}, the data of {one['id']}, is not in this workspace."
            return {**body, "same": False, "problem": gone}
    try:
        changes = diff.compare(*found)
    except WorkbenchError as error:
        return {**body, "same": False, "problem": str(error)}
    counts: dict[str, int] = {what: changes.count(what) for what in diff.KINDS}
    return {**body, "same": False, "rows": list(changes.rows), "unchanged": changes.same, **counts}


def _paired(folders: Sequence[Path]) -> dict[str, Any]:
    from workbench.evaluation import pairing

    found = []
    for folder in folders:
        newest = summary.newest_evaluation(folder)
        if newest is not None:
            system = own_system(folder.name, _systems(newest / SCORES))
            found.append(pairing.Evaluated(folder.name, newest, system))
    if len(found) < 2:
        return {"problem": "Fewer than two of them have been evaluated: `workbench eval RUN`."}
    try:
        return pairing.pair(found)
    except WorkbenchError as error:
        return {"problem": str(error)}
