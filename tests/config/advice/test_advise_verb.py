from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from workbench.config import loading
from workbench.config.advice import page
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.workspace import Workspace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def rows(workspace: Workspace) -> None:
    """1,000 rows to train on and 100 held out."""
    examples = [
        Example(
            (Message("user", f"{number}?"), Message("assistant", f"It is {number}.")),
            split="validation" if number % 11 == 10 else "train",
            source=f"made:{number}",
        )
        for number in range(1100)
    ]
    versions.create(workspace, "made", examples, sources=[], steps=[])


@pytest.fixture
def path(workspace: Workspace, tiny_model: Path, rows: None) -> Path:
    """A config with a full fine-tuning rate, and comments of a person's own."""
    workspace.configs.mkdir(parents=True, exist_ok=True)
    path = workspace.configs / "mine.yaml"
    path.write_text(
        f"# mine\nmodel:\n  base: {tiny_model}\ndata:\n  dataset: made\n"
        "training:\n  learning_rate: 0.00002  # as before\n  warmup_ratio: 0.5\n"
    )
    return path


def test_advice_is_told_with_field_reason_source_and_fix(cli: Cli, path: Path) -> None:
    told = cli("config", "advise", "mine")
    assert told.returncode == 0, told.stderr
    assert "warning: learning-rate-of-full-fine-tuning (training.learning_rate)" in told.stdout
    assert "Fix: --set training.learning_rate=0.0002\n" in told.stdout
    assert "Source: LoRA Without Regret, 2025" in told.stdout
    assert "2 warnings" in told.stdout
    # Nobody has measured the rows.
    assert "Not known: How long the rows are: `workbench data verdict made@" in told.stdout


def test_a_setting_that_is_good_is_not_told_of(cli: Cli, path: Path) -> None:
    told = cli("config", "advise", path, "--set", "training.learning_rate=2e-4", "--json")
    names = [one["name"] for one in json.loads(told.stdout)["advice"]]
    assert "learning-rate-of-full-fine-tuning" not in names
    assert "warm-up-outside-range" in names


def test_a_fix_is_shown_and_with_write_it_is_in_the_file(cli: Cli, path: Path) -> None:
    before = path.read_text()
    name = "learning-rate-of-full-fine-tuning"
    shown = cli("config", "advise", "mine", "--fix", name)
    assert "The settings, of learning-rate-of-full-fine-tuning:" in shown.stdout
    assert path.read_text() == before
    written = cli("config", "advise", "mine", "--fix", name, "--write", "--json")
    result = json.loads(written.stdout)
    assert result["written"]
    assert name not in [one["name"] for one in result["advice"]]
    # The rest of the file is a person's own.
    assert path.read_text() == before.replace("0.00002", "0.0002")
    config = loading.load(path)
    assert (config.training.learning_rate, config.training.warmup_ratio) == (2e-4, 0.5)


def test_all_fixes_leave_nothing_that_a_setting_mends(cli: Cli, path: Path) -> None:
    result = json.loads(cli("config", "advise", "mine", "--fix", "all", "--write", "--json").stdout)
    assert {"learning-rate-of-full-fine-tuning", "warm-up-outside-range"} <= set(result["followed"])
    again = json.loads(cli("config", "advise", "mine", "--json").stdout)
    assert again["advice"] == result["advice"]
    assert not [one for one in again["advice"] if one["fix"]]


def test_a_name_that_there_is_no_advice_of_is_told_with_those_there_are(
    cli: Cli, path: Path
) -> None:
    told = cli("config", "advise", "mine", "--fix", "rank-too-low")
    assert told.returncode == 2
    assert "There is no advice rank-too-low on this config." in told.stderr
    assert "learning-rate-of-full-fine-tuning" in told.stderr


def test_strict_fails_where_there_are_errors_alone(cli: Cli, path: Path) -> None:
    assert cli("config", "advise", "mine", "--strict").returncode == 0
    wrong = ("--set", "lora.target_modules=c_attn")
    assert cli("config", "advise", "mine", *wrong).returncode == 0
    told = cli("config", "advise", "mine", "--strict", *wrong)
    assert told.returncode == 1
    assert "error: target-modules-match-nothing (lora.target_modules)" in told.stdout
    assert "Its linear layers are down_proj, gate_proj, k_proj" in " ".join(told.stdout.split())


def test_check_shows_warnings_and_the_queue_how_many_there_are(cli: Cli, path: Path) -> None:
    checked = cli("config", "check", "mine")
    assert "warning: warm-up-outside-range" in checked.stdout
    assert "hint: " not in checked.stdout
    queued = cli("queue", "add", "mine", "--no-start")
    assert queued.returncode == 0, queued.stderr
    assert "Advice: 2 warnings; see workbench config advise mine" in queued.stderr


def test_the_page_of_all_rules_is_of_these_rules(cli: Cli) -> None:
    """`workbench config advise --rules > docs/advice.md` makes it anew."""
    assert (ROOT / "docs/advice.md").read_text(encoding="utf-8") == page.text()
    assert cli("config", "advise", "--rules").stdout == page.text()
