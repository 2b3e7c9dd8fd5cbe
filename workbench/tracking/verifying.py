"""What a run's manifest says, held against what is there now: a line for each thing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs.closing import ENDED, log_end
from workbench.jobs.progress import Tell
from workbench.redaction import redacted
from workbench.tracking import manifest, runs, soundness
from workbench.tracking.finding import ADAPTER, MODEL
from workbench.tracking.verified import AROUND as AROUND
from workbench.tracking.verified import CHANGED as CHANGED
from workbench.tracking.verified import MISSING as MISSING
from workbench.tracking.verified import SAME as SAME
from workbench.tracking.verified import UNRECORDED as UNRECORDED
from workbench.workspace import Workspace

ABSENT = "absent"
_CHUNK = 16 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One thing, as it was and as it is."""

    part: str
    """`run`, `config`, `dataset`, `base`, `tokenizer`, `tokens`, `result`, `log` or AROUND."""
    name: str
    state: str
    """SAME, CHANGED, MISSING (it was there) or UNRECORDED (a manifest of an earlier release, or of
    a run that has not come so far, doesn't say)."""
    was: str
    now: str

    @classmethod
    def of(cls, part: str, name: str, was: object, now: object) -> Line:
        """By both values; None is what isn't recorded, or isn't there."""
        told = [ABSENT if value is None else str(value) for value in (was, now)]
        if was is None:
            return cls(part, name, UNRECORDED, "", told[1])
        if now is None:
            return cls(part, name, MISSING, *told)
        return cls(part, name, SAME if was == now else CHANGED, *told)

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def found(lines: list[Line]) -> dict[str, bool]:
    """`unchanged`: whether all that the run rests on and has made is as it was; `same_around`:
    whether the machine and what is installed are."""
    differing = [line for line in lines if line.state in (CHANGED, MISSING)]
    return {
        "unchanged": all(line.part == AROUND for line in differing),
        "same_around": all(line.part != AROUND for line in differing),
    }


def recorded_config(made: Mapping[str, Any]) -> RunConfig:
    """The config that a manifest holds. Raises ConfigError where this release doesn't take it."""
    return loading.parse(dict(made["config"]), origin=f"The manifest of {made['run']}")


def of_run(folder: Path, made: Mapping[str, Any]) -> Iterator[Line]:
    """Whether the folder is the one that the manifest was written for."""
    yield Line.of("run", "id", made["run"], folder.name)


def of_config(folder: Path, made: Mapping[str, Any]) -> Iterator[Line]:
    """The run's `config.yaml` against the config that it was made with, a line a field that
    differs."""
    path = folder / runs.CONFIG
    was = made["config"]
    if not path.exists():
        yield Line("config", runs.CONFIG, MISSING, _digest(was), ABSENT)
        return
    if told := soundness.config_problem(path):
        yield Line("config", runs.CONFIG, CHANGED, _digest(was), told)
        return
    try:
        # Compared as the manifest has it, without what looks like a secret.
        now = redacted(loading.load(path).model_dump())
    except WorkbenchError as error:
        yield Line("config", runs.CONFIG, CHANGED, _digest(was), f"can't be read: {error.message}")
        return
    before, after = _flat(was), _flat(now)
    names = sorted(before.keys() & after.keys())
    differing = [name for name in names if before[name] != after[name]]
    # Fields that came or went with a release are no change of the run's.
    for name in differing:
        values = (json.dumps(side[name], ensure_ascii=False) for side in (before, after))
        yield Line("config", name, CHANGED, *values)
    if not differing:
        yield Line("config", runs.CONFIG, SAME, _digest(was), _digest(now))


def of_datasets(
    workspace: Workspace, made: Mapping[str, Any], tell: Tell
) -> Iterator[tuple[Line, Version | None]]:
    """The rows of each version that the run names; with the first, the one it is trained on, where
    it is here and its rows are what they were."""
    for told in (made["dataset"], *made.get("other_datasets", ())):
        name = f"{told['name']}@{told['version']}"
        version = find_version(workspace, told)
        now = None
        if version is not None and version.data_path.exists():
            now = hashed(version.data_path, f"hashing {name}", tell)
        purpose = f" ({told['for']})" if "for" in told else ""
        line = Line.of("dataset", f"{name}{purpose}", told["sha256"], now)
        yield line, version if line.state == SAME else None


