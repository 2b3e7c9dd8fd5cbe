"""Presets against the library's own models with published shapes, without their weights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import PreTrainedModel

from tests.config import published
from workbench.config import loading, presets
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances, DatasetFacts, Machine
from workbench.config.loading import ConfigError
from workbench.config.memory import Device
from workbench.config.presets.page import markdown
from workbench.config.presets.shapes import facts_of
from workbench.config.schema import RunConfig
from workbench.config.trained import trained_tensors
from workbench.data.lengths import LengthCounts, Lengths
from workbench.errors import WorkbenchError

Cli = Callable[..., subprocess.CompletedProcess[str]]
NAMES = tuple(published.PUBLISHED)
EIGHT_B = "llama-3-8b"


@cache
def skeleton(name: str) -> PreTrainedModel:
    return published.skeleton(name)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BaseFacts]:
    root = tmp_path_factory.mktemp("published")

    @cache
    def of(name: str) -> BaseFacts:
        return BaseFacts.of(published.write(root / name, name, skeleton(name)))

    return of


Facts = Callable[[str], BaseFacts]


def values(made: presets.Preset) -> dict[str, Any]:
    return {path: figure.value for path, figure in made.settings.items()}


def around(
    free_gib: float | None = None, rows: DatasetFacts | None = None, *, gpu: bool = True
) -> Circumstances:
    free = None if free_gib is None else int(free_gib * 2**30)
    return Circumstances(Machine(Device(gpu=gpu), "GPU 0 (NVIDIA)", free), dataset=rows)


def measured(lengths: list[int], answer: int = 10, validation: int = 5) -> DatasetFacts:
    counts = LengthCounts()
    for length in lengths:
        counts.add(length, [length - answer, length])
    of_train = Lengths(counts.counts)
    return DatasetFacts("rows@1", len(lengths), validation, lengths={"train": of_train})


@pytest.mark.parametrize("name", NAMES)
def test_a_base_is_known_by_its_shapes(facts: Facts, name: str) -> None:
    base = facts(name)
    family = presets.family_of(base)
    assert family is not None
    member = family.member(base.parameters)
    assert member is not None and member.name == name
    assert member.parameters == published.PUBLISHED[name][1]
    assert base.parameters == pytest.approx(member.parameters, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_its_modules_are_the_linear_layers_of_the_real_model(facts: Facts, name: str) -> None:
    """By their names in the library, but for the head and what no text passes through."""
    real = {
        full.rpartition(".")[2]
        for full, module in skeleton(name).named_modules()
        if isinstance(module, nn.Linear) and "vision" not in full and "lm_head" not in full
    }
    family = presets.family_of(facts(name))
    assert family is not None
    made = presets.preset(facts(name), quantised=True)
    listed = values(made)["lora.target_modules"]
    assert set(listed) == set(family.modules) == real
    trained = trained_tensors(presets.apply(RunConfig(), made), facts(name))
    linear = {w.module for w in facts(name).linear if not facts(name).beside_text(w)}
    assert trained.adapted == linear


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_figures_where_sources_disagree(facts: Facts, name: str, quantised: bool) -> None:
    made = presets.preset(facts(name), quantised=quantised)
    assert made.name == f"{name}-{'qlora' if quantised else 'lora'}"
    found = values(made)
    wanted = {
        "lora.rank": 16,
        "lora.alpha": 32,
        "training.schedule": "cosine",
        "training.warmup_ratio": 0.03,
        "training.learning_rate": 1e-4 if facts(name).parameters > 13.5e9 else 2e-4,
        "model.quantization": "nf4" if quantised else "none",
    }
    if quantised:
        wanted |= {"model.double_quantization": True, "model.compute_dtype": "bfloat16"}
    assert {path: found[path] for path in wanted} == wanted
    assert found["training.batch_size"] * found["training.accumulation"] == 16
    assert all(figure.source for figure in made.settings.values())
    config = presets.apply(RunConfig(), made)
    assert not presets.differences(config, made)


def test_every_published_recipe_is_for_a_size_that_is_known() -> None:
    for family in presets.FAMILIES:
        names = {member.name for member in family.members}
        assert {recipe.model for recipe in family.recipes} <= names, family.name


def test_the_figures_of_others_stand_beside_the_chosen_one(facts: Facts) -> None:
    rank = presets.preset(facts("qwen3-8b"), quantised=False).settings["lora.rank"]
    assert rank.value == 16
    assert "TRL" in rank.source and "AutoTrain" in rank.source
    for figure in ("64 (QLoRA)", "for qwen3-8b 8 (torchtune), 32 (Axolotl)"):
        assert figure in rank.others


def test_what_an_expert_knows_of_a_family_is_said(facts: Facts) -> None:
    for name, said in {
        "gemma-2-9b": "caps attention scores",
        "gemma-3-4b": "never float16",
        "phi-4": "qkv_proj",
        "llama-3-8b": "no padding token",
        "qwen3-8b": "<think>",
        "qwen3-30b-a3b": "bitsandbytes quantises linear layers",
        "smollm2-135m": "share their weights",
        "mistral-nemo-12b": "A vocabulary of 131,072",
    }.items():
        notes = presets.preset(facts(name), quantised=True).notes
        assert any(said in note.text for note in notes), name


def test_an_unknown_family_gets_the_general_preset_and_says_so(
    facts: Facts, tmp_path: Path
) -> None:
    folder = published.write(tmp_path / "other", EIGHT_B, skeleton(EIGHT_B))
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "model_type": "newfangled"}))
    made = presets.preset(BaseFacts.of(folder), quantised=False)
    assert made.name == "general-8b-lora"
    assert values(made)["lora.target_modules"] == "all-linear"
    assert "newfangled" in made.notes[0].text


def test_families_that_share_a_model_type_are_told_apart(facts: Facts) -> None:
    found = {name: presets.family_of(facts(name)) for name in NAMES}
    assert {n: f.name for n, f in found.items() if f and "llama" in f.model_types} == {
        "llama-3.2-1b": "llama-3",
        "llama-3.2-3b": "llama-3",
        "llama-3-8b": "llama-3",
        "llama-3-70b": "llama-3",
        "llama-2-13b": "llama-2",
        "smollm2-135m": "smollm",
        "smollm2-360m": "smollm",
        "smollm2-1.7b": "smollm",
    }


def test_the_cutoff_is_that_of_the_rows(facts: Facts) -> None:
    lengths = [100] * 970 + [700] * 25 + [5000] * 5
    rows = measured(lengths)
    made = presets.preset(facts(EIGHT_B), quantised=True, circumstances=around(80, rows))
    found = values(made)
    assert (found["data.max_length"], found["data.too_long"]) == (704, "drop")
    cost = next(note.text for note in made.notes if "over 704 tokens" in note.text)
    assert "are left out: 5 of 1,000, with 50 trained tokens (0.5%)" in cost
    assert "before the whole answer of 5" in cost
    config = presets.apply(RunConfig(), made)
    assert config.data.max_length == 704
    # No row is longer than the cutoff: none may be.
    short = presets.preset(facts(EIGHT_B), quantised=True, circumstances=around(80, measured([90])))
    assert values(short)["data.max_length"] == 128
    assert values(short)["data.too_long"] == "refuse"


def test_the_cutoff_is_no_longer_than_the_bases_context(facts: Facts) -> None:
    rows = measured([9000] * 200)
    made = presets.preset(facts("smollm2-135m"), quantised=False, circumstances=around(80, rows))
    assert values(made)["data.max_length"] == facts("smollm2-135m").context == 8192
    assert any("200 of 200" in note.text for note in made.notes)


def test_the_batch_is_what_the_forecast_has_room_for(facts: Facts) -> None:
    base = facts(EIGHT_B)
    for free, expected in ((80, (8, False)), (30, (2, False)), (19, (2, True))):
        known = around(free)
        made = presets.preset(base, quantised=False, circumstances=known)
        found = values(made)
        rows, again = found["training.batch_size"], found["training.gradient_checkpointing"]
        config = presets.apply(RunConfig(), made)
        assert _total(known, base, config) <= free * 2**30
        assert rows * found["training.accumulation"] == 16
        if rows < 8:
            more = loading.changed(config, "training.batch_size", str(2 * rows))
            assert _total(known, base, more) > free * 2**30
        if again:
            plain = loading.changed(config, "training.gradient_checkpointing", "false")
            plain = loading.changed(plain, "training.batch_size", "2")
            assert _total(known, base, plain) > free * 2**30
        assert (rows, again) == expected
    small = presets.preset(base, quantised=False, circumstances=around(8))
    assert values(small)["training.batch_size"] == 1
    assert any("It doesn't fit" in note.text and "QLoRA" in note.text for note in small.notes)


def _total(known: Circumstances, base: BaseFacts, config: RunConfig) -> int:
    found = Circumstances(known.machine, base).forecast(config)
    assert found is not None
    return found.total


def test_where_there_is_no_gpu_with_bfloat16_4_bits_compute_as_they_can(facts: Facts) -> None:
    known = around(80, gpu=False)
    figure = presets.preset(facts("smollm2-135m"), quantised=True, circumstances=known).settings[
        "model.compute_dtype"
    ]
    assert figure.value == "auto"
    assert "bfloat16 where there is one" in figure.source


def test_few_rows_are_said_to_be_few(facts: Facts) -> None:
    few = presets.preset(
        facts(EIGHT_B), quantised=False, circumstances=around(80, measured([100] * 320))
    )
    found = values(few)
    assert found["training.epochs"] == 3 and found["checkpoints.result"] == "best"
    assert found["evaluation.every"] == 5  # a quarter of 20 steps
    assert any("320 rows are few" in note.text for note in few.notes)
    many = DatasetFacts("rows@1", 50_000, 0)
    made = presets.preset(facts(EIGHT_B), quantised=False, circumstances=around(80, many))
    assert values(made)["training.epochs"] == 1
    assert "evaluation.every" not in values(made)
    assert "checkpoints.every" not in values(made)


def test_a_long_run_has_checkpoints_and_several_epochs_keep_the_best_step(facts: Facts) -> None:
    rows = DatasetFacts("rows@1", 8_000, 200)
    long = values(presets.preset(facts(EIGHT_B), quantised=False, circumstances=around(80, rows)))
    assert long["checkpoints.every"] == long["evaluation.every"] == 125  # a quarter of 500 steps
    assert long["checkpoints.result"] == "best"
    rows = DatasetFacts("rows@1", 50_000, 200)
    once = values(presets.preset(facts(EIGHT_B), quantised=False, circumstances=around(80, rows)))
    assert once["checkpoints.every"] == 781
    assert "checkpoints.result" not in once


@pytest.mark.parametrize("task", presets.TASKS)
def test_a_task_changes_what_it_says(facts: Facts, task: str) -> None:
    plain = presets.preset(facts(EIGHT_B), quantised=False)
    made = presets.preset(facts(EIGHT_B), quantised=False, task=task)
    changed = presets.TASKS[task].settings
    assert made.name == f"{plain.name}-{task}"
    assert changed.keys() <= made.settings.keys()
    for path, figure in changed.items():
        assert made.settings[path] == figure
        assert figure.source
    for path, figure in plain.settings.items():
        if path not in changed and path not in ("training.batch_size", "training.accumulation"):
            assert made.settings[path].value == figure.value, path
    config = presets.apply(RunConfig(), made)
    assert config.lora.alpha == 2 * config.lora.rank


def test_a_task_never_raises_the_learning_rate(facts: Facts) -> None:
    made = presets.preset(facts("llama-3-70b"), quantised=True, task="domain-adaptation")
    assert "above 13B" in made.settings["training.learning_rate"].source
    with pytest.raises(WorkbenchError, match="no task poetry"):
        presets.preset(facts(EIGHT_B), quantised=True, task="poetry")


def test_the_longest_answer_follows_from_the_answers(facts: Facts) -> None:
    rows = measured([300] * 100, answer=50)
    made = presets.preset(
        facts(EIGHT_B), quantised=False, task="extraction", circumstances=around(80, rows)
    )
    assert values(made)["evaluation.max_new_tokens"] == 256  # 4 x 50, up to a multiple of 64


def test_a_preset_goes_over_a_config_and_back(facts: Facts) -> None:
    mine = loading.default_config(["lora.rank=99", "training.seed=7", "training.micro_batch=2"])
    qlora = presets.preset(facts(EIGHT_B), quantised=True)
    found = {d.path: d for d in presets.differences(mine, qlora)}
    assert (found["lora.rank"].now, found["lora.rank"].preset) == (99, 16)
    assert found["lora.rank"].source
    config = presets.apply(mine, qlora)
    assert (config.lora.rank, config.training.seed) == (16, 7)
    assert config.training.micro_batch is None
    back = presets.apply(config, presets.preset(facts(EIGHT_B), quantised=False))
    assert back.model.quantization == "none" and back.model.compute_dtype == "auto"


def test_what_cant_be_had_with_a_preset_is_refused_by_its_field(facts: Facts) -> None:
    mine = loading.default_config(["lora.initialisation=pissa"])
    with pytest.raises(ConfigError) as told:
        presets.apply(mine, presets.preset(facts(EIGHT_B), quantised=True))
    assert [problem.path for problem in told.value.problems] == ["lora.initialisation"]


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in NAMES
        if published.PUBLISHED[n][0] not in ("gemma3", "phi", "qwen3_moe", "mixtral")
    ],
)
def test_config_json_alone_tells_the_shapes(facts: Facts, tmp_path: Path, name: str) -> None:
    found = facts_of(published.write(tmp_path / name, name))
    assert found.parameters == facts(name).parameters
    assert found.tied == facts(name).tied
    assert {w.name for w in found.linear} == {w.name for w in facts(name).linear}


def test_what_config_json_doesnt_tell_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="doesn't say how large"):
        facts_of(published.write(tmp_path / "a", "qwen3-30b-a3b"))


def test_the_page_is_that_of_the_tables(cli: Cli) -> None:
    page = Path(__file__).parents[2] / "docs" / "presets.md"
    assert page.read_text(encoding="utf-8") == markdown(), "workbench config presets --markdown"
    assert cli("config", "presets", "--markdown").stdout == markdown()


def test_the_verb_lists_and_shows(cli: Cli, tmp_path: Path) -> None:
    base = published.write(tmp_path / "qwen", "qwen3-8b", skeleton("qwen3-8b"))
    listed = cli("config", "presets")
    assert listed.returncode == 0, listed.stderr
    for said in ("qwen3-8b", "smollm2-135m", "domain-adaptation"):
        assert said in listed.stdout
    shown = cli("config", "presets", "--base", str(base), "--task", "extraction")
    assert shown.returncode == 0, shown.stderr
    for said in ("qwen3-8b-lora-extraction", "as qwen3-8b-lora-extraction, but for", "Exact match"):
        assert said in shown.stdout
    body = json.loads(cli("config", "presets", "--base", str(base), "--json").stdout)
    assert [made["name"] for made in body["presets"]] == ["qwen3-8b-lora", "qwen3-8b-qlora"]
    assert body["presets"][1]["settings"]["model.quantization"]["source"].startswith("QLoRA")
    wrong = cli("config", "presets", "--base", "./nowhere")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


def test_a_new_config_is_made_from_a_preset(cli: Cli, workspace: Any, tmp_path: Path) -> None:
    base = published.write(tmp_path / "phi", "phi-3-mini", skeleton("phi-3-mini"))
    made = cli(
        *("config", "new", "mine", "--preset", "qlora", "--base", str(base)),
        *("--task", "extraction", "--set", "lora.rank=4", "--set", "training.seed=3"),
    )
    assert made.returncode == 0, made.stderr
    assert "phi-3-mini-qlora-extraction" in made.stdout
    path = workspace.configs / "mine.yaml"
    config = loading.load(path)
    assert (config.name, config.model.base) == ("mine", str(base))
    assert (config.lora.rank, config.lora.alpha, config.training.seed) == (4, 16, 3)
    assert config.lora.target_modules == ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("  quantization:"))
    assert lines[place - 1].startswith("  # QLoRA, 2023")
    # What is set by hand has no source.
    place = next(n for n, line in enumerate(lines) if line.startswith("  rank:"))
    assert lines[place - 1] == "lora:"
    refused = cli("config", "new", "other", "--task", "extraction")
    assert refused.returncode == 2 and "--task goes with --preset" in refused.stderr
