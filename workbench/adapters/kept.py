"""The adapters of a workspace: those that its runs made, and those in `adapters/`.

`adapters/NAME/` holds what no run of this workspace made: adapters from elsewhere, and those
that were combined of others. Each is a folder as PEFT reads it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.adapters import checks, files, origin
from workbench.adapters.origin import EXPORTED_MANIFEST, PROVENANCE
from workbench.errors import WorkbenchError
from workbench.files import building_folder, user_path, write_json
from workbench.tracking import finding
from workbench.tracking.finding import ADAPTER
from workbench.workspace import Workspace, check_name

_TAKEN_ALONG = (
    files.CONFIG,
    files.WEIGHTS,
    EXPORTED_MANIFEST,
    "README.md",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
)
"""All that is copied of a folder from elsewhere: nothing in it can run code."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An adapter's line in a list."""

    name: str
    """What every verb finds it by: a run's id, or its name in `adapters/`."""
    folder: Path
    made: str = "unknown"
    """`trained`, `combined` or `imported`."""
    kind: str = ""
    """`LoRA`, `DoRA`, …; with `on 4 bits` where its base was held so."""
    base: str = ""
    rank: int | None = None
    alpha: float | None = None
    parameters: int = 0
    bytes: int = 0
    dataset: str = ""
    created: float = 0.0
    """Unix seconds."""
    scores: dict[str, float] = field(default_factory=dict)
    """The newest evaluation's, by metric; empty before one."""
    problem: str = ""
    """Why it can't be used; empty where it can."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def of_workspace(workspace: Workspace) -> Path:
    """The folder of the adapters that no run made."""
    return workspace.root / "adapters"


def list_adapters(workspace: Workspace) -> list[Listed]:
    """Every adapter, the newest first; one that can't be read says why."""
    found = [_listed(name, folder) for name, folder in _folders(workspace)]
    return sorted(found, key=lambda one: one.created, reverse=True)


def find(workspace: Workspace, reference: str) -> Path:
    """The folder of an adapter by its name in `adapters/`, a run's id or the start of it,
    `latest`, or the path of a folder.

    Raises WorkbenchError when there is none, or the run has none (yet).
    """
    named = of_workspace(workspace) / reference
    if "/" not in reference and (named / files.CONFIG).exists():
        return named
    path = user_path(reference).absolute()
    if "/" in reference or reference.startswith((".", "~")):
        return _in_folder(path)
    try:
        run = finding.find(workspace, reference)
    except WorkbenchError as error:
        if (path / files.CONFIG).exists():
            return path
        names = [name for name, folder in _folders(workspace) if folder.parent.name == "adapters"]
        others = f" In adapters/: {', '.join(names[:5])}." if names else ""
        raise WorkbenchError(error.message, f"{error.hint}{others}") from error
    return adapter_of(run)


def adapter_of(run: Path) -> Path:
    """The folder of a run's adapter. Raises WorkbenchError when it has none."""
    result = finding.result(run)
    if result is None:
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Export it once training has finished."
        )
    if result.name != ADAPTER:
        raise WorkbenchError(
            f"The run {run.name} has no adapter: it trained the whole model (training.method "
            "full).",
            f"Take the model away with: workbench export merged {run.name} --to DIR",
        )
    return result


def take_in(workspace: Workspace, folder: Path, name: str = "", base: str = "") -> Listed:
    """Copy an adapter from elsewhere into the workspace, as `name` (default: its folder's).

    `base` says which base it is of, where it doesn't itself. Where that is on this machine the
    two are held against each other first. Raises WorkbenchError for a folder that holds no whole
    adapter, for one of another base, and for a name that is taken.
    """
    adapter = files.read(_in_folder(folder.absolute()))
    told = origin.of(adapter)
    name = check_name(name or _own_name(adapter.folder), "adapter")
    target = of_workspace(workspace) / name
    if target.exists():
        raise WorkbenchError(f"There is an adapter {name} already.", "Choose another --name.")
    body: dict[str, Any] = {
        "v": 1,
        "made": "imported",
        "created": time.time(),
        "from": str(adapter.folder),
        "run": told.run_id,
        "dataset": told.dataset,
        "config": told.config,
        "base": {
            "name": base or told.base,
            "revision": told.revision if not base or base == told.base else None,
            "files": told.base_files,
        },
        "sha256": origin.hashes(adapter),
    }
    _hold_against_base(workspace, adapter, told, base)
    with building_folder(target) as building:
        for pattern in _TAKEN_ALONG:
            for path in adapter.folder.glob(pattern):
                shutil.copyfile(path, building / path.name)
        write_json(building / PROVENANCE, body)
    return _listed(name, target)


def _hold_against_base(
    workspace: Workspace, adapter: files.Adapter, told: origin.Origin, named: str
) -> None:
    try:
        folder = origin.base_folder(workspace, told, named)
    except WorkbenchError:
        if named:
            raise
        return  # it may come later; every use holds them against each other
    checks.require(adapter, told, folder)


def _own_name(folder: Path) -> str:
    """`adapter` says nothing: then the name of what it lies in."""
    return folder.parent.name if folder.name == ADAPTER else folder.name


def _in_folder(path: Path) -> Path:
    """The adapter's own folder, where a run's or what is around it was named."""
    inner = path / ADAPTER
    if not (path / files.CONFIG).exists() and (inner / files.CONFIG).exists():
        return inner
    return path


def _folders(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    for run in finding.folders(workspace):
        if (run / ADAPTER).is_dir():
            yield run.name, run / ADAPTER
    for path in sorted(of_workspace(workspace).glob("[!.]*")):
        if path.is_dir():
            yield path.name, path


def _listed(name: str, folder: Path) -> Listed:
    created = folder.stat().st_mtime
    try:
        adapter = files.read(folder)
        told = origin.of(adapter)
        return Listed(
            name=name,
            folder=folder,
            made=told.made,
            kind=adapter.kind + _held(told.quantization),
            base=told.base,
            rank=adapter.rank,
            alpha=adapter.alpha,
            parameters=adapter.parameters,
            bytes=adapter.bytes,
            dataset=told.dataset,
            created=created,
            scores=_scores(told.run),
        )
    except WorkbenchError as error:
        return Listed(name, folder, created=created, problem=error.message)
    except (OSError, LookupError, TypeError, ValueError) as error:
        problem = f"Its files can't be read: {error}"
        return Listed(name, folder, created=created, problem=problem)


def _held(quantization: str) -> str:
    bits = {"nf4": " on 4 bits", "fp4": " on 4 bits", "int8": " on 8 bits"}
    return bits.get(quantization, "")


def _scores(run: Path | None) -> dict[str, float]:
    if run is None:
        return {}
    # What reads scores takes a while to import, and most lists are short.
    from workbench.tracking import runs

    return runs.newest_scores(run).get(ADAPTER, {})
