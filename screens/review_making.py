"""Making a review session by keys: whose outputs, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual.app import App

from screens.widgets.pick import Choice, Pick
from workbench.errors import WorkbenchError
from workbench.review import forms
from workbench.review.forms import Form
from workbench.review.sources import Source
from workbench.tracking import runs
from workbench.workspace import Workspace

_ALONE = "no other"
_KINDS = {
    "pairs": Choice("pairs", "which of two outputs is better, or a tie"),
    "accept": Choice("accept", "whether an output can be accepted, and if not, why"),
}


async def ask_what(app: App[Any], workspace: Workspace) -> tuple[list[Source], Form] | None:
    """Ask for one run's outputs or two, and for the form. None when somebody leaves. Raises
    WorkbenchError for a form's file that can't be read."""
    first = await _pick(app, "Outputs of which run?", lambda: _evaluated(workspace))
    if first is None:
        return None

    def others() -> Sequence[Choice]:
        rest = [each for each in _evaluated(workspace) if each.name != first]
        return [Choice(_ALONE, "base and adapter of that run"), *rest]

    second = await _pick(app, "And of which other run?", others)
    kind = await _pick(app, "What is asked?", lambda: _kinds(workspace)) if second else None
    if second is None or kind is None:
        return None
    names = [first] if second == _ALONE else [first, second]
    return [_source(workspace, name) for name in names], _form(workspace, kind)


async def _pick(app: App[Any], title: str, find: Callable[[], Sequence[Choice]]) -> str | None:
    return await app.push_screen_wait(Pick(title, find))


def _evaluated(workspace: Workspace) -> list[Choice]:
    folders = sorted(workspace.runs.glob("*"), reverse=True)
    return [
        Choice(folder.name, f"evaluated: {newest.name}")
        for folder in folders
        if (newest := runs.newest_evaluation(folder)) is not None
    ]


def _source(workspace: Workspace, name: str) -> Source:
    newest = runs.newest_evaluation(workspace.runs / name)
    if newest is None:
        raise WorkbenchError(f"The run {name} has no evaluation any more.")
    return Source(newest, name)


def _kinds(workspace: Workspace) -> list[Choice]:
    own = (path for path in sorted((workspace.root / "forms").glob("*")) if path.is_file())
    return [*_KINDS.values(), *(Choice(path.name, "a form of yours") for path in own)]


def _form(workspace: Workspace, kind: str) -> Form:
    if kind in _KINDS:
        return forms.of_kind("accept" if kind == "accept" else "pairwise")
    return forms.read(workspace.root / "forms" / kind)
