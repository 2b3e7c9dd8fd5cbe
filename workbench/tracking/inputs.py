"""What a run is made of, the same at every start: its base, its template, its rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from workbench import base_models
from workbench.data.template import ChatTemplate
from workbench.tracking import manifest, runs
from workbench.workspace import Workspace


def base_folder(run: Path) -> Path:
    """The folder of a run's base model. Raises WorkbenchError when it isn't here."""
    base = runs.load_config(run).model.base
    return base_models.resolve(Workspace(run.parent.parent), base)


def load_template(run: Path) -> ChatTemplate:
    """The chat template of a run's base, on the day that the run was created.

    Raises WorkbenchError when the base isn't here or has no chat template.
    """
    made = manifest.read(run)
    day = made.get("date")
    today = date.fromisoformat(day) if day else date.fromtimestamp(made["created"])
    return ChatTemplate.load(base_folder(run), today=today)
