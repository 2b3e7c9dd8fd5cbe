"""Models of the hub: whether it answers, what the local cache has, what is downloaded."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.saying import Say, Watch, saying

_PATTERNS: dict[str, Any] = {
    "allow_patterns": ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"],
    # Some families have all of their weights twice.
    "ignore_patterns": ["consolidated*"],
}
_ADVICE = (
    "Copy the model's folder to this machine and name the folder, or use `default`, which needs "
    "no hub."
)
_TIMEOUT = 3.0
"""Seconds in which the hub must accept a connection before it counts as out of reach."""


def is_id(name: str) -> bool:
    """Whether a name is one of the hub, OWNER/NAME, by its looks alone."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "/", "~"))


def refuse_out_of_reach(name: str) -> None:
    """Raises WorkbenchError when the hub doesn't answer, for who wants its model `name`."""
    if not in_reach():
        raise WorkbenchError(
            f"The base model {name} is not on this machine and the hub is out of reach.", _ADVICE
        )


def cached(name: str, revision: str | None = None) -> Path | None:
    """The snapshot of a hub model in the local cache, whole or not, without asking the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True, **_PATTERNS))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise WorkbenchError(
            f"{name!r} is neither a folder on this machine nor a name on the hub.",
            "Check the path; a hub id is OWNER/NAME.",
        ) from error


def download(name: str, say: Say, watch: Watch) -> None:
    """Fetch a model into the local cache. Raises WorkbenchError when it can't be had."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import repo_folder_name

    refuse_out_of_reach(name)
    cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    try:
        files = snapshot_download(name, dry_run=True, **_PATTERNS)
        wanted = [file for file in files if file.will_download]
        size = sum(file.file_size or 0 for file in wanted)
        text = f"Downloading {name} from the hub: {len(wanted)} files, {size / 1e6:,.0f} MB"
        watch("downloading", cache / "blobs", size)
        with saying(say, text):
            snapshot_download(name, **_PATTERNS)
    except HfHubHTTPError as error:
        raise WorkbenchError(f"The hub refused {name}: {_first_line(error)}", _ADVICE) from error
    except OSError as error:
        raise explain_os_error(error, f"download {name}") from error
    except Exception as error:  # whatever the hub's HTTP client raises: it changed more than once
        raise WorkbenchError(
            f"{name} could not be downloaded: {_first_line(error)}", _ADVICE
        ) from error


def in_reach() -> bool:
    """Whether the hub, or the proxy before it, accepts a connection.

    One short try instead of a client's retries, in a thread of its own, since looking up a
    name has no limit of time.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    reached = threading.Event()

    def try_once() -> None:
        with suppress(OSError, ValueError):
            socket.create_connection(_address(), _TIMEOUT).close()
            reached.set()

    thread = threading.Thread(target=try_once, daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    return reached.is_set()


def _address() -> tuple[str, int]:
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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
