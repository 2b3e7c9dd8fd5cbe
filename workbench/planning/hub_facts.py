"""What the hub's two small files say of a base that isn't on this machine.

`config.json`, and of each safetensors file its header alone, by a range request: some 100 KB of
a model of any size. Kept in the workspace, so that a second look needs no network.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.config.base_facts import (
    LENGTH,
    LONGEST_HEADER,
    BaseFacts,
    is_shape,
    is_weights,
    shapes_of,
)
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.hub import refuse_out_of_reach
from workbench.text import visible
from workbench.workspace import Workspace

Say = Callable[[str], None]
"""Takes a sentence about what is being done."""
Shapes = list[tuple[str, list[int]]]
TIMEOUT = 5.0
"""Seconds that the hub may be silent."""
_WHOLE = 30.0
"""Seconds that all of it may take."""
_MOST = 64 << 20
"""Bytes of a JSON file: the index of the largest models has some 10 MB."""
_AT_ONCE = 8
"""Requests."""
_CONFIG, _HEADERS = "config.json", "headers.json"
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class _NotThereError(Exception):
    """The hub has no such file."""


def kept(workspace: Workspace, name: str) -> BaseFacts | None:
    """What was fetched of the hub's model `name` before; None where nothing was, or what is there
    can't be read."""
    folder = _folder(workspace, name)
    try:
        shapes = read_json_object(folder / _HEADERS)["weights"]
        if not all(isinstance(name, str) and is_shape(shape) for name, shape in shapes):
            return None
        return BaseFacts.from_shapes(read_json_object(folder / _CONFIG), shapes, name)
    except (WorkbenchError, KeyError, TypeError, ValueError):
        return None


def fetch(workspace: Workspace, name: str, say: Say) -> BaseFacts:
    """The facts of the hub's model `name`, fetched and kept.

    Raises WorkbenchError when the hub is out of reach or silent, when it has no such model or
    wants a permission, and for a model without weights in safetensors.
    """
    refuse_out_of_reach(name)
    say(f"Reading what {name} is from the hub: its config.json and the headers of its weights.")
    hub = _Hub(name)
    try:
        body = _object(hub.read(_CONFIG, _MOST), f"{name}/{_CONFIG}")
        shapes = _shapes(hub)
    except WorkbenchError:
        raise
    except _NotThereError as error:
        raise WorkbenchError(f"{name} has no {error} on the hub.", "Check the name.") from error
    except Exception as error:  # whatever the hub's HTTP client raises: it changed more than once
        raise WorkbenchError(
            f"{name} can't be read from the hub: {visible(str(error) or type(error).__name__)}"
        ) from error
    facts = BaseFacts.from_shapes(body, shapes, name)
    folder = _folder(workspace, name)
    # A full disk keeps nobody from the forecast.
    with suppress(WorkbenchError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _CONFIG, body)
        write_json(folder / _HEADERS, {"v": 1, "commit": hub.commit, "weights": shapes})
    return facts


def _folder(workspace: Workspace, name: str) -> Path:
    return workspace.cache / "bases" / name.replace("/", "--")


def _shapes(hub: _Hub) -> Shapes:
    """Of all of its weights' files."""
    try:
        return hub.shapes(_SINGLE)
    except _NotThereError:
        pass
    try:
        index = _object(hub.read(_INDEX, _MOST), _INDEX)
    except _NotThereError:
        return []
    of_weights = index.get("weight_map")
    files = {str(name) for name in of_weights.values()} if isinstance(of_weights, dict) else set()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(hub.shapes, sorted(name for name in files if is_weights(name)))
        return [shape for of_file in found for shape in of_file]


class _Hub:
    """One model on the hub, by the hub's own client: its address, its tokens, its proxies."""

    def __init__(self, name: str) -> None:
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        self._name = name
        self._ends = time.monotonic() + _WHOLE
        # A compressed answer has no ranges.
        self._headers = {**build_hf_headers(), "accept-encoding": "identity"}
        self.commit = ""
        """That the files are of, as the hub tells it."""

    def shapes(self, file: str) -> Shapes:
        """Of one safetensors file. Reads no more than its header, whether or not the server
        honours a range."""
        try:
            start = self.read(file, LENGTH, last=LENGTH - 1)
            length = int.from_bytes(start, "little")
            if len(start) < LENGTH or not 0 < length <= LONGEST_HEADER:
                raise ValueError("its length is none")
            whole = LENGTH + length
            return shapes_of(self.read(file, whole, last=whole - 1)[LENGTH:])
        except ValueError as error:
            raise WorkbenchError(
                f"{file} of {self._name} on the hub has no header of safetensors: {error}."
            ) from error

    def read(self, file: str, most: int, last: int | None = None) -> bytes:
        """The first bytes of a file, `most` at most; up to `last`, where that is given.

        Raises _NotThereError, and WorkbenchError where the hub refuses or takes too long.
        """
        from huggingface_hub import get_session, hf_hub_url

        headers = dict(self._headers)
        if last is not None:
            headers["range"] = f"bytes=0-{last}"
        asked = get_session().stream(
            "GET",
            hf_hub_url(self._name, file),
            headers=headers,
            timeout=TIMEOUT,
            follow_redirects=True,
        )
        with asked as answer:
            self._check(answer, file)
            # A file's own server, to which the hub sends on, knows of no commit.
            for step in (*answer.history, answer):
                self.commit = step.headers.get("x-repo-commit", self.commit)
            return b"".join(self._first(answer.iter_bytes(), most))[:most]

    def _first(self, parts: Iterator[bytes], most: int) -> Iterator[bytes]:
        read = 0
        for part in parts:
            if time.monotonic() > self._ends:
                raise WorkbenchError(f"The hub takes over {_WHOLE:.0f} s to tell of {self._name}.")
            yield part
            read += len(part)
            if read >= most:
                return

    def _check(self, answer: Any, file: str) -> None:
        status, code = answer.status_code, answer.headers.get("x-error-code", "")
        if status == 404 and code in ("", "EntryNotFound"):
            raise _NotThereError(file)
        if code == "RepoNotFound" or status == 404:
            raise WorkbenchError(
                f"The hub has no model {self._name}, or none that you may see.",
                "Check the name; a private one needs `hf auth login`, or HF_TOKEN.",
            )
        if status in (401, 403):
            raise WorkbenchError(
                f"The hub doesn't let you read {self._name} (HTTP {status}).",
                "Ask for access on its page, then `hf auth login`, or set HF_TOKEN.",
            )
        if not answer.is_success:
            raise WorkbenchError(f"The hub answers HTTP {status} for {self._name}/{file}.")


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise WorkbenchError(f"{what} on the hub is no JSON.") from error
    if not isinstance(body, dict):
        raise WorkbenchError(f"{what} on the hub holds no JSON object.")
    return body
