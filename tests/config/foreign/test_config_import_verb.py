from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.config.foreign.whole import FILES
from workbench.config import loading
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_a_config_is_written_and_every_list_shown(
    cli: Cli, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "Q LoRA (1b).yml").write_text(FILES["axolotl_qlora.yml"])
    made = cli("config", "import", "Q LoRA (1b).yml", COLUMNS="90")
    assert made.returncode == 0, made.stderr
    assert max(map(len, made.stdout.partition("\nWritten to")[0].splitlines())) <= 90
    for told in (
        "Read as a config of Axolotl (by version 0.19.0).",
        "   18  lora_r: 32 → lora.rank = 32",
        "       seed: 42 → training.seed = 42",
        "   35  flash_attention: true",
        "   24  wandb_entity: us",
        "wandb_project (23)",
        "workbench config check Q-LoRA-1b",
    ):
        assert told in made.stdout
    config = loading.load(workspace.configs / "Q-LoRA-1b.yaml")
    assert (config.name, config.lora.rank) == ("Q-LoRA-1b", 32)
    again = cli("config", "import", "Q LoRA (1b).yml")
    assert again.returncode == 2
    assert "--force replaces it; --name chooses another name." in again.stderr
    assert cli("config", "import", "Q LoRA (1b).yml", "--force").returncode == 0


def test_a_dataset_of_the_workspace_is_found(
    cli: Cli, workspace: Workspace, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    rows = [{"prompt": f"What is {n} and {n * 7}?", "completion": f"It is {n * 8}"}
            for n in range(40)]  # fmt: skip
    write_rows(*rows, name="mine.jsonl")
    assert cli("data", "import", "mine.jsonl", "--validation", "0").returncode == 0
    (tmp_path / "lf.yaml").write_text(
        "model_name_or_path: a/b\nstage: sft\ntemplate: qwen\ndataset: mine\n"
        "save_strategy: epoch\neval_strategy: steps\neval_steps: 0.2\n"
    )
    made = cli("config", "import", "lf.yaml", "--from", "llama-factory", "--name", "it", "--json")
    assert made.returncode == 0, made.stderr
    result = json.loads(made.stdout)
    assert Path(result["path"]) == workspace.configs / "it.yaml"
    assert result["config"]["data"]["dataset"] == "mine"
    # 40 rows, 8 a step: 5 steps an epoch, 15 in all.
    assert result["config"]["checkpoints"]["every"] == 5
    assert result["config"]["evaluation"]["every"] == 3
    assert {"taken", "defaults", "differently", "no_counterpart", "problems"} <= result.keys()


def test_nothing_is_written_after_an_error(cli: Cli, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "dpo.yml").write_text("base_model: x\nadapter: lora\nrl: dpo\n")
    result = cli("config", "import", "dpo.yml", "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"].startswith("dpo.yml, line 3: rl: dpo is training on")
    assert not workspace.root.exists()
    assert "Traceback" not in cli("config", "import", "gone.yml").stderr
