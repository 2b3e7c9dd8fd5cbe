"""Whole runs: as a process of their own where the process is the point, else in this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from tests.conftest import Cli
from tests.training.harness import Commands, configure, events
from workbench.config import loading
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation.job import evaluate
from workbench.evaluation.request import read_scores
from workbench.export.merge import merge
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import Evaluated, Notice, Progress, Started, Step
from workbench.jobs.log import LogWriter, read_all
from workbench.jobs.state import JobState, describe
from workbench.tracking import manifest, runs
from workbench.training.job import train
from workbench.workspace import Workspace

Make = Callable[..., Path]


@pytest.fixture
def make(workspace: Workspace, write_rows: Callable[..., Path], base: Path) -> Make:
    """Creates a run over 20 rows, and some of plain text, that isn't started yet."""
    rows = [
        {"prompt": f"Say {'very ' * (n % 5)}{n}", "completion": f"it is {n}"} for n in range(20)
    ]

    def create(share: float = 0.2, texts: int = 0, asking: int = 20, **sections: Any) -> Path:
        laws = [{"text": f"Law {n}: nobody shall {'ever ' * (n % 3)}{n}."} for n in range(texts)]
        path = write_rows(*rows[:asking], *laws)
        import_files(workspace, [path], "sample", Options(validation_share=share))
        config = configure(base, **sections)
        return runs.create(workspace, config, command="test", say=lambda text: None)

    return create


def here(folder: Path) -> Path:
    """Train in this process."""
    with LogWriter(folder / runs.LOG) as log:
        log.write(train(folder, log, Control()))
    return folder


def test_rows_that_are_too_long_stop_the_start_in_words(make: Make, cli: Cli) -> None:
    folder = make(data={"max_length": 40})
    result = cli("train", "--resume", folder.name, "--wait")
    assert result.returncode == 2
    assert "longer than data.max_length (40 tokens)" in result.stderr
    assert "rows.jsonl:" in result.stderr and "Traceback" not in result.stderr
    assert describe(folder)[0] == "failed"
    state = JobState.read(folder)
    assert state is not None and state.cause == "bad_row" and "too_long" in state.hint


def test_a_token_without_an_embedding_stops_the_start_in_words(
    make: Make, tiny_model: Path
) -> None:
    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    whole.resize_token_embeddings(258)
    whole.save_pretrained(tiny_model)
    folder = make(model={"base": str(tiny_model)}, training={"max_steps": 1})
    with pytest.raises(WorkbenchError) as told:
        here(folder)
    said = "token 258, '<|im_end|>', has no embedding, of which there are 258"
    assert said in told.value.message
    assert "model.new_tokens" in told.value.hint and told.value.exit_code == 2


def test_the_token_of_padding_needs_an_embedding_too(make: Make, tiny_model: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.add_special_tokens(["<none>"])
    tokenizer.save(str(tiny_model / "tokenizer.json"))
    settings = tiny_model / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("<|pad|>", "<none>"))
    folder = make(model={"base": str(tiny_model)}, training={"max_steps": 1})
    with pytest.raises(WorkbenchError, match="token 259, '<none>', has no embedding"):
        here(folder)


def test_rows_that_are_left_out_are_told(make: Make) -> None:
    folder = here(make(data={"max_length": 48, "too_long": "drop"}, training={"max_steps": 1}))
    (started,) = events(folder, Started)
    notices = [n.text for n in events(folder, Notice)]
    assert any("training rows over 48 tokens are left out" in text for text in notices)
    assert 0 < started.train_rows < 16


def test_rows_are_cut_and_a_run_over_them_is_evaluated_and_merged(
    make: Make, tmp_path: Path
) -> None:
    data = {"max_length": 42, "too_long": "truncate"}
    folder = here(make(0.5, data=data, accept=["responses-lost"], training={"max_steps": 1}))
    (started,) = events(folder, Started)
    notices = [n.text for n in events(folder, Notice)]
    assert any("training rows were cut at 42 tokens" in text for text in notices)
    assert any("lost the whole response at 42 tokens" in text for text in notices)
    assert 0 < started.train_rows < 10
    first, _ = events(folder, Evaluated)
    scores = evaluated(folder)
    assert scores["trained_tokens"] == first.trained_tokens
    assert scores["systems"]["base"]["loss"]["value"] == pytest.approx(first.loss, rel=1e-5)
    target = tmp_path / "merged"
    (folder / "request.json").write_text(json.dumps({"run": str(folder), "target": str(target)}))
    with LogWriter(folder / "events.jsonl") as log:
        merge(folder, log, Control())
    certificate = json.loads((target / "certificate.json").read_text())
    assert certificate["prompts"] == 8 and certificate["positions"] <= 8 * 42


