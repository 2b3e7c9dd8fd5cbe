"""Take a run's result away: the adapter alone, or merged into its base."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, write_json
from workbench.jobs import launch
from workbench.jobs.tasks import REQUEST
from workbench.tracking import card, inputs
from workbench.tracking.finding import MANIFEST, number
from workbench.workspace import Workspace

CERTIFICATE = "merge.json"
_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")


@dataclass(frozen=True, slots=True)
class Request:
    run: str
    """The run's folder."""
    target: str
    """Where the merged model goes."""


def adapter_folder(run: Path) -> Path:
    """The run's adapter. Raises WorkbenchError when it has none yet."""
    folder = run / "adapter"
    if not (folder / "adapter_config.json").exists():
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Export it once training has finished."
        )
    return folder


def export_adapter(run: Path, target: Path) -> Path:
    """Copy the adapter to `target`, whole, with the papers that go with it."""
    adapter = adapter_folder(run)
    with building_folder(target) as building:
        shutil.copytree(adapter, building, dirs_exist_ok=True)
        card.write(run, building)
        add_papers(run, building)
    return target


def add_papers(run: Path, folder: Path) -> None:
    """Put into `folder` the manifest that says what made it, and the base's licence files."""
    shutil.copy(run / MANIFEST, folder / "workbench-manifest.json")
    try:
        base = inputs.base_folder(run)
    except WorkbenchError:
        # An adapter can be taken from a machine whose base model is gone.
        return
    for pattern in _LICENCES:
        for path in base.glob(pattern):
            shutil.copy(path, folder / path.name)


def start_merge(run: Path, target: Path) -> Path:
    """Start merging the adapter into its base as a job; returns the job's folder."""
    adapter_folder(run)
    if target.exists():
        raise WorkbenchError(f"{target} exists already.", "Remove it, or choose another folder.")
    parent = run / "exports"
    with Workspace(run.parent.parent).lock("runs"):
        taken = [number(path.name) for path in parent.glob("merge-*")]
        folder = parent / f"merge-{max(taken, default=0) + 1:02d}"
        with building_folder(folder) as building:
            write_json(building / REQUEST, asdict(Request(str(run), str(target.absolute()))))
    launch.start(folder, "workbench.export.merge")
    return folder


def read_request(folder: Path) -> Request:
    return Request(**read_json(folder / REQUEST))
