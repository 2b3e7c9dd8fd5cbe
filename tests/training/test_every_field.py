"""No field of the config is accepted and ignored: each is seen to change what a run does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import CPU, adapter, build, configure, curve, events, examples, run
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.jobs.events import (
    Answered,
    CheckpointSaved,
    Evaluated,
    Notice,
    Progress,
    Rehearsed,
    Step,
)
from workbench.jobs.log import LogWriter
from workbench.training import job, model
from workbench.training.encoding import encode
from workbench.training.ranks import ALONE, Ranks
from workbench.workspace import Workspace

OF_TRAINING: dict[str, Any] = {
    "model.dtype": "bfloat16",
    "model.quantization": "nf4",
    "model.new_tokens": ["<|step|>"],
    "lora.rank": 8,
    "lora.alpha": 32,
    "lora.dropout": 0.5,
    "lora.target_modules": "attention",
    "lora.rslora": True,
    "lora.dora": True,
    "lora.plus_ratio": 16.0,
    "lora.initialisation": "gaussian",
    "lora.modules_to_save": ["input_layernorm"],
    "lora.dtype": "bfloat16",
    "training.method": "full",
    "training.epochs": 2.0,
    "training.max_steps": 2,
    "training.batch_size": 3,
    "training.accumulation": 3,
    "training.step_tokens": 100,
    "training.micro_batch": 1,
    "training.micro_batch_tokens": 100,
    "training.packing": False,
    "training.learning_rate": 5e-3,
    "training.schedule": "linear",
    "training.warmup_ratio": 0.5,
    "training.warmup_steps": 3,
    "training.optimizer": "lion",
    "training.weight_decay": 0.5,
    "training.max_gradient_norm": 0.01,
    "training.neftune_alpha": 10.0,
    "training.rehearsal": False,
    "training.seed": 1,
    "evaluation.every": 2,
    "evaluation.sample_tokens": 3,
    "evaluation.batch_size": 1,
    "checkpoints.every": 1,
    "checkpoints.keep": 1,
    "logging.every": 2,
    "logging.without_prompt": False,
}
"""Fields that a loop shows, each with another value than that of the base run."""
WITH: dict[str, dict[str, Any]] = {
    # What these say counts only beside another field.
    "training.epochs": {"training.max_steps": None},
    "checkpoints.keep": {"checkpoints.every": 1},
}
ELSEWHERE = {
    "name": "tests/tracking/test_runs.py",
    "accept": "tests/training/test_gate.py",
    "logging.tensorboard": "tests/trackers/test_tensorboard.py",
    "model.base": "tests/tracking/test_inputs.py",
    "model.double_quantization": "tests/training/test_qlora.py",
    "model.compute_dtype": "tests/training/test_qlora.py",
    "model.upcast": "tests/training/test_qlora.py",
    "data.dataset": "tests/training/test_encoding.py",
    "data.mixture": "tests/tracking/test_mixtures.py",
    "data.mixture_rows": "tests/tracking/test_mixtures.py",
    "data.train_rows": "tests/training/test_encoding.py",
    "data.validation_rows": "tests/training/test_encoding.py",
    "training.gradient_checkpointing": "below",
    "training.skip_limit": "below",
    "training.compile": "below",
    "evaluation.patience": "tests/training/test_best.py",
    "evaluation.samples": "below",
    "evaluation.sample_prompts": "tests/training/test_validation.py",
    "evaluation.against": "tests/training/test_gate.py",
    "evaluation.generate_rows": "tests/training/test_results.py",
    "evaluation.max_new_tokens": "tests/evaluation/test_evaluation_job.py",
    "evaluation.metrics": "tests/evaluation/test_evaluation_job.py",
    "evaluation.labels": "tests/evaluation/test_choosing.py",
    "evaluation.pattern": "tests/evaluation/test_choosing.py",
    "checkpoints.result": "tests/training/test_best.py",
    "data.max_length": "below",
    "data.too_long": "below",
    "job.processes": "tests/training/test_several_processes.py",
    "job.sharding": "tests/training/test_several_processes.py",
    "job.accelerate_config": "tests/training/test_several_processes.py",
    "job.restarts": "tests/jobs/test_care.py",
    "job.restart_after": "tests/jobs/test_care.py",
    "job.stall_after": "tests/jobs/test_watchdog.py",
    "job.on_stall": "tests/jobs/test_care.py",
    "job.gpus": "tests/queue/test_choice.py",
    "job.gpu_memory": "tests/queue/test_choice.py",
}
"""Fields that another test sees, and which."""


def test_every_field_is_looked_at() -> None:
    paths = [field.path for field in loading.fields()]
    assert sorted([*OF_TRAINING, *ELSEWHERE]) == sorted(paths)
    root = Path(__file__).parents[2]
    for path, place in ELSEWHERE.items():
        text = (Path(__file__) if place == "below" else root / place).read_text()
        # Its own entry in this file's table is no test.
        uses = text.count(path.rpartition(".")[2]) - (1 if place == "below" else 0)
        assert uses > 0, f"{place} has nothing of {path}"


def configured(base: Path, settings: dict[str, Any]) -> RunConfig:
    body = configure(base, training={"accumulation": 2, "max_steps": 4, "batch_size": 2})
    body = body.model_dump()
    for path, value in settings.items():
        section, _, name = path.partition(".")
        body[section] = {**body[section], name: value}
    return RunConfig.model_validate(body)


def seen(folder: Path, base: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a person can see of a run: its log, its adapter, what it keeps."""
    loop, outcome = run(folder, configured(base, settings), samples=True)
    digest = hashlib.sha256()
    for name, weight in sorted(adapter(loop).items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.float().numpy().tobytes())
    return {
        "curve": curve(folder),
        "rates": [step.learning_rate for step in events(folder, Step)],
        "adapter": digest.hexdigest(),
        "steps": outcome.step,
        "evaluated": [e.step for e in events(folder, Evaluated)],
        "validation": [p.done for p in events(folder, Progress) if p.phase == "validation"],
        "without prompts": (folder / "without_prompt.jsonl").exists(),
        "answers": [a.answer for a in events(folder, Answered)],
        "saved": [(c.step, c.reason) for c in events(folder, CheckpointSaved)],
        "kept": sorted(path.name for path in (folder / "checkpoints").iterdir()),
        "rehearsed": [(r.rows, r.tokens) for r in events(folder, Rehearsed)],
        "notices": [notice.text for notice in events(folder, Notice)],
    }


