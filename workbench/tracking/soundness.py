"""Whether the files of a run are what they should be, as far as a glance can tell.

Plain and quick: a list asks it of every run. `runs verify` reads all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import NewerRelease, WorkbenchError
from workbench.files import read_json_object
from workbench.jobs import events
from workbench.jobs.events import Event, Finished
from workbench.jobs.state import DAMAGED, ENDED, GOING_ON, NEWER, UNREADABLE, look
from workbench.tracking.finding import ADAPTER, LOG, MANIFEST

if TYPE_CHECKING:
    from workbench.tracking.summary import RunSummary

VERSION = 1
_CONFIG = "config.yaml"
_DEFAULT = "default"
_SHAPE: dict[str, type | tuple[type, ...]] = {
    "run": str,
    "created": (int, float),
    "config": dict,
    "dataset": dict,
    "dataset.name": str,
    "dataset.version": str,
    "dataset.sha256": str,
    "base": dict,
    "base.name": str,
}
"""What every manifest has, of any release."""
_TAIL = 1 << 16
"""Bytes of a log's end that its last lines are in."""


def read(folder: Path) -> dict[str, Any]:
    """A run's manifest.

    Raises NewerRelease for one of a version that this release doesn't know, WorkbenchError when
    there is none or it isn't whole.
    """
    path = folder / MANIFEST
    if not path.exists() and folder.is_dir():
        raise WorkbenchError(
            f"{folder.name} is half-written: it has no {MANIFEST}, so nothing says what it is of.",
            f"Copy it again, whole, or remove {folder}.",
        )
    body = read_json_object(path)
    if (version := body.get("v", VERSION)) != VERSION:
        raise NewerRelease(path, version, VERSION)
    for name, kind in _SHAPE.items():
        section, _, inner = name.rpartition(".")
        if not isinstance((body[section] if section else body).get(inner), kind):
            raise WorkbenchError(f"{path} has no {name}, so it is no whole manifest.")
    return body


def problems(folder: Path, made: Mapping[str, Any], status: str) -> list[str]:
    """What is wrong with a run's own files, in sentences. `status` is its state's word."""
    found = [
        _identity(folder, made["run"]),
        config_problem(folder / _CONFIG),
        _log(folder / LOG, bool(made.get("starts")), status),
        _adapter(folder / ADAPTER, made["base"]["name"]),
    ]
    return [problem for problem in found if problem]


def base_gone(name: str) -> str:
    """That a base model isn't on this machine, in a sentence; empty where it is, and of `default`,
    which is fetched whenever it is needed."""
    if name == _DEFAULT:
        return ""
    place = Path(os.path.expanduser(name))  # noqa: PTH111  it stays as it is without a home
    if not place.is_absolute():
        place = _hub_cache() / f"models--{name.replace('/', '--')}"
    return "" if place.is_dir() else f"Its base model is not on this machine: {name}."


def with_bases(summaries: Sequence[RunSummary]) -> list[RunSummary]:
    """The same lines, each with a problem more whose base model isn't on this machine. Looked at
    each time: no file of a run's says when its base goes."""
    gone = {name: base_gone(name) for name in {s.base for s in summaries} if name}
    return [
        replace(s, problems=[*s.problems, told]) if (told := gone.get(s.base)) else s
        for s in summaries
    ]


def remarks(summaries: Iterable[RunSummary]) -> list[str]:
    """What a list says of its runs beside their lines: what several have in common once."""
    said: dict[str, list[str]] = {}
    for summary in summaries:
        text = [summary.text] if summary.status in UNREADABLE else []
        for told in (*text, *summary.problems):
            said.setdefault(told, []).append(summary.id)
    return [
        f"! {ids[0]}{f' and {len(ids) - 1} more' if ids[1:] else ''}: {told}"
        for told, ids in said.items()
    ]


def unreadable(folder: Path, error: Exception) -> tuple[str, str]:
    """The word and the sentence for a run whose files can't be read. One that goes on is told so
    all the same: a newer release may be at it."""
    _, status, text = look(folder)
    reason = " ".join(str(error).split())
    if isinstance(error, NewerRelease):
        return (status, f"{text} {reason}") if status in GOING_ON else (NEWER, reason)
    if not isinstance(error, WorkbenchError):
        reason = f"its manifest, state or log holds what no release writes ({reason})."
    return DAMAGED, f"Its files can't be read: {reason}"


def written(folder: Path) -> float:
    """When a run's folder was made, as far as its files tell; unix seconds."""
    for path in (folder / MANIFEST, folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _hub_cache() -> Path:
    """As huggingface_hub has it, which takes long to import."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub")


def _identity(folder: Path, run: str) -> str:
    if folder.name == run:
        return ""
    if (folder.parent / run / MANIFEST).exists():
        return f"It is a copy of {run}: the manifest is that run's."
    return f"Its folder was copied or renamed: the run is {run}."


def config_problem(path: Path) -> str:
    """That a run's config is gone or cut short, in a sentence; empty where it is neither."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 1))
            whole = stream.read() == b"\n"
    except OSError:
        return f"It has no {path.name} that can be read; the manifest holds its config."
    return "" if whole else f"Its {path.name} is cut short; the manifest holds its config."


def _log(path: Path, started: bool, status: str) -> str:
    """By its first line and its last ones."""
    try:
        with path.open("rb") as stream:
            first = stream.readline(_TAIL)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            content = stream.read()
    except OSError:
        return f"Its {path.name} is gone." if started else ""
    tail, newline, rest = content.rpartition(b"\n")
    last = _event(tail[tail.rfind(b"\n") + 1 :])
    if size and last is None and _event(first) is None:
        if (version := _version(first)) not in (None, events.VERSION):
            return f"Its {path.name} is of a newer release: version {version!r}."
        return f"Its {path.name} holds nothing that can be read."
    if status not in ENDED:
        return ""
    if rest or (size and not newline):
        return f"Its {path.name} is torn: the last line is cut short."
    if status == "finished" and not isinstance(last, Finished):
        return f"Its {path.name} is torn: it ends before the run's last word."
    return ""


def _event(line: bytes) -> Event | None:
    try:
        record = events.decode(line)
    except (ValueError, RecursionError):
        return None
    return record.event if record else None


def _version(line: bytes) -> object:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return body.get("v") if isinstance(body, dict) else None


def _adapter(folder: Path, base: str) -> str:
    path = folder / "adapter_config.json"
    if not path.exists():
        return ""
    try:
        told = read_json_object(path).get("base_model_name_or_path")
    except WorkbenchError:
        return f"Its {ADAPTER}/{path.name} can't be read."
    if not isinstance(told, str) or not told:
        return ""
    # By the last part: the folders before it are another machine's, perhaps.
    if base == _DEFAULT:
        from workbench.default_model import FOLDER

        base = FOLDER
    if Path(told).name == Path(base).name:
        return ""
    return f"Its adapter is of another base: {told}, and the run is of {base}."
