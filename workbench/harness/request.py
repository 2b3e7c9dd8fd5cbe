"""What lm-evaluation-harness is asked to run, and where it is kept. Plain Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation import request as evaluation
from workbench.files import read_json, user_path, write_json
from workbench.harness import task_files
from workbench.jobs import launch
from workbench.jobs.tasks import REQUEST
from workbench.tracking.summary import HARNESS

RESULT = HARNESS
"""In an evaluation's folder: every figure, as `scoring.score` gives them."""
RAW = "lm_eval"
"""The folder beside it of what lm_eval has written, a folder a system."""
_LISTS = ("tasks", "runs", "models")
_QUIET = {"TQDM_DISABLE": "1", "DISABLE_MULTIPROC": "1"}
"""No bars in a job's log; and the bootstrap of lm_eval in this process alone, without pickle."""


@dataclass(frozen=True, slots=True)
class Request:
    tasks: tuple[str, ...]
    """Names that lm_eval knows, and absolute paths of task files or folders of them."""
    limit: int | None = None
    """Documents of each task; None: all."""
    fewshot: int | None = None
    """Examples in front of each question; None: as the task has it."""
    chat: bool = False
    """The model's chat template stands around each question."""
    batch: int | None = None
    """Requests at once; None: the run's evaluation.batch_size."""
    runs: tuple[str, ...] = ()
    """Other runs of the same base, by their ids."""
    models: tuple[str, ...] = ()
    """Folders of whole models, as merged ones are."""
    download: bool = False
    """Data that is not on this machine may be fetched."""
    allow_task_code: bool = False
    """Code of local task files, and of metrics from the hub, may run."""
    fresh: bool = False
    """What is known is asked again."""

    def check_files(self) -> None:
        """Look at the task files; raises WorkbenchError as `task_files.check` does."""
        for task in self.tasks:
            for file in task_files.of(Path(task)) if Path(task).is_absolute() else ():
                task_files.check(file, allow_code=self.allow_task_code)

    def to_json(self) -> dict[str, Any]:
        """What isn't asked for is not in it."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}


def read_request(folder: Path) -> Request:
    body = read_json(folder / REQUEST)
    lists = {name: tuple(body[name]) for name in _LISTS if name in body}
    return Request(**{**body, **lists})


def spelt(text: str) -> str:
    """A task as a person names it, for a `Request`: the absolute path of a file or of a folder that
    has task files, else a name.

    Raises WorkbenchError for a path at which there is nothing.
    """
    path = user_path(text).absolute()
    if task_files.of(path):
        return str(path)
    if "/" in text or text.endswith(task_files.ENDING):
        what = "has no task file" if path.is_dir() else "does not exist"
        raise WorkbenchError(
            f"{path} {what}.", f"Name a {task_files.ENDING} file of lm_eval, or a folder of them."
        )
    return text


def start(run: Path, request: Request, name: str = "") -> Path:
    """Start it as a job of its own; returns its folder.

    `name` defaults to a number. Raises WorkbenchError without lm_eval, for task files that would
    run code, and as `evaluation.sources.systems` and `evaluation.request.make` do.
    """
    from workbench.evaluation import sources

    check_installed()
    request.check_files()
    sources.systems(run, request.runs, request.models)
    evaluation.check_idle(run)
    folder = evaluation.make(
        run, name, lambda building: write_json(building / REQUEST, request.to_json())
    )
    offline = {} if request.download else launch.OFFLINE
    launch.start(folder, "workbench.harness.job", environment={**offline, **_QUIET})
    return folder


def check_installed() -> None:
    """Raises WorkbenchError without lm_eval."""
    if find_spec("lm_eval") is None:
        raise WorkbenchError(
            "lm-evaluation-harness is not installed.",
            "pip install 'finetune-workbench[harness]'; results that it made elsewhere are read "
            "without it: workbench harness import",
        )


def read_result(folder: Path) -> dict[str, Any]:
    """The figures in an evaluation's folder. Raises WorkbenchError before there are."""
    if not (folder / RESULT).exists():
        raise WorkbenchError(f"The evaluation in {folder} has not finished.")
    result: dict[str, Any] = read_json(folder / RESULT)
    return result
