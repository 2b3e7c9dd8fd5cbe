"""Base models by name: a local folder, a hub id, or `default`; always a local folder in the end.

Only safetensors are ever taken: weights in pickle files can run code when loaded.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from workbench import default_model, hub
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, user_path
from workbench.saying import Say, Watch, unwatched
from workbench.workspace import Workspace

DEFAULT = "default"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
)
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,5})-of-(?P<count>\d{1,5})\.safetensors")


def check_folder(folder: Path) -> Path:
    """Return `folder` if a causal language model can be loaded from it.

    Raises WorkbenchError naming what is missing: the folder, config.json, tokenizer.json
    or weights in safetensors.
    """
    if not folder.is_dir():
        raise WorkbenchError(f"The base model folder {folder} doesn't exist.", "Check the path.")
    config = folder / "config.json"
    if not config.exists():
        raise WorkbenchError(
            f"The base model folder {folder} has no config.json.",
            "Name the folder that `save_pretrained` wrote: config.json, tokenizer.json and "
            "*.safetensors.",
        )
    if "model_type" not in read_json_object(config):
        raise WorkbenchError(f"{config} names no model_type, so it is no model's config.")
    if not (folder / "tokenizer.json").exists():
        raise WorkbenchError(
            f"The base model folder {folder} has no tokenizer.json.",
            "Save its fast tokenizer there: AutoTokenizer.from_pretrained(…).save_pretrained(…).",
        )
    if not any(folder.glob("*.safetensors")):
        raise WorkbenchError(
            f"The base model folder {folder} has no weights in safetensors.",
            "Weights in pickle files (*.bin) are not loaded; save them again with save_pretrained.",
        )
    missing = _missing_shards(folder)
    if missing:
        raise WorkbenchError(
            f"The base model folder {folder} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more of its weights' files." if missing[1:] else "."),
            "Copy or download it again, whole.",
        )
    return folder


def _missing_shards(folder: Path) -> list[str]:
    """Files of the weights that the others speak of: a copy or a download was cut short."""
    present = {path.name for path in folder.glob("*.safetensors")}
    wanted: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        files = read_json_object(index).get("weight_map")
        wanted.update(str(name) for name in (files.values() if isinstance(files, dict) else ()))
    for name in present:
        if shard := _SHARD.fullmatch(name):
            stem, digits, count = shard["stem"], len(shard["number"]), shard["count"]
            numbers = range(1, int(count) + 1)
            wanted.update(f"{stem}-{n:0{digits}}-of-{count}.safetensors" for n in numbers)
    return sorted(wanted - present)


def resolve(workspace: Workspace, name: str, revision: str | None = None) -> Path:
    """The local folder of the base model `name`, if it is here already.

    `revision` is the commit of a hub model (default: the newest that is here). Never
    downloads or converts; raises WorkbenchError when the model isn't here.
    """
    if name == DEFAULT:
        folder = workspace.models / default_model.FOLDER
        if not folder.exists():
            raise WorkbenchError(
                f"The default model ({default_model.TITLE}) is not in the workspace yet.",
                "`workbench model prepare default` puts it there; so does the first run.",
            )
        return folder
    local = user_path(name)
    if local.is_dir() or not hub.is_id(name):
        return check_folder(local.absolute())
    cached = hub.cached(name, revision)
    if cached is None and revision is not None:
        raise WorkbenchError(
            f"The base model {name} is not on this machine at commit {revision}.",
            f"`hf download {name} --revision {revision}` fetches it again.",
        )
    if cached is None:
        raise WorkbenchError(
            f"The base model {name} is not on this machine.",
            f"`workbench model prepare {name}` downloads it.",
        )
    try:
        return check_folder(cached)
    except WorkbenchError as error:
        again = f"`workbench model prepare {name}` goes on with a download that was cut short."
        raise WorkbenchError(error.message, f"{error.hint} {again}".strip()) from error


def revision(name: str, folder: Path) -> str | None:
    """The commit of the hub model `name` that `folder` holds; None for any other base."""
    is_snapshot = folder.parent.name == "snapshots"
    return folder.name if is_snapshot and hub.is_id(name) else None


def tokenizer_bytes(base: Path) -> int:
    """What `copy_tokenizer` copies of a base's folder, in bytes."""
    files = (base / name for name in _TOKENIZER_FILES)
    return sum(file.stat().st_size for file in files if file.exists())


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Copy a base model's tokenizer and chat template, as they are, into `folder`."""
    for name in _TOKENIZER_FILES:
        if (base / name).exists():
            shutil.copy(base / name, folder / name)


def prepare(
    workspace: Workspace, name: str, say: Say = lambda text: None, watch: Watch = unwatched
) -> Path:
    """The local folder of the base model `name`, fetched or converted first if need be.

    Raises WorkbenchError with what to do when it can't be had.
    """
    if name == DEFAULT:
        with workspace.lock("models"):
            folder = workspace.models / default_model.FOLDER
            if not folder.exists():
                default_model.convert(folder, say, watch)
            return folder
    if not is_here(workspace, name) and can_be_fetched(name):
        hub.download(name, say, watch)
    return resolve(workspace, name)


def is_here(workspace: Workspace, name: str) -> bool:
    """Whether the base model `name` is on this machine, whole."""
    try:
        resolve(workspace, name)
    except WorkbenchError:
        return False
    return True


def can_be_fetched(name: str) -> bool:
    """Whether `name` is `default` or a hub id, and no local folder."""
    return name == DEFAULT or (hub.is_id(name) and not user_path(name).is_dir())