def find_version(workspace: Workspace, told: Mapping[str, Any]) -> Version | None:
    """The version that a manifest names, else one of the same rows by another name."""
    known = versions.list_versions(workspace)
    same = [version for version in known if version.sha256 == told["sha256"]]
    same.sort(key=lambda version: version.name != told["name"])
    return same[0] if same else None


def of_base(folder: Path | None, made: Mapping[str, Any], tell: Tell) -> Iterator[Line]:
    """Each file of the base model; `folder` is None where there is none."""
    was: dict[str, str] = made["base"].get("files", {})
    if folder is None:
        if not was:
            yield Line("base", made["base"]["name"], MISSING, made["base"]["name"], ABSENT)
        for name, digest in was.items():
            yield Line.of("base", name, digest, None)
        return
    now = hashed_files(folder, tell)
    if not was:
        yield from (Line.of("base", name, None, digest) for name, digest in now.items())
        return
    for name in sorted(was.keys() | now.keys()):
        yield Line.of("base", name, was.get(name, ABSENT), now.get(name))


def find_base(workspace: Workspace, made: Mapping[str, Any]) -> tuple[Path | None, str]:
    """The folder of the base model that a manifest names, at its commit; None and why where it
    isn't here."""
    try:
        base = made["base"]
        return base_models.resolve(workspace, base["name"], base.get("revision")), ""
    except WorkbenchError as error:
        return None, error.message


def hashed_files(folder: Path, tell: Tell) -> dict[str, str]:
    """As `manifest.model_files`, with progress."""
    paths = sorted(p for kind in manifest.MODEL_FILES for p in folder.glob(kind))
    return {path.name: hashed(path, f"hashing {path.name}", tell) for path in paths}


def of_template(made: Mapping[str, Any], now: Mapping[str, str] | None) -> Iterator[Line]:
    """Tokenizer and chat template, as this tokenizers package reads them. `now` is as
    `inputs.template_hashes`; None where there is no base to read them of."""
    was = made.get("template") or {}
    for name in ("tokenizer", "chat_template", "sha256"):
        if name in was or (name == "sha256" and not was):
            shown = "tokenizer and chat_template" if name == "sha256" else name
            yield Line.of("tokenizer", shown, was.get(name), (now or {}).get(name))


def of_tokens(made: Mapping[str, Any], now: Mapping[str, Any] | None) -> Iterator[Line]:
    """The rows encoded once more, by split; `now` is None where they can't be."""
    was = made.get("tokens") or {}
    for split in versions.SPLITS:
        began, rows = was.get(split), (now or {}).get(split)
        digests = [side and side["sha256"] for side in (began, rows)]
        size = rows or began
        counts = f" ({size['rows']:,} rows, {size['tokens']:,} tokens)" if size else ""
        yield Line.of("tokens", f"{split}{counts}", *digests)


def of_result(folder: Path, made: Mapping[str, Any], tell: Tell) -> Iterator[Line]:
    """Each file that the run has made."""
    for kind in (ADAPTER, MODEL):
        was, place = made.get(kind, {}), folder / kind
        there = {path.name for path in manifest.files_of_result(place)} if place.is_dir() else set()
        # Earlier releases kept the hashes of the weights alone.
        whole = "adapter_config.json" in was or "config.json" in was
        for name in sorted(was.keys() | (there if whole else set())):
            now = hashed(place / name, f"hashing {kind}/{name}", tell) if name in there else None
            yield Line.of("result", f"{kind}/{name}", was.get(name, ABSENT), now)