@pytest.mark.parametrize("asking", [20, 0])
def test_plain_text_is_trained_and_its_loss_counts_but_it_answers_nothing(
    make: Make, asking: int
) -> None:
    folder = here(make(0.5, texts=12, asking=asking, training={"max_steps": 1}))
    version = versions.resolve(Workspace(folder.parent.parent), "sample")
    held_out = list(versions.read(version, "validation"))
    talks = [example for example in held_out if not example.text]
    assert bool(talks) == bool(asking) and len(talks) < len(held_out)
    scores = evaluated(folder, rows=100)
    assert scores["rows"]["loss"] == len(held_out) and scores["rows"]["answers"] == len(talks)
    lines = (folder / "evaluations" / "01" / "outputs.jsonl").read_text().splitlines()
    assert [json.loads(line)["reference"] for line in lines] == [e.response for e in talks]


def test_a_run_without_a_row_that_fits_is_refused(make: Make) -> None:
    with pytest.raises(WorkbenchError, match="no row to train on"):
        here(make(data={"max_length": 16, "too_long": "drop"}))


def test_a_run_without_a_validation_split_says_so(make: Make) -> None:
    folder = here(make(0.0, training={"max_steps": 1}))
    assert any("no validation split" in n.text for n in events(folder, Notice))
    assert events(folder, Evaluated) == []


def test_train_rows_and_validation_rows_are_kept_to(make: Make) -> None:
    folder = here(make(data={"train_rows": 7, "validation_rows": 2}, training={"max_steps": 1}))
    (started,) = events(folder, Started)
    assert (started.train_rows, started.validation_rows) == (7, 2)


def test_the_start_tells_what_is_trained(make: Make) -> None:
    folder = here(make(training={"max_steps": 2}))
    (started,) = events(folder, Started)
    # Rank 4 on 7 linear layers of 2 blocks: 4 * (inputs + outputs) each, by hand.
    shapes = [(64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)]
    assert started.trainable_parameters == 2 * 4 * sum(a + b for a, b in shapes)
    assert started.total_steps == 2 and started.dtype == "float32"
    assert started.device.startswith("CPU")


