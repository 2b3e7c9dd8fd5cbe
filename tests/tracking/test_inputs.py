from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Message
from workbench.data.importing import import_files
from workbench.errors import WorkbenchError
from workbench.files import sha256_file
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
    made = manifest.read(run)
    assert made["date"] == date.fromtimestamp(made["created"]).isoformat()
    manifest.update(run, date="2024-07-26")
    assert prompt(run).startswith("2024-07-26\n")


def test_a_run_that_kept_no_date_has_that_of_its_manifest(run: Path) -> None:
    manifest.update(run, date=None, created=86400.0 * 10)
    assert prompt(run).startswith(f"{date.fromtimestamp(86400 * 10)}\n")


def refusal(run: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        inputs.pin(run, inputs.load_template(run))
    return caught.value.message


def test_the_first_start_records_the_base_and_the_next_holds_it_to_that(
    run: Path, tiny_model: Path
) -> None:
    (tiny_model / "tokenizer.model").write_bytes(b"pieces")
    inputs.pin(run, inputs.load_template(run))
    made = manifest.read(run)
    assert made["base"]["files"] == {p.name: sha256_file(p) for p in tiny_model.iterdir()}
    assert made["template"]["sha256"] == inputs.load_template(run).fingerprint()
    inputs.pin(run, inputs.load_template(run))
    assert manifest.read(run) == made


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja", "config.json"])
def test_a_base_that_was_changed_is_refused_by_its_file(
    run: Path, tiny_model: Path, name: str
) -> None:
    inputs.pin(run, inputs.load_template(run))
    before = sha256_file(tiny_model / name)
    with (tiny_model / name).open("ab") as stream:
        stream.write(b" ")
    after = sha256_file(tiny_model / name)
    message = refusal(run)
    assert f"the SHA-256 of {tiny_model / name} was {before} and is {after}" in message


def test_a_file_that_came_to_the_base_is_refused(run: Path, tiny_model: Path) -> None:
    inputs.pin(run, inputs.load_template(run))
    (tiny_model / "special_tokens_map.json").write_text("{}")
    assert f"{tiny_model / 'special_tokens_map.json'} was absent and is" in refusal(run)


def test_rows_that_were_changed_are_refused_with_both_hashes(
    run: Path, workspace: Workspace
) -> None:
    version = versions.resolve(workspace, "numbers")
    version.data_path.write_text(version.data_path.read_text().replace("1?", "one?"))
    message = refusal(run)
    assert version.sha256 in message and sha256_file(version.data_path) in message
    assert "template" not in manifest.read(run)


def test_a_run_does_not_go_on_with_other_rows(
    run: Path, workspace: Workspace, write_rows: Callable[..., Path]
) -> None:
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(20))
    other = import_files(workspace, [write_rows(*rows)], "numbers")
    config = runs.load_config(run)
    data = config.data.model_copy(update={"dataset": other.reference})
    loading.save(config.model_copy(update={"data": data}), run / runs.CONFIG)
    assert other.sha256 in refusal(run)


def test_a_hub_model_stays_at_the_commit_that_the_run_began_with(
    run: Path, workspace: Workspace, tiny_model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    repository = tmp_path / "hub" / "models--owner--name"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    config = RunConfig.model_validate(
        {"model": {"base": "owner/name"}, "data": {"dataset": "numbers"}}
    )
    folder = runs.create(workspace, config, command="", say=lambda text: None)
    assert manifest.read(folder)["base"] == {"name": "owner/name", "revision": "a" * 40}
    (repository / "refs" / "main").write_text("b" * 40)
    assert inputs.base_folder(folder) == repository / "snapshots" / ("a" * 40)
    shutil.rmtree(repository / "snapshots" / ("a" * 40))
    with pytest.raises(WorkbenchError, match=f"not on this machine at commit {'a' * 40}"):
        inputs.base_folder(folder)
