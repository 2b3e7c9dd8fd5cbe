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
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.files import (
    building_folder,
    explain_os_error,
    read_json_object,
    sha256_file,
    write_json,
    write_text,
    writing,
)
from workbench.jobs.progress import Tell, untold, watched
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


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that is not in the version."""

    step: str
    source: str
    """Where it stood: `FILE:LINE`."""
    reason: str
    row: Any

    def to_json(self) -> dict[str, Any]:
        """The row of `removed.jsonl`."""
        return {name: getattr(self, name) for name in ("step", "source", "reason", "row")}


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
    parent: str | None = None,
    tell: Tell = untold,
) -> Version:
    """Write a version, whole, and return it; the one that is there if its rows are the same.

    `sources` names what the rows came from, with hashes; `parent` is the version that
    they were made from. Raises WorkbenchError when there is no row or it can't be written.
    """
    check_name(name, "dataset")
    if not examples:
        raise WorkbenchError("There are no rows to make a dataset version of.")
    lines = [f"{e.to_line()}\n".encode() for e in watched(examples, "writing", tell)]
    digest = _digest(lines)
    folder = workspace.datasets / name / digest[:_DIGITS]
    gone = [json.dumps(r.to_json(), ensure_ascii=False, default=str) for r in removed]
    with workspace.lock("datasets"):
        if not folder.exists():
            with building_folder(folder) as building:
                with writing(building / DATA) as stream:
                    stream.writelines(lines)
                write_text(building / REMOVED, "".join(f"{line}\n" for line in gone))
                write_json(
                    building / _VERSION,
                    {
                        "v": 1,
                        "name": name,
                        "sha256": digest,
                        "created": time.time(),
                        "rows": len(examples),
                        "splits": {
                            s: n for s in SPLITS if (n := sum(e.split == s for e in examples))
                        },
                        "tasks": Counter(e.task for e in examples),
                        "removed": len(gone),
                        "parent": parent,
                        "sources": list(sources),
                        "steps": [asdict(step) for step in steps],
                    },
                )
    return _read(folder)


def _digest(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


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
            raise _spoilt(version.data_path) from error
        if split is None or example.split == split:
            yield example


class Rows(Sequence[Example]):
    """A version's examples by their number, from 0, read from its file each time.

    Raises WorkbenchError for a line that workbench can't have written, and when the file
    can't be read. 8 bytes of memory a row.
    """

    def __init__(self, version: Version) -> None:
        self._path = version.data_path
        try:
            self._stream = self._path.open("rb")
        except OSError as error:
            raise explain_os_error(error, f"read {self._path}") from error
        self._starts = array("Q")
        place = 0
        for line in self._stream:
            self._starts.append(place)
            place += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        self._stream.seek(self._starts[place])
        try:
            return Example.from_json(json.loads(self._stream.readline()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _spoilt(self._path) from error


def read_removed(version: Version) -> Iterator[Removed]:
    """The rows that were removed, each with its step and reason."""
    for body in _lines(version.folder / REMOVED):
        try:
            yield Removed(**body)
        except TypeError as error:
            raise _spoilt(version.folder / REMOVED) from error


def _lines(path: Path) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield json.loads(line)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except ValueError as error:
        raise _spoilt(path) from error


def _spoilt(path: Path) -> WorkbenchError:
    return WorkbenchError(
        f"{path} was changed: it has lines that are no rows of a dataset version.",
        "`workbench data check` proves a version whole. Import the rows again.",
    )


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
