"""Content-addressed dataset versions: `datasets/NAME/VERSION/`.

`VERSION` is the SHA-256 of `data.jsonl`, shown by its first 12 digits, so the same rows
have the same version wherever they are made. `version.json` says where the rows come
from and what was done to them, `removed.jsonl` holds each row that is not among them,
with the step and the reason.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.data import licences, statistics
from workbench.data.example import Example
from workbench.data.statistics import Statistics
from workbench.data.table import spoilt
from workbench.errors import WorkbenchError
from workbench.files import (
    building_folder,
    explain_os_error,
    read_json_object,
    scratch_folder,
    sha256_file,
    write_json,
)
from workbench.jobs.progress import Tell, untold
from workbench.workspace import Workspace, check_name

DATA = "data.jsonl"
REMOVED = "removed.jsonl"
_VERSION = "version.json"
SPLITS = ("train", "validation")
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to the rows, with how many there were before and after."""

    name: str
    before: int
    after: int
    parameters: dict[str, Any]
    changed: int = 0
    """Rows that stayed, but are no longer the same."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that is not in the version."""

    step: str
    source: str
    """Where it stood: `FILE:LINE`."""
    reason: str
    row: Any
    repairs: tuple[str, ...] = ()
    """Those that would make an example of a row that could not be one."""

    def to_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in ("step", "source", "reason", "row")}
        return {**body, "repairs": list(self.repairs)} if self.repairs else body

    def to_line(self) -> str:
        """The line of `removed.jsonl`, without its end."""
        return json.dumps(self.to_json(), ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a dataset on disk."""

    name: str
    sha256: str
    rows: int
    splits: dict[str, int]
    """Rows by split."""
    tasks: dict[str, int]
    """Rows by task."""
    removed: int
    created: float
    """Unix seconds."""
    folder: Path

    @property
    def version(self) -> str:
        return self.sha256[:_DIGITS]

    @property
    def reference(self) -> str:
        """`NAME@VERSION`, which names these very rows for good."""
        return f"{self.name}@{self.version}"

    @property
    def data_path(self) -> Path:
        return self.folder / DATA

    def to_json(self) -> dict[str, Any]:
        """Everything about the version, for `--json`."""
        body = asdict(self)
        return {"reference": self.reference, **body, "folder": str(self.folder)}


def create(
    workspace: Workspace,
    name: str,
    examples: Sequence[Example],
    *,
    sources: Sequence[dict[str, Any]],
    steps: Sequence[Step],
    removed: Iterable[Removed] = (),
) -> Version:
    """Write a version, whole, and return it; the one that is there if its rows are the same.

    `sources` names what the rows came from, with hashes. Raises WorkbenchError when there is no
    row or it can't be written.
    """
    check_name(name, "dataset")
    if not examples:
        raise _no_rows()
    with scratch_folder(workspace.datasets / name / "making") as folder:
        (folder / DATA).write_text("".join(f"{e.to_line()}\n" for e in examples), "utf-8")
        gone = [f"{row.to_line()}\n" for row in removed]
        (folder / REMOVED).write_text("".join(gone), "utf-8")
        return keep(
            workspace, name, folder, sources=sources, steps=steps, removed=len(gone), tell=untold
        )


def keep(
    workspace: Workspace,
    name: str,
    folder: Path,
    *,
    sources: Sequence[dict[str, Any]],
    steps: Sequence[Step],
    removed: int,
    tell: Tell,
    recipe: dict[str, Any] | None = None,
) -> Version:
    """Make a version of the files DATA, of canonical lines, and REMOVED in `folder`, which are
    moved; the one that is there if its rows are the same, which then says how it was made now.

    It is the newest of its name, whenever its rows were there first. Raises WorkbenchError when
    there is no row or it can't be written.
    """
    counting = statistics.Statistics()
    counted = _count(folder / DATA, counting, tell)
    if not counted["rows"]:
        raise _no_rows()
    final = workspace.datasets / name / counted["sha256"][:_DIGITS]
    about = {
        "v": 1,
        "name": name,
        "created": time.time(),
        **counted,
        "removed": removed,
        "sources": list(sources),
        "steps": [asdict(step) for step in steps],
        "recipe": recipe,
    }
    held = {**counting.to_json(), "removed": statistics.reasons(folder / REMOVED)}
    # It stands on this module.
    from workbench.data import data_card

    with workspace.lock("datasets"):
        if not final.exists():
            with building_folder(final) as building:
                for file in (DATA, REMOVED):
                    (folder / file).rename(building / file)
                write_json(building / _VERSION, about)
                write_json(building / statistics.NAME, held)
                data_card.write(_read(building))
        elif _made_again(final, folder, about, held):
            data_card.refresh(_read(final))
    return _read(final)


def _made_again(final: Path, folder: Path, about: dict[str, Any], held: dict[str, Any]) -> bool:
    """Have the version in `final` be the newest of its name, and say how its rows were made now;
    how they were made before is kept under `earlier`. Returns whether it says another thing."""
    before = read_json_object(final / _VERSION)
    licences.inherit(about, before)
    own = f"{before['name']}@{final.name}"
    # Made of these very rows, by steps that did nothing: they come from where they came.
    of_itself = any(source.get("dataset") == own for source in about["sources"])
    if of_itself or all(before.get(name) == about[name] for name in _MAKING):
        if not _is_newest(final, before["created"]):
            write_json(final / _VERSION, {**before, "created": about["created"]})
        return False
    how = {name: before.get(name) for name in ("created", *_MAKING)}
    (folder / REMOVED).replace(final / REMOVED)
    write_json(final / statistics.NAME, held)
    write_json(final / _VERSION, {**about, "earlier": [how, *before.get("earlier", ())]})
    return True


def _is_newest(folder: Path, created: float) -> bool:
    """Whether no other version of the name was made later."""
    others = (path for path in folder.parent.glob(f"[!.]*/{_VERSION}") if path.parent != folder)
    return all(read_json_object(path).get("created", 0) <= created for path in others)


_MAKING = ("sources", "steps", "recipe", "removed")
"""What `version.json` says of how its rows were made."""


def _no_rows() -> WorkbenchError:
    return WorkbenchError("There are no rows to make a dataset version of.")


def _count(path: Path, counting: Statistics, tell: Tell) -> dict[str, Any]:
    """The rows of a file in figures, with its SHA-256, in one pass."""
    digest = hashlib.sha256()
    splits: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    whole, done = path.stat().st_size, 0
    tell("writing", 0, whole, "bytes")
    with path.open("rb") as stream:
        for line in stream:
            digest.update(line)
            row = json.loads(line)
            splits[row["split"]] += 1
            tasks[row.get("task", "")] += 1
            counting.add(row)
            done += len(line)
            tell("writing", done, whole, "bytes")
    return {
        "sha256": digest.hexdigest(),
        "rows": splits.total(),
        "splits": {split: splits[split] for split in SPLITS if splits[split]},
        "tasks": dict(tasks),
    }


def resolve(workspace: Workspace, reference: str) -> Version:
    """The version that `NAME` (its newest) or `NAME@VERSION` names; digits may be left out
    at the end.

    Raises WorkbenchError with the nearest names when there is none.
    """
    name, _, wanted = reference.partition("@")
    known = list_versions(workspace)
    found = [v for v in known if v.name == name and v.sha256.startswith(wanted)]
    if not found:
        for folder in workspace.datasets.glob("*/*"):
            hidden = folder.name.startswith(".")
            if folder.parent.name == name and folder.name.startswith(wanted) and not hidden:
                # It is there, so what is wrong with it is the answer.
                _read(folder)
        raise _unknown(reference, name, known)
    if wanted and len(found) > 1:
        listed = ", ".join(v.reference for v in found)
        raise WorkbenchError(f"{reference} fits several versions: {listed}.", "Add digits.")
    return found[0]


def _unknown(reference: str, name: str, known: Sequence[Version]) -> WorkbenchError:
    if not known:
        return WorkbenchError(
            f"There is no dataset {reference}: the workspace has none yet.",
            "`workbench data import FILE --name NAME` makes one; so does "
            "`workbench data build-default`.",
        )
    versions = [v.reference for v in known if v.name == name]
    if versions:
        return WorkbenchError(
            f"The dataset {name} has no version {reference.partition('@')[2]}.",
            f"It has {', '.join(versions)}.",
        )
    names = list(dict.fromkeys(v.name for v in known))
    near = difflib.get_close_matches(name, names, 3, 0.5) or names[:5]
    return WorkbenchError(f"There is no dataset {name}.", f"Did you mean {', '.join(near)}?")


def list_versions(workspace: Workspace) -> list[Version]:
    """Every version that can be read, the newest first."""
    found = []
    for path in workspace.datasets.glob(f"*/*/{_VERSION}"):
        # A hidden folder is one that is being written, or was when the machine went down.
        if not path.parent.name.startswith("."):
            with suppress(WorkbenchError):
                found.append(_read(path.parent))
    return sorted(found, key=lambda v: v.created, reverse=True)


def figures(version: Version) -> dict[str, Any]:
    """What a version holds, as `statistics.of` counts it. Raises WorkbenchError as that does."""
    return statistics.of(version.folder, DATA, REMOVED)


def describe(version: Version) -> dict[str, Any]:
    """Sources, steps and parent of a version, as `version.json` has them."""
    return read_json_object(version.folder / _VERSION)


def read(version: Version, split: str | None = None) -> Iterator[Example]:
    """The examples of a version, or of one of its splits, in order.

    Raises WorkbenchError for a line that workbench can't have written.
    """
    for body in _lines(version.data_path):
        try:
            example = Example.from_json(body)
        except (KeyError, TypeError, AttributeError) as error:
            raise spoilt(version.data_path) from error
        if split is None or example.split == split:
            yield example


def read_removed(version: Version) -> Iterator[Removed]:
    """The rows that were removed, each with its step and reason."""
    for body in _lines(version.folder / REMOVED):
        try:
            yield Removed(**{**body, "repairs": tuple(body.get("repairs", ()))})
        except (TypeError, AttributeError) as error:
            raise spoilt(version.folder / REMOVED) from error


def _lines(path: Path) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield json.loads(line)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except ValueError as error:
        raise spoilt(path) from error


def verify(version: Version) -> None:
    """Raises WorkbenchError when the rows are not those that the version was made of."""
    found = sha256_file(version.data_path)
    if found != version.sha256:
        raise WorkbenchError(
            f"{version.data_path} was changed: its SHA-256 is {found}, not {version.sha256}.",
            "Import it again: the changed rows are another version.",
        )


def _read(folder: Path) -> Version:
    body = read_json_object(folder / _VERSION)
    names = ("name", "sha256", "rows", "splits", "tasks", "removed", "created")
    missing = [name for name in names if name not in body]
    if missing:
        raise WorkbenchError(
            f"{folder / _VERSION} has no {missing[0]}, so it describes no dataset version.",
            "Remove the folder, and import the rows again.",
        )
    return Version(folder=folder, **{name: body[name] for name in names})
