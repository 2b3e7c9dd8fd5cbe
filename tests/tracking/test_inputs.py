from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tests import tiny
from workbench.config.schema import RunConfig
from workbench.data.example import Message
from workbench.data.importing import import_files
from workbench.tracking import inputs, manifest, runs
from workbench.workspace import Workspace

DATED = "{{ strftime_now('%Y-%m-%d') }}\n" + tiny.TEMPLATE


@pytest.fixture
def run(workspace: Workspace, write_rows: Callable[..., Path], tiny_model: Path) -> Path:
    """A run that isn't started, of a model whose template writes the date."""
    (tiny_model / "chat_template.jinja").write_text(DATED)
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(10))
    import_files(workspace, [write_rows(*rows)], "numbers")
    config = RunConfig.model_validate(
        {"model": {"base": str(tiny_model)}, "data": {"dataset": "numbers"}}
    )
    return runs.create(workspace, config, command="", say=lambda text: None)


def prompt(run: Path) -> str:
    return inputs.load_template(run).render([Message("user", "Hi")])


def test_a_run_s_prompts_have_the_date_of_its_creation_on_any_day(run: Path) -> None:
    assert manifest.read(run)["date"] == date.today().isoformat()
    manifest.update(run, date="2024-07-26")
    assert prompt(run).startswith("2024-07-26\n")


def test_a_run_that_kept_no_date_has_that_of_its_manifest(run: Path) -> None:
    manifest.update(run, date=None, created=86400.0 * 10)
    assert prompt(run).startswith(f"{date.fromtimestamp(86400 * 10)}\n")
