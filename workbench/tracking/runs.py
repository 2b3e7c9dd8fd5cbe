"""Runs: create, start, find, list, stop."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench import base_models, settings
from workbench.alarms.standing import standing
from workbench.base_models import Say
from workbench.config import loading, processes
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import (
    building_folder,
    read_json,
    read_json_object,
    user_path,
    write_json,
    write_text,
)
from workbench.jobs import launch, launcher
from workbench.jobs.client import command as command
from workbench.jobs.events import Evaluated, Started
from workbench.jobs.log import ends
from workbench.jobs.state import ENDED, GOING_ON, STATE, describe, look
from workbench.tracking import manifest, notes, soundness
from workbench.tracking.finding import LATEST as LATEST
from workbench.tracking.finding import LOG as LOG
from workbench.tracking.finding import MANIFEST, folders, number
from workbench.tracking.finding import find as find
from workbench.tracking.finding import ids as ids
from workbench.tracking.view import RunView
from workbench.workspace import Workspace

CONFIG = "config.yaml"
SWEEP = "sweep.json"
"""In a run that a sweep has made: which sweep, and what is the run's own in it."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run's line in a list."""

    id: str
    status: str
    """`not started`, `running`, `stalled`, `finished`, `stopped`, `failed`, `dead` or `damaged`."""
    text: str
    """The status in words."""
    created: float
    """Unix seconds."""
    base: str
    dataset: str
    step: int
    total_steps: int
    loss: float | None
    first_validation_loss: float | None
    best_validation_loss: float | None
    scores: dict[str, dict[str, float]]
    """The newest evaluation's metrics by system (`base`, `adapter`); empty before one."""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """Those that go on, or went on at its end, the worst first, each as `events.Alarm`."""
    tags: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What people wrote of it, the oldest first: `time` in unix seconds, and `text`."""
    notes_problem: str = ""
    """Why its notes can't be read; empty where they can."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with its files, in sentences."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


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
                write_text(building / launcher.CONFIG, processes.accelerate_config(pinned))
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
    )


Known = dict[str, tuple[object, RunSummary]]
"""Runs that ended, by id, each with what its files looked like when they were read."""


def list_runs(workspace: Workspace, known: Known | None = None) -> list[RunSummary]:
    """Every run, the newest first; one whose files can't be read is `damaged`.

    Who looks again and again keeps a `known`: ended runs whose files are as they were are
    not read again. 40 runs of 100,000 steps take over a second to read.
    """
    known = {} if known is None else known
    found: list[RunSummary] = []
    for folder in folders(workspace):
        stamp = _stamp(folder)
        if folder.name in known and known[folder.name][0] == stamp:
            found.append(known[folder.name][1])
            continue
        summary = listed(folder)
        if summary.status in ENDED:
            known[folder.name] = (stamp, summary)
        found.append(summary)
    return soundness.with_bases(found)


def _stamp(folder: Path) -> object:
    """What changes when a run's files do."""
    files = (folder / name for name in (MANIFEST, LOG, STATE, notes.NOTES))
    scores = sorted((folder / "evaluations").glob("*/metrics.json"))
    return [(p.name, p.stat().st_mtime_ns) for p in (*files, *scores) if p.exists()]


def listed(folder: Path) -> RunSummary:
    """A run's line, whatever its files hold: one that can't be read is `damaged`, or `newer`."""
    try:
        return summarise(folder)
    except (WorkbenchError, LookupError, OSError, TypeError, ValueError) as error:
        word, text = soundness.unreadable(folder, error)
        nothing: dict[str, dict[str, float]] = {}
        created = soundness.written(folder)
        return RunSummary(folder.name, word, text, created, "", "", 0, 0, None, None, None, nothing)


def summarise(folder: Path) -> RunSummary:
    """A run's line, from its manifest, its state and both ends of its log."""
    made = manifest.read(folder)
    # Before the log: what a run wrote before it ended is then in what is read of it.
    state, status, text = look(folder)
    view = RunView()
    view.feed(ends(folder / LOG, always=(Started, Evaluated)))
    losses = [e.loss for e in view.evaluations]
    noted = notes.look(folder)
    best = view.best_evaluation
    return RunSummary(
        id=folder.name,
        status=status,
        text=text,
        created=made["created"],
        base=made["base"]["name"],
        dataset=f"{made['dataset']['name']}@{made['dataset']['version']}",
        step=view.step,
        total_steps=view.total_steps,
        loss=_finite(view.last_step.loss) if view.last_step else None,
        first_validation_loss=_finite(losses[0]) if losses else None,
        best_validation_loss=best.loss if best else None,
        scores=newest_scores(folder),
        alarms=[asdict(alarm) for alarm in standing(state, folder.name, status, text)],
        notes_problem=noted.problem,
        problems=soundness.problems(folder, made, status),
        **noted.to_json(),
    )


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def newest_evaluation(folder: Path) -> Path | None:
    """The folder of the run's newest finished evaluation."""
    found = [p.parent for p in (folder / "evaluations").glob("*/metrics.json")]
    return max(found, key=lambda p: (p / "metrics.json").stat().st_mtime, default=None)


def newest_scores(folder: Path) -> dict[str, dict[str, float]]:
    """Metric values by system of the newest evaluation; empty before one."""
    newest = newest_evaluation(folder)
    if newest is None:
        return {}
    systems = read_json(newest / "metrics.json")["systems"]
    return {
        system: {name: metric["value"] for name, metric in metrics.items()}
        for system, metrics in systems.items()
    }


def load_config(folder: Path) -> RunConfig:
    return loading.load(folder / CONFIG)


def _next_id(workspace: Workspace, name: str) -> str:
    """`NAME-0007`: the number counts all runs of the workspace, so that ids sort by age."""
    taken = [number(p.name) for p in workspace.runs.glob("*")]
    return f"{name}-{max(taken, default=0) + 1:04d}"
