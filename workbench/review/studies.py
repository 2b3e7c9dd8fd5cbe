"""Reviews that were made elsewhere: WORKSPACE/reviews/NAME.judgements.jsonl.

The first line says where they come from, each further line is an assessment. Nothing in them is
blind, and nothing changes once they are written.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, writing
from workbench.review.assessments import Assessment
from workbench.review.report import Progress
from workbench.review.sessions import Listed
from workbench.workspace import Workspace, check_name

VERSION = 1
_ENDING = ".judgements.jsonl"


@dataclass(frozen=True, slots=True)
class Study:
    """Judgements from elsewhere, and how they came."""

    name: str
    created: float
    """Unix time of the import."""
    source: dict[str, Any]
    assessments: list[Assessment]
    replaced: int
    """Judgements left out since the same annotator judged the same again."""
    refused: int
    """Rows left out since they were no judgement."""
    shown_in_order: bool


def check_free(workspace: Workspace, name: str) -> None:
    """Raises WorkbenchError for what can't be a review's name, or is one's already."""
    check_name(name, "review")
    for path in (_path(workspace, name), workspace.reviews / f"{name}.sqlite"):
        if path.exists():
            raise WorkbenchError(f"There is a review {name} already.", "Choose another name.")


def save(workspace: Workspace, study: Study) -> Path:
    """Write the study, whole or not at all, and return its path."""
    head = {name: value for name, value in asdict(study).items() if name != "assessments"}
    path = _path(workspace, study.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as stream:
            for line in ({"version": VERSION, **head}, *map(asdict, study.assessments)):
                stream.write(json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error
    return path


def exists(workspace: Workspace, name: str) -> bool:
    return _path(workspace, name).is_file()


def listed(workspace: Workspace) -> list[Listed]:
    """The studies there are, as sessions are listed; a damaged one says so in `problem`."""
    found = sorted(workspace.reviews.glob(f"*{_ENDING}"))
    return [_listed(workspace, path.name.removesuffix(_ENDING)) for path in found]


def _listed(workspace: Workspace, name: str) -> Listed:
    try:
        study = open(workspace, name)
    except WorkbenchError as error:
        return Listed(name, problem=str(error))
    judged = Counter(each.annotator for each in study.assessments)
    return Listed(
        name,
        created=study.created,
        items=len({each.item for each in study.assessments}),
        annotators=tuple(Progress(who, n, n, skipped=0) for who, n in sorted(judged.items())),
    )


def open(workspace: Workspace, name: str) -> Study:
    """The named study. Raises WorkbenchError when it can't be read."""
    path = _path(workspace, name)
    try:
        first, *rest = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        version = first.pop("version")
        if version != VERSION:
            raise WorkbenchError(
                f"{path} is of version {version}, not {VERSION}.",
                "Import the judgements again with this workbench.",
            )
        return Study(assessments=[_assessment(line) for line in rest], **first)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbenchError(
            f"{path} is damaged: {error}.", "Remove it and import the judgements again."
        ) from error


def _assessment(line: dict[str, Any]) -> Assessment:
    ratings = {name: tuple(values) for name, values in line.pop("ratings").items()}
    systems, lengths = tuple(line.pop("systems")), tuple(line.pop("lengths"))
    return Assessment(systems=systems, lengths=lengths, ratings=ratings, **line)


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.reviews / f"{name}{_ENDING}"
