"""The review sessions of a workspace: opened by name, listed, found by the run they are of."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.review.report import Progress
from workbench.review.session import Session
from workbench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Listed:
    """A session in the list of a workspace's sessions."""

    name: str
    created: float = 0.0
    """Unix time; 0 when it can't be read."""
    items: int = 0
    """How many there are to judge."""
    identical: int = 0
    annotators: tuple[Progress, ...] = ()
    problem: str = ""
    """Why it can't be opened, or an empty string."""
    kind: str = "pairwise"
    locked: bool = False


def open(workspace: Workspace, name: str) -> Session:
    """The named session. Raises WorkbenchError, naming those there are, for no such name."""
    path = path_of(workspace, name)
    if not path.is_file():
        names = ", ".join(listed.name for listed in list_sessions(workspace))
        raise WorkbenchError(
            f"There is no review session {name} in {workspace.reviews}.",
            f"There are: {names}." if names else "Make one with `workbench review create`.",
        )
    return Session(path)


def list_sessions(workspace: Workspace) -> list[Listed]:
    """The workspace's sessions, the newest first; a damaged one says so in `problem`."""
    found = [_listed(path) for path in sorted(workspace.reviews.glob("*.sqlite"))]
    return sorted(found, key=lambda listed: -listed.created)


def of_run(workspace: Workspace, run: Path) -> list[Session]:
    """The sessions that were made of a run's evaluations, the newest first."""
    found = []
    for listed in list_sessions(workspace):
        if not listed.problem:
            session = open(workspace, listed.name)
            origins = session.source.get("evaluations", [session.source])
            folders = [Path(each["evaluation"]) for each in origins if "evaluation" in each]
            if any(folder.is_relative_to(run) for folder in folders):
                found.append(session)
    return found


def path_of(workspace: Workspace, name: str) -> Path:
    return workspace.reviews / f"{name}.sqlite"


def default_annotator() -> str:
    """The login name, or the number of a user that has no name (as in some containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _listed(path: Path) -> Listed:
    try:
        session = Session(path)
        report = session.report()
    except WorkbenchError as error:
        return Listed(path.stem, problem=str(error))
    return Listed(
        session.name,
        created=session.created,
        items=len(session.units),
        identical=len(session.identical),
        annotators=report.annotators,
        kind=session.form.kind,
        locked=report.locked is not None,
    )
