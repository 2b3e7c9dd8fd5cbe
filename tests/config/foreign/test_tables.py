from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from peft import LoraConfig
from transformers import Seq2SeqTrainingArguments, TrainingArguments

from workbench.config import loading
from workbench.config.foreign import NAMES
from workbench.config.foreign.adapters import PEFT_TARGETS
from workbench.config.foreign.detect import TRAINERS
from workbench.config.foreign.learning import OPTIMIZERS, SCHEDULES
from workbench.config.foreign.page import page
from workbench.config.foreign.rules import Take
from workbench.config.schema import RunConfig

PAGE = Path(__file__).parents[3] / "docs" / "config-import.md"


def test_the_page_is_what_the_tables_say() -> None:
    wanted = "python -m workbench.config.foreign.page > docs/config-import.md"
    assert PAGE.read_text(encoding="utf-8") == page(), f"`{wanted}` writes it anew"


@pytest.mark.parametrize("name", NAMES)
def test_a_table_names_fields_that_there_are(name: str) -> None:
    known = {item.path for item in loading.fields()}
    trainer = TRAINERS[name]
    assert {r.path for r in trainer.rules.values() if isinstance(r, Take)} <= known


def test_the_arguments_of_transformers_and_peft_are_known() -> None:
    """By those that are installed: their defaults, too, are what the tables say."""
    trl, factory = TRAINERS["trl"].rules, TRAINERS["llama-factory"].rules
    arguments = {item.name: item.default for item in fields(TrainingArguments)}
    assert arguments.keys() <= trl.keys()
    assert {item.name for item in fields(Seq2SeqTrainingArguments)} <= factory.keys()
    assert {item.name for item in fields(LoraConfig) if item.init} <= trl.keys()
    told = {key: rule.default for key, rule in trl.items() if hasattr(rule, "default")}
    for key in ("per_device_train_batch_size", "num_train_epochs", "weight_decay", "save_steps"):
        assert told[key] == arguments[key]
    for key in ("max_grad_norm", "seed", "warmup_steps", "lr_scheduler_type"):
        assert told[key] == arguments[key]


def test_pefts_own_target_modules() -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as THEIRS

    for family, names in PEFT_TARGETS.items():
        assert THEIRS[family] == names.split()


def test_optimisers_and_schedules_are_ours() -> None:
    choices = {item.path: item.choices for item in loading.fields()}
    assert {ours for ours, _ in OPTIMIZERS.values()} == set(choices["training.optimizer"])
    assert {ours for ours, _ in SCHEDULES.values()} <= set(choices["training.schedule"])
    assert RunConfig().training.schedule in choices["training.schedule"]
