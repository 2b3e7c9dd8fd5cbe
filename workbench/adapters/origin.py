"""Where an adapter comes from: of which base and which rows it is, as far as its folder says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.adapters import files
from workbench.adapters.files import Adapter
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace

PROVENANCE = "provenance.json"
"""Beside an adapter that no run made: what it was combined of, or where it was copied from."""
EXPORTED_MANIFEST = "workbench-manifest.json"
"""In an exported folder: the manifest of the run that made it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of an adapter's making."""

    base: str
    """The base's name: a folder, a hub id or `default`; empty where nobody says."""
    revision: str | None = None
    base_files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the base that it was trained on; empty where nobody says."""
    run: Path | None = None
    """The folder of the run that made it, where it is still in that."""
    run_id: str = ""
    dataset: str = ""
    """NAME@VERSION."""
    config: dict[str, Any] | None = None
    """The run's config, as its manifest has it."""
    made: str = "unknown"
    """`trained`, `combined` or `imported`."""

    @property
    def quantization(self) -> str:
        """What the base was held in while it was trained: `none` where nobody says otherwise."""
        return str(((self.config or {}).get("model") or {}).get("quantization", "none"))


def of(adapter: Adapter) -> Origin:
    """Of an adapter in a run's folder, in one that workbench exported or made, or in any other.

    Raises WorkbenchError when what is told of it can't be read.
    """
    folder = adapter.folder
    if (folder / PROVENANCE).exists():
        return _of_provenance(read_json_object(folder / PROVENANCE), adapter)
    run = folder.parent if (folder.parent / MANIFEST).exists() else None
    if run is not None:
        return _of_manifest(read_json_object(run / MANIFEST), run)
    if (folder / EXPORTED_MANIFEST).exists():
        return _of_manifest(read_json_object(folder / EXPORTED_MANIFEST), None)
    return Origin(adapter.base)


def base_folder(workspace: Workspace, origin: Origin, named: str = "") -> Path:
    """The folder of an adapter's base, or of another that a person `named`.

    Raises WorkbenchError when it isn't on this machine, naming the hashes of the one that is
    wanted, or when nobody says which it is.
    """
    name = named or origin.base
    if not name:
        raise WorkbenchError(
            "The adapter doesn't say which base it is of.", "Name it: a folder, or a hub id."
        )
    revision = origin.revision if name == origin.base else None
    try:
        return base_models.resolve(workspace, name, revision)
    except WorkbenchError as error:
        wanted = [f"{n}: SHA-256 {h}" for n, h in origin.base_files.items() if _is_weights(n)]
        hint = f"{error.hint} Its weights were {'; '.join(wanted)}." if wanted else error.hint
        raise WorkbenchError(error.message, hint.strip()) from error


def _of_manifest(made: dict[str, Any], run: Path | None) -> Origin:
    try:
        base, dataset = made["base"], made["dataset"]
        return Origin(
            base=str(base["name"]),
            revision=base.get("revision"),
            base_files=dict(base.get("files") or {}),
            run=run,
            run_id=str(made["run"]),
            dataset=f"{dataset['name']}@{dataset['version']}",
            config=made.get("config"),
            made="trained",
        )
    except (LookupError, TypeError, ValueError) as error:
        raise WorkbenchError(
            f"The manifest of the adapter is not one of workbench's: {error!r} is missing."
        ) from error


def _of_provenance(body: dict[str, Any], adapter: Adapter) -> Origin:
    base = body.get("base") or {}
    return Origin(
        base=str(base.get("name") or adapter.base),
        revision=base.get("revision"),
        base_files=dict(base.get("files") or {}),
        run_id=str(body.get("run") or ""),
        dataset=str(body.get("dataset") or ""),
        config=body.get("config"),
        made=str(body.get("made", "unknown")),
    )


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def hashes(adapter: Adapter) -> dict[str, str]:
    """SHA-256 of its two files."""
    from workbench.files import sha256_file

    return {name: sha256_file(adapter.folder / name) for name in (files.CONFIG, files.WEIGHTS)}
