from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.foreign.whole import FILES
from workbench.config import loading
from workbench.config.foreign import importing, sources
from workbench.config.foreign.report import Entry, Imported
from workbench.config.foreign.taking import DatasetHere, Surroundings
from workbench.config.loading import ConfigError
from workbench.data.lengths import LengthCounts, Lengths
from workbench.errors import WorkbenchError

ROWS = 800


def _around(*, dataset: str = "", family: str = "", tokens: int = 0) -> Surroundings:
    """`tokens` are those of each row; 0: nobody has measured them."""
    counted = LengthCounts()
    for _ in range(ROWS):
        counted.add(tokens, [0, tokens])
    lengths = Lengths(counted.counts)
    return Surroundings(
        dataset=lambda name: DatasetHere(f"{name}@1", ROWS) if name == dataset else None,
        family=lambda base: family,
        lengths=lambda reference, base: lengths if tokens else None,
    )


def _read(folder: Path, text: str, name: str = "their.yml", **more: Any) -> Imported:
    path = folder / name
    path.write_text(text)
    known = {k: more.pop(k) for k in ("dataset", "family", "tokens") if k in more}
    return importing.read(path, _around(**known), name="run", **more)


def _values(imported: Imported, *paths: str) -> list[Any]:
    return [loading.value_at(imported.config, path) for path in paths]


def _entry(entries: list[Entry], key: str) -> Entry:
    return next(entry for entry in entries if entry.key == key)


def _lists_of(imported: Imported, key: str) -> list[str]:
    found = imported.report.lists()
    return [name for name, entries in found if any(e.key == key for e in entries)]


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_in_exactly_one_list_with_its_line(name: str, tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES[name], name)
    of_file = [s for s in sources.read(tmp_path / name).settings if s.key != "config"]
    counts = Counter(
        entry.key
        for list_name, e in imported.report.lists()
        for entry in e
        if entry.key and list_name != "defaults"
    )
    assert set(counts.values()) == {1}
    listed = [*counts]
    for setting in of_file:
        inner = setting.value if isinstance(setting.value, dict) else {}
        for key in [setting.key] if setting.key in listed or not inner else inner:
            is_there = key in listed or any(one.startswith(f"{setting.key}[") for one in listed)
            assert is_there or any(one.startswith(f"{setting.key}.") for one in listed), key
    for list_name, entries in imported.report.lists():
        assert all(e.line for e in entries if e.key) or list_name == "defaults"
    # What was listed is what the config has.
    for list_name, entries in imported.report.lists():
        for entry in entries:
            assert list_name != "nothing_to_do" or not entry.sets
    assert loading.parse(yaml.safe_load(loading.dump(imported.config)), origin="again")


def test_axolotl_qlora(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["axolotl_qlora.yml"])
    assert imported.trainer == "axolotl"
    assert _values(
        imported,
        "model.quantization", "model.double_quantization", "training.method", "lora.rank",
        "lora.target_modules", "lora.rslora", "training.learning_rate", "training.optimizer",
        "training.step_tokens", "training.micro_batch_tokens", "data.too_long", "training.seed",
        "checkpoints.keep", "training.packing", "data.dataset", "model.new_tokens",
    ) == [
        "nf4", True, "lora", 32, "all-linear", True, 2e-4, "paged_adamw_8bit",
        16384, 4096, "drop", 42, 4, True, "instructions", ["<tool>"],
    ]  # fmt: skip
    report = imported.report
    # No warm-up is given: Axolotl's own is 3 %, at most 100 steps.
    assert _entry(report.defaults, "warmup_steps").sets == {"training.warmup_ratio": 0.03}
    assert "nearest is lr_scheduler" in _entry(report.no_counterpart, "lr_schedular").text
    assert _entry(report.nothing_to_do, "wandb_project").value is None
    assert _entry(report.no_counterpart, "wandb_entity").line == 24
    assert _entry(report.problems, "evals_per_epoch").sets == {"evaluation.every": 0}
    assert imported.commands[0] == (
        "workbench data import hub:someone/instructions --name instructions --validation 0.05"
    )
    assert any(c.startswith("workbench config import") for c in imported.commands)


def test_packs_are_a_budget_of_tokens(tmp_path: Path) -> None:
    text = FILES["axolotl_qlora.yml"]
    imported = _read(tmp_path, text, gpus=2)
    # 2 x 4 x 2 packs of 2,048 tokens.
    assert _values(
        imported, "training.step_tokens", "training.micro_batch_tokens", "job.processes"
    ) == [32768, 4096, 2]  # fmt: skip
    assert (
        "= 16 packs of up to 2048 tokens"
        in _entry(imported.report.taken, "gradient_accumulation_steps").text
    )


