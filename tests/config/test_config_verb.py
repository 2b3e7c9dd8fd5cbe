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
    assert shown.stdout == path.read_text(encoding="utf-8")


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
