"""The tasks of a request, as lm_eval's own objects, with its doors to other people's code shut."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from lm_eval import utils
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry
from lm_eval.tasks.manager import TaskDict

from workbench.errors import WorkbenchError
from workbench.harness import task_files
from workbench.harness.request import Request

_FORMATS = ("json", "csv", "parquet", "arrow", "text")
"""What `dataset_path` says of files."""
_SHOWN = 300
"""Characters of what a library says."""


def shut_doors(request: Request) -> None:
    """Keep texts of task files from running code in this process: their templates see their
    document and nothing else, and `evaluate`, which fetches metrics and runs them, is not there.
    """
    if request.allow_task_code:
        return
    sandbox = SandboxedEnvironment(
        loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True
    )
    sandbox.filters.update(utils.env.filters)
    utils.env = sandbox
    sys.modules["evaluate"] = None  # type: ignore[assignment]


class Tasks:
    """What lm_eval knows and what is in the files of a request."""

    def __init__(self, request: Request) -> None:
        """Reads lm_eval's own 15,000 files only where a task is a name: that takes some 8 s.

        Raises WorkbenchError as `task_files.check` does.
        """
        self._request = request
        request.check_files()
        local = [Path(task) for task in request.tasks if Path(task).is_absolute()]
        # What a group names stands beside it; a task alone is read without what is around it.
        folders = dict.fromkeys(
            path if path.is_dir() else path.parent
            for path in local
            if path.is_dir() or task_files.is_group(path)
        )
        named = len(local) < len(request.tasks)
        self._manager = TaskManager(include_path=list(folders), include_defaults=named)
        self._manager._factory = _Factory(request.allow_task_code)

    def load(self) -> TaskDict:
        """New objects of all of them.

        Raises WorkbenchError for a name that nobody knows, for files that lm_eval can't make
        tasks of, for one task in two groups, for data that isn't here, and for what would run
        what a model writes.
        """
        names = dict.fromkeys(name for task in self._request.tasks for name in self._names(task))
        built = []
        for name in names:
            loaded = self._load(name)
            groups = loaded.get("groups", {})
            inner = {child for group in groups.values() for child in group.child_names}
            members = {one.task_name for group in groups.values() for one in group.get_all_tasks()}
            built += [group for key, group in groups.items() if key not in inner]
            for key, task in loaded["tasks"].items():
                self._check(key, task)
                self._set_shots(task)
                if key not in members:
                    built.append(task)
        try:
            return self._manager.load(built)
        except ValueError as error:
            raise WorkbenchError(f"A task would be run twice: {error}.") from error

    def _set_shots(self, task: Any) -> None:
        """As lm_eval's own command does; a task that says 0 itself keeps it."""
        own = task.get_config("num_fewshot")
        if own is None or (self._request.fewshot is not None and own != 0):
            task.set_config(key="num_fewshot", value=self._request.fewshot or 0)
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)

    def _names(self, task: str) -> Sequence[str]:
        """What a file holds, or a folder without what stands in a group of it."""
        path = Path(task)
        if not path.is_absolute():
            return [task]
        mine = {
            name: entry
            for name, entry in self._manager.task_index.items()
            if entry.yaml_path is not None and entry.yaml_path.is_relative_to(path)
        }
        if not mine and path.is_file():
            return [task]
        if not mine:
            raise WorkbenchError(f"The files in {path} make up no task.")
        inner = {
            member if isinstance(member, str) else member.get("task", member.get("group"))
            for entry in mine.values()
            for member in _members(entry)
        }
        return [name for name in mine if name not in inner]

    def _load(self, name: str) -> Any:
        try:
            return self._manager.load([name])
        except WorkbenchError:
            raise
        except FileNotFoundError as error:
            raise WorkbenchError(
                f"The data of {name} is not here: {_told(error)}.",
                "A file of data_files is looked for beside the task file.",
            ) from error
        except ConnectionError as error:
            raise WorkbenchError(
                f"The data of {name} is not on this machine: {_told(error)}.",
                ""
                if self._request.download
                else "--download fetches it from the hub, once; or name a task file with data of "
                "your own.",
            ) from error
        except Exception as error:
            if name not in self._manager.task_index and not Path(name).is_absolute():
                raise self._unknown(name) from error
            raise WorkbenchError(
                f"lm_eval can't make a task of {name}: {_told(error)}",
                "See its docs/task_guide.md.",
            ) from error

    def _unknown(self, name: str) -> WorkbenchError:
        near = difflib.get_close_matches(name, self._manager.all_tasks, 3, 0.6)
        hint = f"Did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists them."
        return WorkbenchError(f"lm_eval has no task {name}.", hint)

    def _check(self, name: str, task: Any) -> None:
        if getattr(task, "UNSAFE_CODE", False):
            raise WorkbenchError(
                f"{name} runs code that the model writes, which workbench does not.",
                "Run it by lm_eval itself where nothing can be harmed, and read its results: "
                "workbench harness import",
            )
        if getattr(task, "MULTIMODAL", False):
            raise WorkbenchError(f"{name} has images or sounds, which these models don't take.")
        own = getattr(getattr(task, "config", None), "process_results", None)
        for metric, function in getattr(task, "_metric_fn_list", {}).items():
            if function is None and own is None:
                raise WorkbenchError(
                    f"{name} has a metric that is none of lm_eval's own: {metric}.",
                    "A metric of the hub's is code: --allow-task-code lets it be fetched and run.",
                )


class _Factory(TaskFactory):  # type: ignore[misc]
    """Looks at each file before lm_eval runs what is in it, and finds its data beside it."""

    def __init__(self, allow_code: bool) -> None:
        super().__init__()
        self._allow_code = allow_code

    def _load_full_config(self, entry: Entry, overrides: dict[str, Any] | None = None) -> Any:
        if entry.yaml_path is not None:
            task_files.check(entry.yaml_path, allow_code=self._allow_code)
        config = super()._load_full_config(entry, overrides)
        if entry.yaml_path is not None:
            _find_data(config, entry.yaml_path.parent)
        return config


def _find_data(config: dict[str, Any], folder: Path) -> None:
    """Have files of data that stand in a task's own folder found there, wherever the process is;
    those of a data set of the hub stand in that."""
    path, known = config.get("dataset_path"), config.get("dataset_kwargs")
    if isinstance(known, dict) and path in _FORMATS:
        for name in ("data_files", "data_dir"):
            if name in known:
                known[name] = _placed(known[name], folder)
    if isinstance(path, str) and path.startswith("."):
        config["dataset_path"] = _placed(path, folder)


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _placed(one, folder) for name, one in value.items()}
    if isinstance(value, list):
        return [_placed(one, folder) for one in value]
    if isinstance(value, str) and "://" not in value:
        return str(folder / value)
    return value


def _members(entry: Entry) -> list[Any]:
    found = (entry.cfg or {}).get("task")
    return found if isinstance(found, list) else []


def _told(error: Exception) -> str:
    if isinstance(error, TemplateError):
        return f"its template: {error}"
    return " ".join(str(error).split())[:_SHOWN] or type(error).__name__