def of_log(folder: Path, made: Mapping[str, Any]) -> Iterator[Line]:
    """The log, up to where it was when the run ended."""
    told = (made.get(ENDED) or {}).get("log")
    path = folder / runs.LOG
    try:
        now = log_end(path, told["bytes"] if told else None)
    except FileNotFoundError:
        now = None
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    name = runs.LOG
    if told:
        name += f" (to event {told['seq']})"
        short = now is not None and now.bytes < told["bytes"]
        if short and now is not None:
            was = f"{told['sha256']}, {told['bytes']:,} bytes"
            yield Line.of("log", name, was, f"{now.sha256}, {now.bytes:,} bytes")
            return
    yield Line.of("log", name, told and told["sha256"], now and now.sha256)


def around(made: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Line]:
    """The machine, what is installed and workbench's own code, against the last start's; and the
    git checkout that the run was asked for in. `now` is as `surroundings`."""
    was = manifest.last_environment(made)
    for name in ("host", "platform", "machine", "processor", "device", "threads"):
        yield _around(name, was.get(name), now.get(name))
    for name in ("python", "cuda", "cudnn"):
        if was.get(name) is not None or now.get(name) is not None:
            yield _around(name, was.get(name, ABSENT) or "none", now.get(name) or "none")
    yield from _gpus(was, now)
    yield from _own_code(made, was.get("workbench"), now["workbench"])
    before, after = was.get("packages", {}), now["packages"]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) is not None or after.get(name) is not None:
            yield _around(name, before.get(name) or ABSENT, after.get(name))
    yield from _other_packages(was.get("other_packages"), now["other_packages"])
    if (git := made.get("git")) is not None:
        yield from _checkout(git)


def _around(name: str, was: object, now: object) -> Line:
    return Line.of(AROUND, name, was, now)


def _gpus(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Line]:
    before, after = was.get("nvidia"), now.get("nvidia")
    if not before and not after:
        return
    drivers = (side["driver"] if side else "none" for side in (before, after))
    yield _around("driver", *drivers)
    # A machine may have more than were trained on: their names, each with how many there are.
    names = (
        ", ".join(g["name"] for g in side["gpus"]) if side else "none" for side in (before, after)
    )
    yield _around("GPUs", *names)


def _own_code(
    made: Mapping[str, Any], was: Mapping[str, Any] | None, now: Mapping[str, Any]
) -> Iterator[Line]:
    before = was or {"version": made.get("workbench"), "sha256": None, "commit": None}
    yield _around("workbench", before["version"], now["version"])
    yield _around("workbench's code", before["sha256"], now["sha256"])
    if before["commit"] or now["commit"]:
        yield _around("workbench's commit", before["commit"], now["commit"] or "none")


def _other_packages(was: Mapping[str, str] | None, now: Mapping[str, str]) -> Iterator[Line]:
    if was is None:
        return
    differing = [n for n in sorted(was.keys() | now.keys()) if was.get(n) != now.get(n)]
    if not differing:
        count = f"{len(was)} packages"
        yield Line(AROUND, "other packages", SAME, count, count)
    for name in differing:
        yield _around(name, was.get(name, ABSENT), now.get(name))


def _checkout(was: Mapping[str, Any]) -> Iterator[Line]:
    place = was.get("folder")
    now = manifest.git_state(Path(place)) if place and Path(place).is_dir() else None
    name = f"git commit of {place}" if place else "git commit"
    if place is None:
        yield Line(AROUND, name, UNRECORDED, was["commit"], "")
        return
    yield _around(name, was["commit"], now and now["commit"])
    changes = [(side.get("changes") or "none") if side else None for side in (was, now)]
    yield _around("uncommitted changes", *changes)


def hashed(path: Path, phase: str, tell: Tell) -> str:
    """SHA-256 of a file, with progress. Raises WorkbenchError when it can't be read."""
    digest, done = hashlib.sha256(), 0
    try:
        total = path.stat().st_size
        tell(phase, 0, total, "bytes")
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                tell(phase, done, total, "bytes")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    return digest.hexdigest()


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        # A section of fields; `data.mixture` and the like are a field's value.
        if not prefix and isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        else:
            flat[prefix + name] = value
    return flat
