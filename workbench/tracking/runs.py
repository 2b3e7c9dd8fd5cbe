"""Runs: create, start, find, list, stop."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import base_models, settings
from workbench.config import loading, processes
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import (
    building_folder,
    read_json_object,
    user_path,
    write_json,
    write_text,
)
from workbench.jobs import launch, launcher
from workbench.jobs.client import command as command
from workbench.jobs.state import GOING_ON, describe
from workbench.saying import Say
from workbench.tracking import manifest
from workbench.tracking.finding import LATEST as LATEST
from workbench.tracking.finding import LOG as LOG
from workbench.tracking.finding import MANIFEST, number
from workbench.tracking.finding import find as find
from workbench.tracking.finding import ids as ids
from workbench.tracking.listing import list_runs as list_runs
from workbench.tracking.summary import SWEEP as SWEEP
from workbench.tracking.summary import RunSummary as RunSummary
from workbench.tracking.summary import listed as listed
from workbench.tracking.summary import newest_evaluation as newest_evaluation
from workbench.tracking.summary import newest_scores as newest_scores
from workbench.tracking.summary import summarise as summarise
from workbench.workspace import Workspace

CONFIG = "config.yaml"


def create(
    workspace: Workspace,
    config: RunConfig,
    *,
    command: str | None,
    say: Say,
    sweep: Mapping[str, Any] | None = None,
    repeats: Mapping[str, Any] | None = None,
) -> Path:
    """Make the folder of a new run, whole and ready to start, and return it.

    Fetches or converts the base model, and makes the mixture that the config asks for, if need be:
    the run is of its version, which its own config names in `data.dataset`. `command` is what was
    typed; None where nothing was. `sweep` is what `sweep.json` is to say, `repeats` what the
    manifest is to have of the run that this one repeats (`tracking.repeating`). Raises
    WorkbenchError for whatever would stop the run: no such dataset version, no such base model, a
    full disk.
    """
    check_inputs(workspace, config)
    workspace.ensure()
    commit = (repeats or {}).get("base", {}).get("revision")
    if commit is None:
        base_folder = base_models.prepare(workspace, config.model.base, say)
    else:
        base_folder = base_models.resolve(workspace, config.model.base, commit)
    _refuse_quantised(base_folder)
    dataset, shares = rows_of(workspace, config, say)
    pinned = _pinned(workspace, config, dataset.reference, base_folder)
    with workspace.lock("runs"):
        run_id = _next_id(workspace, config.name)
        folder = workspace.runs / run_id
        with building_folder(folder) as building:
            if pinned.job.accelerate_config:
                asked = processes.accelerate_config(pinned)
                for name, text in asked.copies(launcher.CONFIG).items():
                    write_text(building / name, text)
                pinned = _with_own_launcher(pinned, folder)
            loading.save(pinned, building / CONFIG)
            if sweep is not None:
                write_json(building / SWEEP, sweep)
            manifest.begin(
                building,
                run_id=run_id,
                config=pinned.model_dump(),
                dataset=dataset,
                base={
                    "name": pinned.model.base,
                    "revision": base_models.revision(pinned.model.base, base_folder),
                },
                command=command,
                repeat=repeating(folder),
                mixture=shares,
                others=_others(workspace, shares, pinned),
                repeats=repeats,
            )
    return folder


def _others(
    workspace: Workspace, shares: Mapping[str, float] | None, config: RunConfig
) -> list[tuple[str, Version]]:
    """The versions that a run rests on beside the one it is trained on."""
    wanted = [("mixed", name) for name in shares or ()]
    wanted += [("evaluation.against", name) for name in config.evaluation.against]
    return [(what, versions.resolve(workspace, name)) for what, name in wanted]


def rows_of(
    workspace: Workspace, config: RunConfig, say: Say
) -> tuple[Version, dict[str, float] | None]:
    """The dataset version that a config's run is of, and what it was mixed of if it was.

    A mixture that isn't there is made. Raises WorkbenchError where it can't be, or a version isn't
    there.
    """
    if not config.data.mixture:
        return versions.resolve(workspace, config.data.dataset), None
    # What makes recipes takes a while to import.
    from workbench.tracking import mixtures

    mixture = mixtures.of(workspace, config)
    return mixtures.make(workspace, mixture, say), mixture.step.weights


def check_inputs(workspace: Workspace, config: RunConfig) -> None:
    """Raises WorkbenchError for a dataset version that a config names and that isn't there, for a
    mixture that can't be made, when there is none that evaluation.against names, or no such
    base model in a local folder, for one that is quantised, for processes that can't be had, and
    for settings that can't be read, which a start needs; `default` and a hub's model are fetched
    when a run is created.
    """
    settings.read()
    processes.check(config)
    if not config.data.dataset and not config.data.mixture:
        raise WorkbenchError(
            "The config names no dataset version.",
            "Set data.dataset, or data.mixture; `workbench data list` shows what there is.",
        )
    if not base_models.can_be_fetched(config.model.base):
        _refuse_quantised(base_models.resolve(workspace, config.model.base))
    for name in config.evaluation.against:
        versions.resolve(workspace, name)
    if config.data.mixture:
        from workbench.tracking import mixtures

        mixtures.check(workspace, config)
    else:
        versions.resolve(workspace, config.data.dataset)


def _refuse_quantised(folder: Path) -> None:
    """Raises WorkbenchError when the weights in `folder` were saved quantised, by its config.json.

    Each library that quantises trains, saves and merges in its own way, and few of them on a
    processor; what model.quantization makes is known.
    """
    body = read_json_object(folder / "config.json")
    for part in (body, body.get("text_config")):
        how = part.get("quantization_config") if isinstance(part, dict) else None
        if isinstance(how, dict):
            raise WorkbenchError(
                f"The base model in {folder} is quantised already "
                f"({how.get('quant_method', 'its config.json says so')}), and can't be trained.",
                "Name the model that it was made from, with model.quantization nf4 for QLoRA.",
            )


def repeating(folder: Path) -> str:
    """The line for a shell that trains the run once more and compares both, from wherever it is
    typed."""
    root = folder.absolute().parent.parent
    return shlex.join(["workbench", "runs", "repeat", folder.name, "--workspace", str(root)])


def _pinned(workspace: Workspace, config: RunConfig, dataset: str, base_folder: Path) -> RunConfig:
    """The config with what means something else tomorrow, or in another folder, spelt out."""
    data = config.data.model_copy(update={"dataset": dataset, "mixture": {}, "mixture_rows": None})
    base = config.model.base
    if base != base_models.DEFAULT and user_path(base).absolute() == base_folder:
        base = str(base_folder)
    model = config.model.model_copy(update={"base": base})
    against = [versions.resolve(workspace, name).reference for name in config.evaluation.against]
    evaluation = config.evaluation.model_copy(update={"against": against})
    return config.model_copy(update={"data": data, "model": model, "evaluation": evaluation})


def _with_own_launcher(config: RunConfig, folder: Path) -> RunConfig:
    """The config with the run's own copy of accelerate's settings, which nobody changes."""
    own = str((folder / launcher.CONFIG).absolute())
    job = config.job.model_copy(update={"accelerate_config": own})
    return config.model_copy(update={"job": job})


def start(folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Start a run, or go on with it from its newest checkpoint, and return at once.

    `environment` is added to the training process's: which GPUs it may see. Raises
    WorkbenchError when it is running already.
    """
    status, text = describe(folder)
    if status in GOING_ON:
        raise WorkbenchError(f"The run {folder.name} is running already.", text)
    threads = manifest.threads(folder)
    config = load_config(folder)
    job, own = config.job, settings.read()
    care = launch.Care(
        restarts=job.restarts,
        restart_after=job.restart_after,
        stall_after=job.stall_after,
        on_stall=job.on_stall,
        on_end=own.on_end,
        on_alarm=own.on_alarm,
    )
    repeated = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    module = "prepare" if processes.launched(config) else "job"
    launch.start(
        folder,
        f"workbench.training.{module}",
        log=LOG,
        environment={**launch.OFFLINE, **repeated, **(environment or {})},
        care=care,
        record=MANIFEST,
        tensorboard=config.logging.tensorboard,
    )


def load_config(folder: Path) -> RunConfig:
    return loading.load(folder / CONFIG)


def _next_id(workspace: Workspace, name: str) -> str:
    """`NAME-0007`: the number counts all runs of the workspace, so that ids sort by age."""
    taken = [number(p.name) for p in workspace.runs.glob("*")]
    return f"{name}-{max(taken, default=0) + 1:04d}"