def test_with_the_dataset_at_hand_epochs_and_shares_are_steps(tmp_path: Path) -> None:
    text = FILES["axolotl_qlora.yml"]
    imported = _read(tmp_path, text, dataset="instructions", tokens=512)
    # 8 packs of 2,048 tokens are 16,384, of which half a row's are left empty: 800 rows of 512
    # make 800 x 512 / 16,128 = 25.4 steps.
    assert _values(
        imported, "evaluation.every", "checkpoints.every", "evaluation.patience",
        "training.warmup_steps",
    ) == [7, 26, 3, 2]  # fmt: skip
    assert _entry(imported.report.taken, "datasets[0].path").text.startswith("instructions@1 is")
    unmeasured = _read(tmp_path, text, dataset="instructions")
    assert _values(unmeasured, "evaluation.every", "training.step_tokens") == [0, 16384]
    assert "lengths of the rows" in _entry(unmeasured.report.problems, "saves_per_epoch").text
    assert "workbench data verdict instructions --model someone/Llama-3.2-1B" in unmeasured.commands


def test_rows_a_step_are_counted_over_all_gpus(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["llama_factory.yaml"], gpus=4)
    values = _values(imported, "training.batch_size", "training.accumulation", "job.processes")
    assert values == [1, 32, 4]
    assert (
        "1 x 8 x 4 GPUs = 32 rows"
        in _entry(imported.report.taken, "gradient_accumulation_steps").text
    )


def test_axolotl_chat_trains_the_whole_base_and_names_each_import(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["axolotl_chat.yml"])
    assert _values(
        imported, "training.method", "model.dtype", "training.accumulation", "data.too_long",
        "training.gradient_checkpointing", "training.warmup_ratio", "data.dataset",
    ) == ["full", "bfloat16", 16, "truncate", True, 0.05, "run"]  # fmt: skip
    assert imported.commands[:4] == (
        "workbench data import chats.jsonl --name chats --map messages=turns --map role=who "
        "--map content=said --map role.assistant=bot",
        "workbench data import hub:someone/pairs --name pairs --map prompt=ask "
        "--map response=answer",
        "workbench data import hub:someone/texts:en --name texts --map text=body",
        "workbench data mix run chats pairs texts",
    )
    none = {entry.key for entry in imported.report.no_counterpart}
    assert none >= {
        "train_on_inputs", "deepspeed", "cosine_min_lr_ratio", "chat_template", "plugins",
        "val_set_size", "datasets[1].type.format", "datasets[2].split",
    }  # fmt: skip
    assert _lists_of(imported, "datasets[0].train_on_eos") == ["nothing_to_do"]


def test_llama_factory_has_its_own_defaults(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["llama_factory.yaml"])
    assert imported.trainer == "llama-factory"
    assert _values(
        imported, "data.max_length", "data.too_long", "lora.alpha", "lora.dropout",
        "training.gradient_checkpointing", "training.epochs", "training.packing",
        "checkpoints.every", "lora.target_modules", "data.train_rows", "evaluation.every",
    ) == [2048, "truncate", 16, 0.0, True, 3.0, False, 500, "all-linear", None, 500]  # fmt: skip
    assert "--cap" in _entry(imported.report.no_counterpart, "max_samples").text
    assert imported.commands[0] == (
        "workbench data import data/dataset_info.json --name identity --validation 0.1 "
        "--dataset identity"
    )


def test_llama_factory_qlora(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["llama_factory_qlora.yaml"], dataset="mine", tokens=2000)
    assert _values(
        imported, "model.quantization", "model.double_quantization", "lora.alpha",
        "lora.plus_ratio", "model.upcast", "training.schedule", "training.warmup_steps",
        "evaluation.every", "evaluation.patience", "checkpoints.result", "training.optimizer",
        "training.step_tokens", "training.neftune_alpha",
    ) == ["nf4", True, 32, 16, True, "constant", 0, 105, 4, "best", "adamw", 16384, 5]  # fmt: skip
    assert _lists_of(imported, "warmup_steps") == ["nothing_to_do"]
    assert _lists_of(imported, "optim") == ["no_counterpart"]


def test_a_command_line_is_read_with_its_variables(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["trl_script.sh"], "run.sh", family="qwen2")
    assert imported.trainer == "trl"
    assert _values(
        imported, "model.base", "job.processes", "training.micro_batch_tokens",
        "training.step_tokens", "lora.rank", "lora.alpha", "lora.dropout", "lora.dtype",
        "model.quantization",
        "model.double_quantization", "training.schedule", "training.warmup_ratio",
        "training.gradient_checkpointing", "data.max_length", "evaluation.every",
        "lora.target_modules",
    ) == [
        "someone/Qwen-0.5B", 2, 2048, 32768, 32, 16, 0.05, "bfloat16", "nf4", False, "linear", 0.0,
        False, 1024, 100, ["q_proj", "k_proj", "v_proj", "o_proj"],
    ]  # fmt: skip
    assert _entry(imported.report.differently, "output_dir").value == "out/someone/Qwen-0.5B"
    assert _entry(imported.report.taken, "lora_r").line == 14
    assert "--validation-file 'hub:someone/Chats#test'" in imported.commands[0]


