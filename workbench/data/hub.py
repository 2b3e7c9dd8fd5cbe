"""Data sets of the Hugging Face hub: which commit a name stands for, and the rows of a split.

Nothing that a data set brings is run: what needs code of its own is refused by `datasets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.raw import RawRow, plain_value
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold

PREFIX = "hub:"
_PART = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*"
_SPEC = re.compile(
    rf"(?P<hub>{_PART}/{_PART})"
    r"(?::(?P<config>[^@#:]+))?(?:@(?P<revision>[^@#:]+))?(?:#(?P<part>[^@#:]+))?"
)
_SHA = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 10.0
"""Seconds that the hub may take to say which commit is the newest."""

_NETWORK = (
    "Where there is a network, check HF_HUB_OFFLINE and HF_ENDPOINT; without one, copy the files "
    "here and import them, or a folder that Dataset.save_to_disk wrote."
)


@dataclass(frozen=True, slots=True)
class Spec:
    """What `hub:OWNER/NAME[:CONFIG][@REVISION][#SPLIT]` names."""

    hub: str
    config: str = ""
    revision: str | None = None
    part: str = ""


def parse(text: str) -> Spec:
    """The data set that a text names. Raises WorkbenchError for one that names none."""
    found = _SPEC.fullmatch(text.removeprefix(PREFIX))
    if found is None or ".." in found["hub"]:
        raise WorkbenchError(
            f"{text!a} names no data set of the hub.",
            "Write hub:OWNER/NAME, and where it is needed :CONFIG, @REVISION and #SPLIT after "
            "it, such as hub:openai/gsm8k:main#train.",
        )
    return Spec(found["hub"], found["config"] or "", found["revision"], found["part"] or "")


@dataclass(frozen=True, slots=True)
class Found:
    """A split of a data set as it was found."""

    commit: str | None
    """None where this machine's cache doesn't say."""
    part: str
    rows: Any
    """Of `datasets`: a sequence of objects."""


def find(
    name: str, config: str = "", part: str = "", revision: str | None = None, tell: Tell = untold
) -> Found:
    """A split of a data set: what this machine's cache has of that commit, else what the hub has,
    fetched into the cache.

    Raises WorkbenchError when it can't be had: no such data set, no network, a config or a split
    to choose, code that would have to be run.
    """
    if Path(name).exists():
        raise WorkbenchError(
            f"There is a folder {name} here, which `datasets` would take for the hub's.",
            "Import it by its path, or start from another folder.",
        )
    tell(f"fetching {name}", 0, 0, "")
    pinned = bool(revision and _SHA.fullmatch(revision))
    if pinned and (cached := _cached(name, config, part)) and cached.commit == revision:
        return cached
    if commit := _commit_of(name, revision):
        return _found(name, part, _load(name, config, commit), commit)
    with _offline():
        cached = _found(name, part, _load(name, config, None))
    if revision and cached.commit != revision:
        raise WorkbenchError(
            f"{name} can't be fetched: the hub can't be reached, and this machine's cache has it "
            f"at {cached.commit}, not at {revision}.",
            _NETWORK,
        )
    return cached


def read(name: str, found: Found) -> Iterator[RawRow]:
    """The rows of a split."""
    for number, value in enumerate(found.rows, start=1):
        yield RawRow(f"{name}/{found.part}:row {number}", plain_value(value))


def _commit_of(name: str, revision: str | None) -> str | None:
    """The commit that a revision of a data set is, the newest by default; None where the hub
    can't be reached. Raises WorkbenchError when it says that there is no such thing."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        sha = HfApi().dataset_info(name, revision=revision, timeout=_PATIENCE).sha
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403, 404):
            raise _missing(name, revision, str(error)) from error
        return None
    except Exception:  # no network, as each layer below says it in its own way
        return None
    return str(sha) if sha else None


def _cached(name: str, config: str, part: str) -> Found | None:
    with _offline():
        try:
            return _found(name, part, _load(name, config, None))
        except WorkbenchError:
            return None


@contextmanager
def _offline() -> Iterator[None]:
    """Have `datasets` look into the cache alone: left to itself it asks for the hub again and
    again for half a minute."""
    import datasets
    from huggingface_hub import constants

    kept = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = kept


def _load(name: str, config: str, revision: str | None) -> dict[str, Any]:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        loaded = datasets.load_dataset(name, config or None, revision=revision)
    except Exception as error:  # whatever the hub, the network and its readers raise
        raise _refusal(name, config, error) from error
    return dict(loaded)


def _found(name: str, part: str, loaded: dict[str, Any], commit: str | None = None) -> Found:
    part = _part_of(name, part, list(loaded))
    rows = loaded[part]
    in_cache = {
        piece
        for file in rows.cache_files
        for piece in Path(file["filename"]).parts
        if _SHA.fullmatch(piece)
    }
    if commit is None and len(in_cache) == 1:
        (commit,) = in_cache
    return Found(commit, part, rows)


def _part_of(name: str, part: str, parts: list[str]) -> str:
    if part in parts:
        return part
    if not part and ("train" in parts or len(parts) == 1):
        return "train" if "train" in parts else parts[0]
    said = f"has no split {part}" if part else "has several splits"
    raise WorkbenchError(
        f"{name} {said}: {', '.join(parts)}.", f"Name one: hub:{name}#{parts[0] if parts else ''}"
    )


def _refusal(name: str, config: str, error: Exception) -> WorkbenchError:
    reason = " ".join(str(error).split())[:500]
    if "Config name is missing" in reason or "BuilderConfig" in reason:
        return WorkbenchError(
            f"{name} can't be read: {reason}", f"Name a config: hub:{name}:CONFIG"
        )
    if "scripts are no longer supported" in reason or "trust_remote_code" in reason:
        return WorkbenchError(
            f"{name} needs code of its own to be read, which is never run here.",
            "Look for a version of it in Parquet: hub:OWNER/NAME@refs/convert/parquet.",
        )
    if _is_network(error) or "offline" in reason.lower() or "Couldn't reach" in reason:
        return WorkbenchError(
            f"{name} can't be fetched: the hub can't be reached, and it is not in this machine's "
            "cache.",
            _NETWORK,
        )
    if type(error).__name__ in ("DatasetNotFoundError", "RepositoryNotFoundError"):
        return _missing(name, None, reason)
    return WorkbenchError(f"{name} can't be read by `datasets`: {reason}")


def _is_network(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that nobody answers."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in (
            "ConnectError",
            "ConnectTimeout",
            "OfflineModeIsEnabled",
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _missing(name: str, revision: str | None, reason: str) -> WorkbenchError:
    at = f" at {revision}" if revision else ""
    return WorkbenchError(
        f"The hub has no data set {name}{at}, or doesn't show it to you.",
        f"Check the name; a private or gated one needs HF_TOKEN. It says: "
        f"{' '.join(reason.split())[:200]}",
    )
