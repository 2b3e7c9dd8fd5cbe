from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_a_new_config_holds_every_field_and_is_in_order(cli: Cli, workspace: Workspace) -> None:
    made = cli("config", "new", "2024", "--set", "training.learning_rate=2e-5")
    assert made.returncode == 0, made.stderr
    path = workspace.configs / "2024.yaml"
    config = loading.load(path)
    assert (config.name, config.training.learning_rate) == ("2024", 2e-5)
    again = cli("config", "new", "2024")
    assert again.returncode == 2
    assert "--force replaces it." in again.stderr
    shown = cli("config", "show", "2024")
    first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    assert first == "# yaml-language-server: $schema=.schema.json"
    assert shown.stdout == rest
    schema = json.loads(cli("config", "schema").stdout)
    assert json.loads((workspace.configs / ".schema.json").read_text(encoding="utf-8")) == schema


def test_every_problem_of_a_config_is_told_at_once(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("lora:\n  rnak: 8\n  rank: 0\nlr: 1\n")
    result = cli("config", "check", "run.yaml", "--set", "data.max_length=1", "--json")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    error = json.loads(result.stdout)["error"]
    for problem in (
        "data.max_length: ",
        "line 2, lora.rnak: there is no such field. Did you mean lora.rank?",
        "line 3, lora.rank: ",
        "line 4, lr: there is no such field. Did you mean training.learning_rate?",
    ):
        assert problem in error
    assert error in result.stderr


def test_a_setting_that_is_no_yaml_gives_no_traceback(cli: Cli, workspace: Workspace) -> None:
    result = cli("config", "new", "made", "--set", "lora.rank=[8")
    assert result.returncode == 2
    assert result.stderr.startswith("workbench: The config can't be used:\n  lora.rank: ")
    assert not workspace.root.exists()


def test_every_field_is_listed_with_its_default(cli: Cli) -> None:
    listed = json.loads(cli("config", "fields", "--json").stdout)
    assert {field["path"]: field["default"] for field in listed} == {
        field.path: loading.value_at(RunConfig(), field.path) for field in loading.fields()
    }
    (rank,) = [field for field in listed if field["path"] == "lora.rank"]
    assert (rank["minimum"], rank["maximum"], rank["bounds"]) == (1, 1024, "1 to 1,024")
    assert rank["source"] == "TRL: lora_r 16; AutoTrain: 16"
    shown = cli("config", "fields").stdout
    assert "Source: TRL: lora_r 16" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_field_is_set_in_the_file_and_its_comments_stay(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("# mine\nlora: {rank: 8}  # small\n", encoding="utf-8")
    made = cli("config", "set", "own.yaml", "lora.rank=16", "training.epochs=2", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {
        "path": "own.yaml",
        "changed": [
            {"path": "lora.rank", "old": 8, "new": 16},
            {"path": "training.epochs", "old": 1.0, "new": 2.0},
        ],
    }
    text = "# mine\nlora: {rank: 16}  # small\n\ntraining:\n  epochs: 2.0\n"
    assert path.read_text(encoding="utf-8") == text
    assert cli("config", "set", "own.yaml", "lora.rank=16").stdout == "It was so already.\n"
    wrong = cli("config", "set", "own.yaml", "lora.rank=0", "lr=1")
    assert wrong.returncode == 2
    assert "lora.rank: it must be a whole number, 1 to 1,024, not 0." in wrong.stderr
    assert "lr: there is no such field. Did you mean training.learning_rate?" in wrong.stderr
    assert path.read_text(encoding="utf-8") == text


def test_a_sweep_in_the_file_stays_as_it_is(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = "lora: {rank: 4}\nsweep:  # two\n  fields:\n    lora.alpha: [8,  16]\n  budget: 2\n"
    path.write_text(text, encoding="utf-8")
    assert cli("config", "set", "own.yaml", "lora.rank=8").returncode == 0
    assert path.read_text(encoding="utf-8") == text.replace("rank: 4", "rank: 8")


def test_what_is_wrong_in_a_file_is_mended_by_setting_it(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("lora:\n  rank: 0  # small\n", encoding="utf-8")
    assert cli("config", "set", "own.yaml", "lora.rank=4").returncode == 0
    assert path.read_text(encoding="utf-8") == "lora:\n  rank: 4  # small\n"


def test_the_schema_and_the_reference_page_are_written(cli: Cli, tmp_path: Path) -> None:
    assert cli("config", "schema", "--output", "made.json").returncode == 0
    made = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert made["properties"]["lora"]["properties"]["rank"]["maximum"] == 1024

    nowhere = cli("config", "docs")
    assert nowhere.returncode == 2
    assert "There is no folder docs." in nowhere.stderr
    assert cli("config", "docs", "--output", "page.md").returncode == 0
    assert cli("config", "docs", "--output", "page.md", "--check").returncode == 0
    page = tmp_path / "page.md"
    page.write_text(page.read_text(encoding="utf-8").replace("1 to 1,024", "1 to 9"))
    drifted = cli("config", "docs", "--output", "page.md", "--check")
    assert drifted.returncode == 2
    assert "page.md is not what the schema makes" in drifted.stderr
