"""Take a run's result away: the adapter alone, or merged into its base."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench import base_models
from workbench.adapters import checks, files, kept, origin
from workbench.adapters.combining import refuse_small_disk
from workbench.errors import WorkbenchError
from workbench.files import building_folder, folder_size, read_json, read_json_object, write_json
from workbench.jobs import launch, tasks
from workbench.jobs.tasks import REQUEST
from workbench.tracking import card, finding, inputs, manifest
from workbench.tracking.finding import number
from workbench.workspace import Workspace

CERTIFICATE = "certificate.json"
MODULE = "workbench.export.merge"
DTYPES = ("float32", "bfloat16", "float16")
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Of a number, by the formats that a merge converts."""
_OF_MACHINE = ("command", "working_folder", "repeat")
"""Of a manifest, what names folders of the machine that a run was made on."""
_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")


@dataclass(frozen=True, slots=True)
class Options:
    """How to merge."""

    dtype: str = ""
    """Number format of the merged model; empty: the base's own."""
    shards: bool = False
    """Tensor by tensor, without the whole model in memory, however much of that there is."""
    accept: bool = False
    """Keep a merged model that is beyond the bounds of its certificate."""
    rows: str = ""
    """Dataset whose held-out rows it is compared on; empty: the one that it was trained on."""


@dataclass(frozen=True, slots=True)
class Request:
    run: str
    """The run's folder; empty for an adapter that no run of this workspace has made."""
    target: str
    """Where the merged model goes."""
    adapter: str = ""
    """Its folder; empty: the run's."""
    base: str = ""
    """Its base's folder; empty: the run's."""
    dtype: str = ""
    shards: bool = False
    accept: bool = False
    rows: str = ""


def result_folder(run: Path) -> Path:
    """The run's adapter, or its whole model. Raises WorkbenchError when it has none yet."""
    folder = finding.result(run)
    if folder is None:
        raise WorkbenchError(
            f"The run {run.name} has no adapter yet.", "Export it once training has finished."
        )
    return folder


def export_adapter(run: Path, target: Path) -> Path:
    """Copy a run's adapter to `target`, whole, with the papers that go with it.

    Raises WorkbenchError for a run that has none, not yet or because it trained all weights, and
    for an adapter that is half-written.
    """
    folder = kept.adapter_of(run)
    files.read(folder)
    copy_result(run, folder, target)
    return target


def export_named(folder: Path, target: Path) -> Path:
    """Copy an adapter that no run here has made to `target`, whole, with what lies beside it."""
    files.read(folder)
    refuse_small_disk(target, folder_size(folder))
    with building_folder(target) as building:
        shutil.copytree(folder, building, dirs_exist_ok=True)
    return target


def copy_result(run: Path, folder: Path, target: Path) -> None:
    """Copy what a run has made to `target`, whole, with the papers that go with it."""
    refuse_small_disk(target, folder_size(folder))
    with building_folder(target) as building:
        shutil.copytree(folder, building, dirs_exist_ok=True)
        if (building / files.CONFIG).exists():
            _name_base(run, building / files.CONFIG)
        card.write(run, building)
        add_papers(run, building)


def _name_base(run: Path, path: Path) -> None:
    """Have an adapter's config name its base as others know it, not by a folder of this machine."""
    base = manifest.read(run)["base"]
    config = read_json_object(path)
    config["base_model_name_or_path"] = card.base_name(base)
    config["revision"] = base.get("revision")
    write_json(path, config)


def add_papers(run: Path, folder: Path) -> None:
    """Put into `folder` the manifest that says what made it, without this machine's folders, and
    the base's licence files."""
    made = {key: value for key, value in manifest.read(run).items() if key not in _OF_MACHINE}
    write_json(folder / origin.EXPORTED_MANIFEST, made)
    try:
        base = inputs.base_folder(run)
    except WorkbenchError:
        # An adapter can be taken from a machine whose base model is gone.
        return
    add_licences(base, folder)


def add_licences(base: Path, folder: Path) -> None:
    """Copy the base's licence files into `folder`."""
    for pattern in _LICENCES:
        for path in base.glob(pattern):
            shutil.copy(path, folder / path.name)


def start_merge(run: Path, target: Path, options: Options | None = None) -> Path:
    """Start merging the adapter into its base as a job, or copying the model of a run that
    trained all weights; returns the job's folder.

    Raises WorkbenchError for a run that has made nothing yet, an adapter that is half-written or
    a base that is gone, a target that exists, and a disk too small for it.
    """
    how = options or Options()
    result = result_folder(run)
    _refuse_existing(target)
    if result.name == finding.MODEL:
        refuse_small_disk(target, folder_size(result))
    else:
        files.read(result)
        refuse_small_disk(target, _merged_bytes(inputs.base_folder(run), how.dtype))
    parent = run / "exports"
    request = Request(str(run), str(target.absolute()), **asdict(how))
    with Workspace(run.parent.parent).lock("runs"):
        taken = [number(path.name) for path in parent.glob("merge-*")]
        folder = parent / f"merge-{max(taken, default=0) + 1:02d}"
        with building_folder(folder) as building:
            write_json(building / REQUEST, asdict(request))
    launch.start(folder, MODULE, environment=launch.OFFLINE)
    return folder


def start_adapter_merge(
    workspace: Workspace,
    adapter: Path,
    target: Path,
    base: str = "",
    options: Options | None = None,
) -> Path:
    """Start merging an adapter that no run here has made, into the base that it says it is of or
    the one that is named; returns the job's folder. Raises as `start_merge`."""
    how = options or Options()
    _refuse_existing(target)
    folder = origin.base_folder(workspace, origin.of(files.read(adapter)), base)
    refuse_small_disk(target, _merged_bytes(folder, how.dtype))
    request = Request(
        "", str(target.absolute()), adapter=str(adapter), base=str(folder), **asdict(how)
    )
    return tasks.start(workspace, "merge", MODULE, asdict(request), environment=launch.OFFLINE)


def read_request(folder: Path) -> Request:
    return Request(**read_json(folder / REQUEST))


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise WorkbenchError(f"{target} exists already.", "Remove it, or choose another folder.")


def _merged_bytes(base: Path, dtype: str) -> int:
    """What the merged model takes on the disk, a little more rather than less."""
    wanted = {"float32": 4, "bfloat16": 2, "float16": 2}.get(dtype)
    total = 0
    for tensor in checks.tensors_of(base).values():
        stored = tensor.end - tensor.begin
        own = _BYTES.get(tensor.dtype)
        total += stored if wanted is None or own is None else stored // own * wanted
    return total + total // 20 + base_models.tokenizer_bytes(base)