def test_trl_without_use_peft_trains_the_whole_base(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["trl_full.yaml"])
    assert _values(
        imported, "training.method", "model.dtype", "training.learning_rate",
        "training.max_steps", "training.warmup_ratio", "training.schedule", "training.batch_size",
    ) == ["full", "bfloat16", 2e-5, 1000, 0.1, "cosine", 8]  # fmt: skip
    assert "use_peft isn't true" in _entry(imported.report.problems, "lora_r").text
    assert _lists_of(imported, "lr_scheduler_type") == ["no_counterpart"]
    assert _lists_of(imported, "assistant_only_loss") == ["differently"]


def test_trl_json_has_lora_configs_defaults(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["trl.json"], "args.json")
    assert _values(
        imported, "training.method", "lora.rank", "lora.alpha", "lora.initialisation",
        "training.optimizer", "training.schedule", "data.max_length", "checkpoints.every",
        "model.dtype",
    ) == ["lora", 64, 8, "pissa", "paged_adamw_8bit", "cosine", 1 << 20, 0, "auto"]  # fmt: skip
    assert _entry(imported.report.taken, "r").line == 15
    assert _lists_of(imported, "fp16") == ["no_counterpart"]


def test_an_adapter_config_leaves_training_to_our_defaults(tmp_path: Path) -> None:
    imported = _read(tmp_path, FILES["adapter_config.json"], "adapter_config.json")
    assert _values(imported, "lora.dora", "lora.alpha", "training.learning_rate") == [
        True, 32, 2e-4,
    ]  # fmt: skip
    assert not imported.report.no_counterpart


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("phi", ["q_proj", "v_proj", "fc1", "fc2"]),
        ("phi3", "all-linear"),
        ("", ["q_proj", "v_proj"]),
    ],
)
def test_no_target_modules_are_pefts_for_the_family(
    family: str, targets: object, tmp_path: Path
) -> None:
    text = "use_peft: true\nmodel_name_or_path: a/b\nlora_r: 8\n"
    imported = _read(tmp_path, text, family=family)
    assert imported.config.lora.target_modules == targets


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("warmup_steps: 0.03", "training.warmup_ratio", 0.03),
        ("warmup_steps: 7", "training.warmup_steps", 7),
        ("optim: adamw_bnb_8bit", "training.optimizer", "adamw_8bit"),
        ("max_steps: -1", "training.max_steps", None),
        ("lora_target_modules: [all-linear]", "lora.target_modules", "all-linear"),
        ("lora_target_modules: '.*q_proj$'", "lora.target_modules", ".*q_proj$"),
        ("lora_modules_to_save: lm_head", "lora.modules_to_save", ["lm_head"]),
        ("bf16: false", "model.dtype", "float32"),
        ("load_best_model_at_end: yes", "checkpoints.result", "best"),
        ("save_total_limit: 3", "checkpoints.keep", 3),
        ("auto_find_batch_size: true", "training.micro_batch", "auto"),
        ("per_device_train_batch_size: '2'", "training.batch_size", 2),
        ("learning_rate: 1E-3", "training.learning_rate", 1e-3),
    ],
)
def test_a_trl_line(line: str, path: str, value: object, tmp_path: Path) -> None:
    text = f"use_peft: true\nmodel_name_or_path: a/b\n{line}\n"
    assert _values(_read(tmp_path, text), path) == [value]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.yml", "base_model: x\nrl: dpo\n", "a.yml, line 2: rl: dpo is training on preferences"),
        ("a.yaml", "stage: rm\ntemplate: x\n", "line 1: stage: rm is the training of a reward"),
        ("a.sh", "trl grpo --model_name_or_path x\n", "starts `grpo`, reinforcement learning"),
        ("a.sh", "trl sft --model_name_or_path $M --lora_r 8\n", "line 1: $M is only known"),
        ("a.sh", "trl sft --lora_r 8\ntrl sft --lora_r 4\n", "several trainings, in lines 1, 2"),
        ("a.sh", "trl sft --eos_token 'a\n", "line 1: a quotation isn't closed"),
        ("a.sh", "ls\n", "no command that starts a training"),
        ("a.sh", "trl sft --config gone.yaml\n", "--config names gone.yaml; there is no"),
        ("a.py", "SFTConfig()\n", "is a Python script, which is neither run nor read"),
        ("a.yaml", "a: [1\nb: 2\n", "a.yaml, line 2: it is not valid YAML"),
        ("a.yaml", "- a\n", "holds a list, no config"),
        ("a.yaml", "", "a.yaml is empty"),
        ("a.json", '{"a": 1,\n "b": }', "a.json, line 2: it is not valid JSON"),
        ("a.yaml", "a\0b", "is a binary file"),
        ("a.yaml", "model:\n  base: x\nlora:\n  rank: 8\n", "is a config of workbench itself"),
        ("a.yaml", "foo: 1\n", "no key that tells whose config it is: foo"),
        ("a.yaml", "optimizer: x\nbatch_size: 2\nloss: y\nc: 1\nd: 2\n", "of another trainer, it"),
        ("a.yaml", "base_model: x\ntemplate: y\n", "could be of Axolotl (base_model) or LLaMA-F"),
    ],
)
def test_what_cant_be_taken_over(name: str, text: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as error:
        _read(tmp_path, text, name)
    assert wanted in error.value.message
    assert str(tmp_path / name) in error.value.message


def test_values_that_cant_be_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = (
        "base_model: x\nadapter: lora\nlora_r: 0\nlora_alpha: abc\nlora_dropout: 1.5\n"
        "micro_batch_size: 2.5\nlearning_rate: fast\nload_in_4bit: true\nload_in_8bit: true\n"
    )
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, text)
    told = [(p.line, p.path) for p in error.value.problems]
    assert told == [
        (3, "lora_r (lora.rank)"), (4, "lora_alpha"), (5, "lora_dropout (lora.dropout)"),
        (6, "micro_batch_size"), (7, "learning_rate"), (9, "load_in_8bit"),
    ]  # fmt: skip


