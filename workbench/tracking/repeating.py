"""A run once more, from its manifest: what it needs is looked for before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.jobs import launcher
from workbench.redaction import HIDDEN, redacted
from workbench.saying import Say
from workbench.tracking import inputs, manifest, runs, verifying
from workbench.tracking.finding import folders
from workbench.workspace import Workspace

_MOST_NAMED = 3
"""Files of a base that a message names."""


def create(
    workspace: Workspace, run: Path, *, command: str | None, say: Say, base: str | None = None
) -> Path:
    """Make a new run of the same config, rows, base, template, date and seed; returns its folder,
    ready to start.

    Its manifest has under `repeats` which run it repeats, and from the start the hashes of that
    run's base, template and tokens, to which its own start is held. `base` is a folder that holds
    the base model, where that is elsewhere now. Raises WorkbenchError that names, with its SHA-256,
    a dataset version or a base model that isn't there or isn't what it was.
    """
    made = manifest.read(run)
    config = _config(run, made, say)
    dataset = _dataset(workspace, made["dataset"])
    against = [_dataset(workspace, told) for told in _others(made, "evaluation.against")]
    folder = _base(workspace, made, base)
    name = made["base"]["name"] if base is None else str(folder)
    say("hashing the base model")
    files = manifest.model_files(folder)
    _refuse_changed(made["base"], folder, files)
    evaluation = {"against": [version.reference for version in against]}
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update={"dataset": dataset.reference}),
            "model": config.model.model_copy(update={"base": name}),
            "evaluation": config.evaluation.model_copy(update=evaluation),
        }
    )
    sections = _sections(run, made, name, files)
    return runs.create(workspace, config, command=command, say=say, repeats=sections)


def _config(run: Path, made: dict[str, Any], say: Say) -> RunConfig:
    """The config that the run was made with: the manifest's, and of its file what the manifest
    doesn't keep."""
    kept = verifying.recorded_config(made)
    try:
        own = runs.load_config(run)
    except WorkbenchError:
        own = None
    # Compared without what looks like a secret, which the manifest doesn't keep.
    if own is None or redacted(own.model_dump()) != redacted(kept.model_dump()):
        say(f"{run / runs.CONFIG} is not what it was; the config of the manifest is repeated.")
        if HIDDEN in kept.model_dump_json():
            raise WorkbenchError(
                f"The manifest of {run.name} doesn't keep the secrets of its config, and "
                f"{run / runs.CONFIG} is not what it was.",
                "Put the config back that it was made with.",
            )
        own = kept
    own_launcher = run / launcher.CONFIG
    if own.job.accelerate_config and own_launcher.exists():
        # The folder may have been copied here.
        job = own.job.model_copy(update={"accelerate_config": str(own_launcher.absolute())})
        own = own.model_copy(update={"job": job})
    return own


def _others(made: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [told for told in made.get("other_datasets", ()) if told["for"] == what]


def _dataset(workspace: Workspace, told: dict[str, Any]) -> Version:
    name = f"{told['name']}@{told['version']}"
    version = verifying.find_version(workspace, told)
    if version is None:
        raise WorkbenchError(
            f"The dataset version {name} is not in {workspace.root}: {told.get('rows', '?')} rows, "
            f"SHA-256 {told['sha256']}.",
            "Copy its folder there from where it is, or import the same rows again.",
        )
    versions.verify(version)
    return version


def _base(workspace: Workspace, made: dict[str, Any], elsewhere: str | None) -> Path:
    if elsewhere is not None:
        return base_models.check_folder(user_path(elsewhere).absolute())
    folder, why = verifying.find_base(workspace, made)
    if folder is not None:
        return folder
    known = made["base"].get("files", {})
    weights = {name: known[name] for name in known if name.endswith(".safetensors")}
    raise WorkbenchError(
        f"The base model of {made['run']} is missing: {made['base']['name']}"
        f"{_at(made['base'])}. {why}{_named(weights)}",
        "Put it back, or name a folder that holds the same files: --base FOLDER.",
    )


def _at(base: dict[str, Any]) -> str:
    return f" at commit {base['revision']}" if base.get("revision") else ""


def _named(files: dict[str, str]) -> str:
    lines = [f"\n  {name}: SHA-256 {digest}" for name, digest in sorted(files.items())]
    more = f"\n  and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
    return "".join(lines[:_MOST_NAMED]) + more


def _refuse_changed(base: dict[str, Any], folder: Path, now: dict[str, str]) -> None:
    was = base.get("files")
    if was is None:
        return  # of a run that never started
    names = sorted(n for n in was.keys() | now.keys() if was.get(n) != now.get(n))
    if names:
        name = names[0]
        more = f" {len(names) - 1} more of its files differ." if names[1:] else ""
        raise WorkbenchError(
            f"The base model in {folder} is not the one that was trained: the SHA-256 of {name} "
            f"was {was.get(name, 'absent')} and is {now.get(name, 'absent')}.{more}",
            "Put back what it began with, or name a folder that holds it: --base FOLDER.",
        )


def _sections(run: Path, made: dict[str, Any], base: str, files: dict[str, str]) -> dict[str, Any]:
    """What the new run's manifest has of the old one's."""
    started = (made.get("starts") or [{}])[-1]
    around = manifest.last_environment(made)
    repeats: dict[str, Any] = {"run": run.name}
    if (rows := started.get("micro_batch")) is not None:
        repeats["micro_batch"] = rows
    if is_cpu(around) and around.get("threads"):
        # How many add up a sum decides its last bits.
        repeats["threads"] = around["threads"]
    told: dict[str, Any] = {name: made[name] for name in ("template", "tokens") if name in made}
    mixed: dict[str, Any] = {
        name: made[name] for name in ("mixture", "other_datasets") if made.get("mixture")
    }
    kept: dict[str, Any] = {"name": base, "revision": made["base"].get("revision")}
    if told:
        kept["files"] = files
    day = inputs.day(made).isoformat()
    return {"repeats": repeats, "date": day, "base": kept, **told, **mixed}


def is_cpu(environment: dict[str, Any]) -> bool:
    """Whether a start computed on a processor."""
    return str(environment.get("device", "")).startswith("CPU")


def repeats_of(workspace: Workspace, run: Path) -> list[Path]:
    """The runs that repeat a run, the newest first."""
    found = []
    for folder in folders(workspace):
        try:
            if manifest.read(folder).get("repeats", {}).get("run") == run.name:
                found.append(folder)
        except WorkbenchError:
            continue
    return found
