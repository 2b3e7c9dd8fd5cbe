"""Take a run's result away: the adapter alone, or merged into its base."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, write_json
from workbench.jobs import launch
from workbench.jobs.tasks import REQUEST
from workbench.tracking import card, finding, inputs
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


def result_folder(run: Path) -> Path:
    """The run's adapter, or its whole model. Raises WorkbenchError when it has none yet."""
    folder = finding.result(run)
    if folder is None:
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Export it once training has finished."
        )
    return folder


def export_adapter(run: Path, target: Path) -> Path:
    """Copy the adapter to `target`, whole, with the papers that go with it.

    Raises WorkbenchError for a run that has none, not yet or because it trained all weights.
    """
    folder = result_folder(run)
    if folder.name == finding.MODEL:
        raise WorkbenchError(
            f"The run {run.name} has no adapter: it trained the whole model (training.method "
            "full).",
            f"Take the model away with: workbench export merged {run.name} --to DIR",
        )
    copy_result(run, folder, target)
    return target


def copy_result(run: Path, folder: Path, target: Path) -> None:
    """Copy what a run has made to `target`, whole, with the papers that go with it."""
    with building_folder(target) as building:
        shutil.copytree(folder, building, dirs_exist_ok=True)
        card.write(run, building)
        add_papers(run, building)


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
    """Start merging the adapter into its base as a job, or copying the model of a run that
    trained all weights; returns the job's folder."""
    result_folder(run)
    if target.exists():
        raise WorkbenchError(f"{target} exists already.", "Remove it, or choose another folder.")
    parent = run / "exports"
    with Workspace(run.parent.parent).lock("runs"):
        taken = [number(path.name) for path in parent.glob("merge-*")]
        folder = parent / f"merge-{max(taken, default=0) + 1:02d}"
        with building_folder(folder) as building:
            write_json(building / REQUEST, asdict(Request(str(run), str(target.absolute()))))
    launch.start(folder, "workbench.export.merge", environment=launch.OFFLINE)
    return folder


def read_request(folder: Path) -> Request:
    return Request(**read_json(folder / REQUEST))