@pytest.fixture(scope="module")
def as_it_is(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return seen(tmp_path_factory.mktemp("plain"), _tiny_model, {})


def test_the_same_config_twice_is_the_same_run(
    tmp_path: Path, base: Path, as_it_is: dict[str, Any]
) -> None:
    assert seen(tmp_path, base, {}) == as_it_is


@pytest.mark.filterwarnings("ignore:Paged optimizers")
@pytest.mark.parametrize("path", OF_TRAINING)
def test_a_field_changes_what_a_run_does(
    tmp_path: Path, base: Path, as_it_is: dict[str, Any], path: str
) -> None:
    beside = WITH.get(path, {})
    plain = seen(tmp_path / "beside", base, beside) if beside else as_it_is
    changed = seen(tmp_path / "changed", base, {**beside, path: OF_TRAINING[path]})
    assert [name for name in plain if plain[name] != changed[name]] != []


def test_recomputed_activations_change_nothing_but_what_is_kept_in_memory(
    tmp_path: Path, base: Path, as_it_is: dict[str, Any]
) -> None:
    """Which is seen in how often a layer's forward runs: once more a backward pass."""
    calls = {}
    for checkpointing in (False, True):
        count = 0

        def note(*_: Any) -> None:
            nonlocal count
            count += 1

        handle = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, *_: note() if type(module).__name__ == "LlamaMLP" else None
        )
        settings = {"training.gradient_checkpointing": checkpointing}
        result = seen(tmp_path / str(checkpointing), base, settings)
        handle.remove()
        calls[checkpointing] = count
        assert result["curve"] == as_it_is["curve"]
    assert calls[True] > calls[False]


@pytest.mark.parametrize(("too_long", "rows"), [("drop", 6), ("truncate", 8)])
def test_the_longest_row_and_what_is_done_with_longer_ones(
    base: Path, too_long: str, rows: int
) -> None:
    template = ChatTemplate.load(base)
    whole = encode(examples(8), template, configured(base, {}).data)
    limit = sorted(len(row) for row in whole.rows)[5]
    data = configured(base, {"data.max_length": limit, "data.too_long": too_long}).data
    found = encode(examples(8), template, data)
    assert len(found.rows) == rows and all(len(row) <= limit for row in found.rows)
    assert found.account.too_long.count + found.account.cut == 2
    refusing = data.model_copy(update={"too_long": "refuse"})
    with pytest.raises(WorkbenchError, match=r"longer than data\.max_length"):
        encode(examples(8), template, refusing)


def test_the_limit_of_skipped_steps_is_the_configs(tmp_path: Path, base: Path) -> None:
    config = configured(base, {"training.skip_limit": 1, "checkpoints.every": 1})
    wild = config.training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(Exception, match="step 2 is not a number\\."):
        run(tmp_path, config.model_copy(update={"training": wild}))


def test_what_is_compiled_are_the_decoder_layers(tmp_path: Path, base: Path) -> None:
    """Only marked here: to compile them takes a compiler and a minute."""
    settings = {"training.compile": True, "training.rehearsal": False}
    loop = build(tmp_path, configured(base, settings))
    compiled = {
        type(module).__name__
        for module in loop.model.modules()
        if module._compiled_call_impl is not None
    }
    assert compiled == {"LlamaDecoderLayer"}


def test_as_many_rows_are_answered_as_the_config_says(
    tmp_path: Path, base: Path, workspace: Workspace, write_rows: Callable[..., Path]
) -> None:
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(20))
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.5))
    asked = {}
    for count in (0, 1, 3):
        config = configured(base, {"evaluation.samples": count})
        with LogWriter(tmp_path / f"{count}.jsonl") as log:
            template = ChatTemplate.load(base)
            found = job._samples(workspace.runs / "any", config, template, log, ALONE)
        loaded = model.load_base(base, config.model, CPU)
        asked[count] = [answer.row for answer in found.answers(0, loaded)]
    assert [len(rows) for rows in asked.values()] == [0, 1, 3]
    assert asked[1] == asked[3][:1]
    with LogWriter(tmp_path / "second.jsonl") as log:
        second = Ranks(number=1, count=2)
        found = job._samples(workspace.runs / "any", config, template, log, second)
    assert found.answers(0, loaded) == [], "the first rank alone answers"
