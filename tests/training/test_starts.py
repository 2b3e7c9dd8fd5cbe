"""What a run is held to at each of its starts, and what is kept of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.training.harness import configure, events
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation.job import evaluate
from workbench.export.merge import merge
from workbench.jobs.control import Control
from workbench.jobs.events import Event, Finished, Notice, Progress, Step
from workbench.jobs.log import LogWriter
from workbench.reporting import report
from workbench.tracking import manifest, runs
from workbench.training.job import train
from workbench.workspace import Workspace

Make = Callable[..., Path]


@pytest.fixture
def folder(workspace: Workspace, write_rows: Callable[..., Path], tiny_model: Path) -> Path:
    """A run of four steps that isn't started yet."""
    rows = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(12)]
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.2))
    config = configure(tiny_model, training={"max_steps": 4}, checkpoints={"every": 1})
    return runs.create(workspace, config, command="test", say=lambda text: None)


class StopsAfter(LogWriter):
    """A log whose run breaks off once a step is in it."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(path)
        self._step = step

    def write(self, event: Event) -> None:
        super().write(event)
        if isinstance(event, Step) and event.step == self._step:
            raise KeyboardInterrupt


def go(folder: Path, *, until: int | None = None) -> Finished | None:
    """Train in this process; None when it broke off after step `until`."""
    with StopsAfter(folder / runs.LOG, until or 0) as log:
        try:
            return train(folder, log, Control())
        except KeyboardInterrupt:
            return None


def test_every_start_is_kept_and_none_takes_another_s_place(
    folder: Path, workspace: Workspace
) -> None:
    assert go(folder, until=3) is None
    (first,) = manifest.read(folder)["starts"]
    assert go(folder) is not None
    again, second = manifest.read(folder)["starts"]
    assert again == first and first["time"] < second["time"]
    assert (first["resumed_from"], second["resumed_from"]) == (0, 2)
    assert any("hashing" in p.phase for p in events(folder, Progress))
    text = report.write(workspace, folder).read_text()
    assert "after step 0:" in text and "after step 2:" in text


def test_a_run_whose_base_was_changed_does_not_go_on(folder: Path, tiny_model: Path) -> None:
    assert go(folder, until=3) is None
    with (tiny_model / "config.json").open("a") as stream:
        stream.write("\n")
    with pytest.raises(WorkbenchError, match=r"can't go on: the SHA-256 of .*/config\.json was"):
        go(folder)
    assert len(manifest.read(folder)["starts"]) == 1


def test_a_run_whose_rows_were_changed_does_not_begin(folder: Path, workspace: Workspace) -> None:
    path = versions.resolve(workspace, "sample").data_path
    path.write_text(path.read_text().replace("it is", "it was"))
    with pytest.raises(WorkbenchError, match=r"data\.jsonl was changed: its SHA-256 is"):
        go(folder)


def test_rows_longer_than_the_base_s_context_are_warned_of(folder: Path, tiny_model: Path) -> None:
    path = tiny_model / "config.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "max_position_embeddings": 200}))
    assert go(folder, until=1) is None
    (notice,) = (n for n in events(folder, Notice) if "max_length" in n.text)
    assert "(256 tokens)" in notice.text and "(200)" in notice.text
    assert notice.level == "warning"


def test_an_adapter_s_card_says_what_it_is_and_loads_it(folder: Path, tiny_model: Path) -> None:
    assert go(folder) is not None
    text = (folder / "adapter" / "README.md").read_text()
    made = manifest.read(folder)
    for wanted in (
        "library_name: peft",
        "# run-0001: a LoRA adapter of tiny-model",
        f"model.safetensors: SHA-256 {made['base']['files']['model.safetensors']}",
        "Licence of the base: not known to workbench",
        f"- Dataset: sample@{made['dataset']['version']}, 12 rows",
        "rank 4, alpha 8",
        "learning rate 0.01",
        "- validation loss after step 4:",
        "PeftModel.from_pretrained(base",
    ):
        assert wanted in text
    assert "[More Information Needed]" not in text and str(tiny_model) not in text
    assert "has not been evaluated" not in text and "4 of 4 steps" in text


def test_the_adapter_of_a_hub_model_names_it_and_not_a_folder_of_this_machine(
    folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, commit = tmp_path / "hub" / "models--owner--name", "c" * 40
    shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    config = runs.load_config(folder)
    base = config.model.model_copy(update={"base": "owner/name"})
    workspace = Workspace(folder.parent.parent)
    hub = runs.create(
        workspace, config.model_copy(update={"model": base}), command="", say=lambda text: None
    )
    assert go(hub) is not None
    body = json.loads((hub / "adapter" / "adapter_config.json").read_text())
    assert (body["base_model_name_or_path"], body["revision"]) == ("owner/name", commit)
    text = (hub / "adapter" / "README.md").read_text()
    assert "base_model: owner/name" in text
    assert f'from_pretrained("owner/name", revision="{commit}")' in text


def test_training_evaluation_and_merge_are_all_of_the_day_of_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest.update(folder, date="2024-07-26")
    days: list[date | None] = []
    load = ChatTemplate.load

    def watched(place: Path, *, today: date | None = None, **options: Any) -> ChatTemplate:
        days.append(today)
        return load(place, today=today, **options)

    monkeypatch.setattr(ChatTemplate, "load", watched)
    assert go(folder) is not None
    jobs = {
        "evaluations/01": (evaluate, {"rows": 1, "max_new_tokens": 1}),
        "exports/01": (merge, {"run": str(folder), "target": str(tmp_path / "merged")}),
    }
    for name, (work, request) in jobs.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "request.json").write_text(json.dumps(request))
        with LogWriter(folder / name / "events.jsonl") as log:
            work(folder / name, log, Control())
    assert len(days) >= 3 and set(days) == {date(2024, 7, 26)}