def test_a_conflict_is_told_of_their_key(tmp_path: Path) -> None:
    text = "base_model: x\nadapter: qlora\nload_in_4bit: true\npeft_init_lora_weights: pissa\n"
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, text)
    (problem,) = error.value.problems
    assert (problem.line, problem.path) == (4, "peft_init_lora_weights (lora.initialisation)")
    with pytest.raises(ConfigError, match="line 2, load_in_4bit: there is no adapter"):
        _read(tmp_path, "base_model: x\nload_in_4bit: true\n")


def test_a_config_that_a_command_names_stands_behind_it(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("lora_r: 4\nlora_alpha: 8\nuse_peft: true\n")
    imported = _read(tmp_path, "trl sft --config recipe.yaml --lora_r 16\n", "run.sh")
    assert _values(imported, "lora.rank", "lora.alpha") == [16, 8]
    assert _entry(imported.report.taken, "lora_alpha").file == "recipe.yaml"


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    imported = _read(tmp_path, "base_model: x\nadapter: lora\nlora_r: 8\nlora_r: 4\n")
    assert imported.config.lora.rank == 4
    assert any(p.text.startswith("lora_r stands in line 3") for p in imported.report.problems)


def test_a_base_that_is_not_here_is_fetched_among_the_next_commands(tmp_path: Path) -> None:
    text = "base_model: Qwen/Qwen2.5-7B\nadapter: lora\nlora_target_linear: true\n"
    prepare = "workbench model prepare Qwen/Qwen2.5-7B"
    assert prepare in _read(tmp_path, text).commands
    local = text.replace("Qwen/Qwen2.5-7B", "/models/qwen")
    assert not any("model prepare" in command for command in _read(tmp_path, local).commands)


def test_what_axolotls_own_example_sets_off_needs_nothing(tmp_path: Path) -> None:
    """docs/config-reference of Axolotl: these are bnb_config_kwargs' default values."""
    text = (
        "base_model: a/b\nadapter: qlora\nload_in_4bit: true\nlora_target_linear: true\n"
        "bnb_config_kwargs:\n  llm_int8_has_fp16_weight: false\n  bnb_4bit_quant_type: nf4\n"
        "  bnb_4bit_use_double_quant: true\n"
    )
    report = _read(tmp_path, text).report
    assert not report.no_counterpart
    assert _entry(report.nothing_to_do, "bnb_config_kwargs.llm_int8_has_fp16_weight").line == 6


def test_tokens_are_added_by_the_name_that_older_versions_had(tmp_path: Path) -> None:
    text = (
        "model_name_or_path: a/b\nstage: sft\nfinetuning_type: lora\ndataset: d\ntemplate: qwen\n"
        "new_special_tokens: <a>,<b>\n"
    )
    assert _values(_read(tmp_path, text), "model.new_tokens") == [["<a>", "<b>"]]