def test_the_adapter_has_what_it_takes_to_use_it(make: Make, base: Path) -> None:
    folder = here(make(training={"max_steps": 1}, model={"quantization": "nf4", "dtype": "auto"}))
    names = {path.name for path in (folder / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names
    assert "chat_template.jinja" in names
    body = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert body["r"] == 4 and body["base_model_name_or_path"] == str(base)
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 2 * 7
    assert all(t.dtype == torch.float32 and "lora_" in name for name, t in tensors.items())
    assert "adapter_model.safetensors" in manifest.read(folder)["adapter"]


def test_an_adapter_of_a_4_bit_base_is_merged_into_the_whole_base(
    make: Make, tmp_path: Path
) -> None:
    folder = here(make(training={"max_steps": 2}, model={"quantization": "nf4", "dtype": "auto"}))
    export = folder / "exports" / "merge-01"
    export.mkdir(parents=True)
    target = tmp_path / "merged"
    (export / "request.json").write_text(json.dumps({"run": str(folder), "target": str(target)}))
    with LogWriter(export / "events.jsonl") as log:
        merge(export, log, Control())
    certificate = json.loads((target / "certificate.json").read_text())
    assert certificate["trained_on_quantized_base"] is True
    assert certificate["largest_logit_difference"] < 1e-4
    tensors = load_file(target / "model.safetensors")
    assert not any(t.dtype == torch.uint8 for t in tensors.values())


def test_an_evaluation_of_a_4_bit_run_gives_the_loss_that_training_ended_with(make: Make) -> None:
    nf4 = {"quantization": "nf4", "dtype": "auto"}
    folder = here(make(training={"max_steps": 4}, model=nf4))
    systems = evaluated(folder)["systems"]
    first, last = events(folder, Evaluated)
    assert systems["base"]["loss"]["value"] == pytest.approx(first.loss, rel=1e-5)
    assert systems["adapter"]["loss"]["value"] == pytest.approx(last.loss, rel=1e-5)


def test_an_evaluation_without_a_row_that_fits_is_refused(make: Make) -> None:
    folder = here(make(training={"max_steps": 1}))
    config = runs.load_config(folder)
    short = config.data.model_copy(update={"max_length": 16, "too_long": "drop"})
    loading.save(config.model_copy(update={"data": short}), folder / runs.CONFIG)
    with pytest.raises(WorkbenchError, match=r"Every validation row is over data\.max_length"):
        evaluated(folder)


def test_answers_are_asked_of_rows_that_are_in_the_loss(make: Make) -> None:
    folder = here(make(0.5, data={"max_length": 48, "too_long": "drop"}, training={"max_steps": 1}))
    version = versions.resolve(Workspace(folder.parent.parent), "sample")
    held_out = list(versions.read(version, "validation"))
    template = ChatTemplate.load(Path(runs.load_config(folder).model.base))
    scores = evaluated(folder, rows=100)
    assert scores["rows"]["answers"] == scores["rows"]["loss"] < len(held_out)
    lines = (folder / "evaluations" / "01" / "outputs.jsonl").read_text().splitlines()
    for answered in map(json.loads, lines):
        example = held_out[int(answered["key"].removeprefix("validation-"))]
        assert answered["source"] == example.source
        assert len(template.encode(example).ids) <= 48


def test_what_is_asked_while_a_run_gets_ready_is_heard(make: Make, tmp_path: Path) -> None:
    """A stop ends it before its base is loaded; the rest is for the loop."""
    folder = make(training={"max_steps": 4})
    commands = Commands(tmp_path)
    commands.send("stop")
    with LogWriter(folder / runs.LOG) as log, pytest.raises(Stopped):
        train(folder, log, commands.control)
    assert [p.phase for p in events(folder, Progress)] == ["hashing the data and the base model"]
    commands.send("set_interval", value=2)
    commands.send("evaluate_now")
    with LogWriter(folder / runs.LOG) as log:
        train(folder, log, commands.control)
    assert [e.step for e in events(folder, Evaluated)] == [0, 1, 4]
    # The evaluation ends the first interval early.
    assert [(s.step, s.steps) for s in events(folder, Step)] == [(1, 1), (3, 2), (4, 1)]


def test_a_stopped_evaluation_ends_after_a_batch_without_scores(make: Make, tmp_path: Path) -> None:
    folder = here(make(0.5, training={"max_steps": 1}, evaluation={"batch_size": 1}))
    commands = Commands(tmp_path)
    commands.send("stop")
    with pytest.raises(Stopped):
        evaluated(folder, control=commands.control)
    done = read_all(folder / "evaluations" / "01" / "events.jsonl")
    phases = [r.event.phase for r in done if isinstance(r.event, Progress)]
    assert phases == ["encoding the rows"]
    with pytest.raises(WorkbenchError, match="has not finished"):
        read_scores(folder / "evaluations" / "01")


def test_a_merge_is_compared_on_rows_that_fit(make: Make, tmp_path: Path) -> None:
    folder = here(make(0.5, data={"max_length": 48, "too_long": "drop"}, training={"max_steps": 1}))
    target = tmp_path / "merged"
    (folder / "request.json").write_text(json.dumps({"run": str(folder), "target": str(target)}))
    with LogWriter(folder / "events.jsonl") as log:
        merge(folder, log, Control())
    certificate = json.loads((target / "certificate.json").read_text())
    template = ChatTemplate.load(Path(runs.load_config(folder).model.base))
    version = versions.resolve(Workspace(folder.parent.parent), "sample")
    held_out = [len(template.encode(row).ids) for row in versions.read(version, "validation")]
    assert max(held_out[:8]) > 48
    fits = [length for length in held_out if length <= 48][:8]
    assert certificate["prompts"] == len(fits) and certificate["positions"] == sum(fits) > 0


def test_a_stopped_merge_makes_no_folder(make: Make, tmp_path: Path) -> None:
    folder = here(make(training={"max_steps": 1}))
    target = tmp_path / "merged"
    (folder / "request.json").write_text(json.dumps({"run": str(folder), "target": str(target)}))
    commands = Commands(tmp_path)
    commands.send("stop")
    with LogWriter(folder / "events.jsonl") as log, pytest.raises(Stopped):
        merge(folder, log, commands.control)
    assert not target.exists()


def evaluated(run: Path, rows: int = 1, control: Control | None = None) -> dict[str, Any]:
    """Evaluate in this process."""
    folder = run / "evaluations" / "01"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps({"rows": rows, "max_new_tokens": 2}))
    with LogWriter(folder / "events.jsonl") as log:
        evaluate(folder, log, control or Control())
    return read_scores(folder)
