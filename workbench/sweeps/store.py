"""`WORKSPACE/sweeps/NAME-sweep-0001.json`: what a sweep was asked for.

Its runs are not listed there: each says in its own `sweep.json` which sweep it is of, so that a
sweep can't be at odds with its runs, whoever is killed when.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.config.sweep import Sweep, Swept
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.tracking import runs
from workbench.workspace import Workspace

VERSION = 1
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Record:
    """A sweep as it was asked for."""

    id: str
    created: float
    """Unix seconds."""
    source: str
    """The file that holds it."""
    command: str | None
    """What was typed; None where nothing was."""
    planned: int
    """Runs that it is to make; of optuna at most."""
    swept: Swept

    @property
    def sweep(self) -> Sweep:
        return self.swept.sweep


@dataclass(frozen=True, slots=True)
class Member:
    """A run of a sweep."""

    folder: Path
    number: int
    """From 1, in the order in which they were made."""
    values: Mapping[str, Any]
    """The varied fields, as its config has them."""
    asked: Mapping[str, Any]
    """What optuna has suggested, in its own terms; empty of other methods."""

    @property
    def id(self) -> str:
        return self.folder.name


def membership(
    sweep: str, number: int, values: Mapping[str, Any], asked: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a run's `sweep.json` says."""
    return {
        "v": VERSION,
        "sweep": sweep,
        "number": number,
        "values": dict(values),
        "asked": dict(asked or {}),
    }


def create(
    workspace: Workspace, swept: Swept, *, source: str, command: str | None, planned: int
) -> Record:
    """Write down a new sweep, which has no runs yet. Raises WorkbenchError where it can't be."""
    with workspace.lock("sweeps"):
        numbers = [_number(path) for path in workspace.sweeps.glob("*.json")]
        name = f"{swept.config.name}-sweep-{max(numbers, default=0) + 1:04d}"
        record = Record(name, time.time(), source, command, planned, swept)
        body = {
            "v": VERSION,
            **{k: v for k, v in asdict(record).items() if k != "swept"},
            "sweep": swept.sweep.model_dump(),
            "config": swept.config.model_dump(),
        }
        write_json(_path(workspace, name), body)
    return record


def forget(workspace: Workspace, record: Record) -> None:
    """Remove what is written of a sweep of which no run came."""
    _path(workspace, record.id).unlink(missing_ok=True)


def ids(workspace: Workspace) -> list[str]:
    """Every sweep, the newest first."""
    paths = sorted(workspace.sweeps.glob("[!.]*.json"), key=_number, reverse=True)
    return [path.stem for path in paths]


def find(workspace: Workspace, reference: str = LATEST) -> Record:
    """A sweep by its id, the start of it, or `latest`.

    Raises WorkbenchError with the nearest ids when there is none, or several.
    """
    known = ids(workspace)
    if not known:
        raise WorkbenchError(
            f"There are no sweeps in {workspace.root} yet.",
            "`workbench sweep start CONFIG` makes one of a config with a `sweep:` section.",
        )
    if reference == LATEST:
        return read(workspace, known[0])
    matches = [reference] if reference in known else [i for i in known if i.startswith(reference)]
    if len(matches) == 1:
        return read(workspace, matches[0])
    near = matches or difflib.get_close_matches(reference, known, 3, 0.4) or known[:3]
    raise WorkbenchError(
        f"{'Several sweeps start with' if matches else 'There is no sweep'} {reference}.",
        f"Did you mean {', '.join(near)}?",
    )


def read(workspace: Workspace, name: str) -> Record:
    """The sweep of that id. Raises WorkbenchError when its file can't be read."""
    path = _path(workspace, name)
    body = read_json_object(path)
    if body.get("v") != VERSION:
        raise WorkbenchError(
            f"{path} has the version {body.get('v')!r}; this release knows {VERSION}.",
            "Use the release that wrote it.",
        )
    try:
        config = loading.parse(body["config"], origin=str(path))
        sweep = Sweep.model_validate(body["sweep"])
        return Record(
            id=name,
            created=float(body["created"]),
            source=str(body["source"]),
            command=body["command"],
            planned=int(body["planned"]),
            swept=Swept(config, sweep),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise WorkbenchError(f"{path} is not what a sweep is written as: {error!r}.") from error


def members(workspace: Workspace, record: Record) -> list[Member]:
    """The runs of a sweep, in the order in which they were made."""
    return sorted(_all_members(workspace).get(record.id, []), key=lambda m: m.number)


def _all_members(workspace: Workspace) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for path in workspace.runs.glob(f"[!.]*/{runs.SWEEP}"):
        try:
            body = read_json_object(path)
            member = Member(path.parent, int(body["number"]), body["values"], body["asked"])
            found.setdefault(str(body["sweep"]), []).append(member)
        except (WorkbenchError, LookupError, TypeError, ValueError):
            continue  # the run itself is in `workbench runs list`
    return found


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.sweeps / f"{name}.json"


def _number(path: Path) -> int:
    found = re.search(r"-(\d+)\.json$", path.name)
    return int(found[1]) if found else 0
