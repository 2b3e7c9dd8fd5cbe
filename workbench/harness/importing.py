"""Results that lm-evaluation-harness made elsewhere, into a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation import request as evaluation
from workbench.files import read_json_object, user_path, write_json
from workbench.harness import results, scoring
from workbench.harness.request import RAW, RESULT
from workbench.tracking.finding import ADAPTER
from workbench.workspace import check_name


def named(given: Sequence[str], run: Path) -> dict[str, Path]:
    """By system the files of results that are given as `SYSTEM=PATH` or `PATH`.

    One without a name is of what the run has made, unless its file says of a second one that it
    had no adapter: then it is the base. Raises WorkbenchError for two of one name.
    """
    own = ADAPTER if evaluation.result(run).name == ADAPTER else evaluation.TUNED
    found: dict[str, Path] = {}
    for text in given:
        name, equals, place = text.partition("=")
        # A path may have a `=` in it.
        if not equals or "/" in name or user_path(text).exists():
            name, place = "", text
        path = results.find(user_path(place))
        is_base = len(given) > 1 and not _has_adapter(path)
        system = check_name(name, "system") if name else evaluation.BASE if is_base else own
        if system in found:
            raise WorkbenchError(
                f"Two results would be of {system}: {found[system]} and {path}.",
                f"Name them: {evaluation.BASE}=FILE {own}=FILE",
            )
        found[system] = path
    return found


def _has_adapter(path: Path) -> bool:
    how = read_json_object(path).get("config")
    arguments = how.get("model_args") if isinstance(how, dict) else None
    return "peft" in str(arguments)


def take(run: Path, files: Mapping[str, Path], name: str = "") -> Path:
    """Copy results, by system, and the samples beside them into a new evaluation of `run`, with
    the figures that they make; returns its folder.

    Raises WorkbenchError as `results.read` and `evaluation.request.make` do.
    """
    found = [results.read(path, system) for system, path in files.items()]
    about: dict[str, Any] = {
        "imported": {
            "time": time.time(),
            "files": {system: str(path.absolute()) for system, path in files.items()},
        }
    }
    result = {**about, **scoring.score(found)}

    def fill(building: Path) -> None:
        for one in found:
            place = building / RAW / one.system
            place.mkdir(parents=True)
            path = files[one.system]
            tasks = {key.task for key in one.figures}
            logged = (results.samples_file(path, task) for task in sorted(tasks))
            for file in (path, *filter(None, logged)):
                shutil.copyfile(file, place / file.name)
        write_json(building / RESULT, result)

    return evaluation.make(run, name, fill)
