from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.trained import SECRET, Trained
from workbench import cli
from workbench.config.schema import RunConfig
from workbench.data.importing import import_files
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import sha256_file
from workbench.jobs import launch
from workbench.jobs.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Foretold,
    Rehearsed,
    Started,
    Step,
)
from workbench.jobs.log import LogWriter, read_all
from workbench.jobs.state import JobState, start_ticks
from workbench.reporting import report
from workbench.text import size
from workbench.tracking import finding, manifest, runs
from workbench.workspace import Workspace

STARTED = Started(9000, 9.0, 90, 10, 12345, 1000, 9999, "CPU", "float32")

Make = Callable[..., Path]


@pytest.fixture
def dataset(workspace: Workspace, write_rows: Callable[..., Path]) -> Version:
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(10))
    return import_files(workspace, [write_rows(*rows)], "numbers")


@pytest.fixture
def make(workspace: Workspace, dataset: Version, tiny_model: Path) -> Make:
    """Creates a run that isn't started, with a log of the given events."""

    def create(name: str = "small", *events: Event) -> Path:
        config = RunConfig.model_validate(
            {"name": name, "model": {"base": str(tiny_model)}, "data": {"dataset": "numbers"}}
        )
        folder = runs.create(workspace, config, command="workbench train x", say=lambda text: None)
        with LogWriter(folder / runs.LOG) as log:
            for event in events:
                log.write(event)
        return folder

    return create


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def step(number: int, loss: float = 2.0) -> Step:
    return Step(number, number / 1000, loss, 1e-4, 0.5, 100, 50, 0.25)


def test_ids_count_all_runs_of_the_workspace(make: Make) -> None:
    names = [make(name).name for name in ("small", "big", "small", "big-2")]
    assert names == ["small-0001", "big-0002", "small-0003", "big-2-0004"]


def test_a_removed_run_does_not_give_its_number_to_an_older_one(make: Make) -> None:
    make()
    shutil.rmtree(make())
    assert make("other").name == "other-0002"
    assert make().name == "small-0003"


def test_runs_are_listed_the_newest_first(make: Make, workspace: Workspace) -> None:
    made = [make(name).name for name in ("c", "a", "b")]
    (workspace.runs / "no-run-9999").mkdir()
    listed = runs.list_runs(workspace)
    assert [run.id for run in listed] == made[::-1]
    assert {run.status for run in listed} == {"not started"}
    assert finding.running(workspace) == []


def test_the_latest_run_is_one_that_goes_on_before_one_that_only_waits(
    workspace: Workspace, make: Make
) -> None:
    ended, going_on, waiting = make(), make(), make()
    pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
    of_this_process = JobState("running", runs.LOG, pid, ticks, pid, ticks, "", 0.0)
    of_this_process.write(going_on)
    replace(of_this_process, status="stopped", ended=1.0).write(ended)
    assert runs.find(workspace) == going_on
    replace(of_this_process, status="stopped", ended=1.0).write(going_on)
    assert runs.find(workspace) == going_on
    (going_on / "state.json").unlink()
    assert runs.find(workspace) == ended
    (ended / "state.json").unlink()
    assert runs.find(workspace) == waiting


def test_a_run_is_found_by_id_by_its_start_and_as_the_latest(
    make: Make, workspace: Workspace
) -> None:
    first, second, third = make("alpha"), make("beta"), make("alpha")
    assert runs.find(workspace, "alpha-0001") == first
    assert runs.find(workspace, "be") == second
    assert runs.find(workspace) == runs.find(workspace, "latest") == third


def test_a_run_that_is_not_there_is_answered_with_the_nearest(
    make: Make, workspace: Workspace
) -> None:
    with pytest.raises(WorkbenchError, match="no runs"):
        runs.find(Workspace(workspace.root / "empty"))
    make("alpha")
    make("beta")
    make("alpha")
    with pytest.raises(WorkbenchError, match="no run alpah-0001") as missing:
        runs.find(workspace, "alpah-0001")
    assert "alpha-0001" in missing.value.hint
    with pytest.raises(WorkbenchError, match="Several runs start with alpha") as several:
        runs.find(workspace, "alpha")
    assert "alpha-0001" in several.value.hint and "alpha-0003" in several.value.hint
    assert "beta" not in several.value.hint


def test_a_run_without_a_dataset_or_a_base_is_refused_and_leaves_nothing(
    workspace: Workspace, dataset: Version, tiny_model: Path
) -> None:
    for section in (
        {"model": {"base": str(tiny_model)}},
        {"model": {"base": str(tiny_model)}, "data": {"dataset": "unknown"}},
        {"model": {"base": str(tiny_model / "nowhere")}, "data": {"dataset": "numbers"}},
    ):
        with pytest.raises(WorkbenchError):
            config = RunConfig.model_validate(section)
            runs.create(workspace, config, command="", say=lambda text: None)
    assert list(workspace.runs.glob("*")) == []


@pytest.mark.parametrize("part", [None, "text_config"])
def test_a_base_that_was_saved_quantised_is_refused_before_a_run_is_made(
    workspace: Workspace, dataset: Version, tiny_model: Path, part: str | None
) -> None:
    path = tiny_model / "config.json"
    body, how = json.loads(path.read_text()), {"quantization_config": {"quant_method": "gptq"}}
    path.write_text(json.dumps({**body, part: how} if part else {**body, **how}))
    config = RunConfig.model_validate(
        {"model": {"base": str(tiny_model)}, "data": {"dataset": "numbers"}}
    )
    with pytest.raises(WorkbenchError, match=r"is quantised already \(gptq\)") as refusal:
        runs.create(workspace, config, command="", say=lambda text: None)
    assert "model.quantization nf4" in refusal.value.hint
    assert list(workspace.runs.glob("*")) == []


def test_a_run_and_its_evaluation_ask_no_hub(trained_run: Trained) -> None:
    """In their environment from the first import on: later nobody looks at it any more."""
    for folder in (trained_run.run, trained_run.evaluation):
        told = subprocess.run(
            [sys.executable, "-c", "import huggingface_hub as h; print(h.is_offline_mode())"],
            env={"PYTHONPATH": os.pathsep.join(sys.path), **launch.read_job(folder).environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout == "True\n"


def test_the_config_of_a_run_names_rows_and_base_for_good(
    workspace: Workspace,
    dataset: Version,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    config = RunConfig.model_validate(
        {"model": {"base": "tiny-model"}, "data": {"dataset": "numbers"}}
    )
    folder = runs.create(workspace, config, command="", say=lambda text: None)
    kept = runs.load_config(folder)
    assert kept.data.dataset == dataset.reference
    assert kept.model.base == str(tiny_model)


def test_the_line_that_repeats_a_run_does_so_from_anywhere(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = Workspace(tmp_path / "my work").runs / "small-0001"
    line = runs.repeating(folder)
    root = str(tmp_path / "my work")
    wanted = ["workbench", "runs", "repeat", "small-0001", "--workspace", root]
    assert shlex.split(line) == wanted
    args = cli._parser_of_verbs().parse_args(wanted[1:])
    assert (args.reference, args.workspace) == ("small-0001", root)


def test_a_run_that_was_asked_for_on_a_screen_has_no_typed_command(
    workspace: Workspace, dataset: Version, tiny_model: Path
) -> None:
    config = RunConfig.model_validate(
        {"model": {"base": str(tiny_model)}, "data": {"dataset": "numbers"}}
    )
    made = manifest.read(runs.create(workspace, config, command=None, say=lambda text: None))
    assert (made["command"], made["working_folder"]) == (None, None)
    assert made["repeat"].startswith("workbench runs repeat run-0001 --workspace /")


def test_a_disk_that_is_full_leaves_no_half_made_run(
    make: Make, workspace: Workspace, small_disk: Path
) -> None:
    make()
    shutil.copytree(workspace.root, small_disk / "ws")
    full = Workspace(small_disk / "ws")
    config = runs.load_config(runs.find(full))
    fill = small_disk / "fill"
    with suppress(OSError), fill.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    with pytest.raises(WorkbenchError, match="the disk is full"):
        runs.create(full, config, command="", say=lambda text: None)
    assert [path.name for path in full.runs.iterdir()] == ["small-0001"]
    fill.unlink()
    assert runs.create(full, config, command="", say=lambda text: None).name == "small-0002"


def test_a_run_that_is_being_made_is_not_listed(make: Make, workspace: Workspace) -> None:
    shutil.copytree(make(), workspace.runs / ".small-0002.abc")
    assert runs.ids(workspace) == ["small-0001"]


def test_a_summary_of_a_long_log_knows_its_best_validation_loss(make: Make) -> None:
    """The best was in the middle, far from both ends of the log."""
    events: list[Event] = [STARTED, Evaluated(0, 5.0, 10, 99)]
    for number in range(1, 3001):
        events.append(step(number))
        if number % 500 == 0:
            events.append(Evaluated(number, 1.0 + abs(1500 - number) / 1000, 10, 99))
    summary = runs.summarise(make("long", *events))
    assert (summary.step, summary.total_steps, summary.loss) == (3000, 9000, 2.0)
    assert summary.first_validation_loss == 5.0
    assert summary.best_validation_loss == 1.0


def test_a_loss_that_is_no_number_is_none_in_a_summary(make: Make) -> None:
    events = (STARTED, Evaluated(0, 5.0, 1, 1), step(1, math.nan), Evaluated(1, math.nan, 1, 1))
    summary = runs.summarise(make("nan", *events))
    assert summary.loss is None
    assert (summary.first_validation_loss, summary.best_validation_loss) == (5.0, 5.0)
    json.dumps(summary.to_json(), allow_nan=False)


def test_a_run_that_does_not_run_takes_no_commands(make: Make) -> None:
    with pytest.raises(WorkbenchError, match="takes no commands"):
        runs.command(make(), "stop")


def test_the_manifest_says_what_will_be_run_before_it_runs(make: Make, dataset: Version) -> None:
    made = manifest.read(make())
    assert made["run"] == "small-0001" and made["command"] == "workbench train x"
    assert made["working_folder"] == str(Path.cwd())
    assert made["config"]["data"]["dataset"] == dataset.reference
    assert made["dataset"] == {
        "name": "numbers",
        "version": dataset.version,
        "sha256": sha256_file(dataset.data_path),
        "rows": 10,
    }


def test_the_manifest_of_a_finished_run_says_what_produced_it(trained_run: Trained) -> None:
    made = manifest.read(trained_run.run)
    files = {p.name for p in trained_run.base.iterdir() if p.name != "LICENSE"}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= files
    assert made["base"]["files"] == {n: sha256_file(trained_run.base / n) for n in files}
    assert made["template"]["sha256"] == ChatTemplate.load(trained_run.base).fingerprint()
    (start,) = made["starts"]
    assert start["resumed_from"] == 0 and made["created"] < start["time"]
    environment = start["environment"]
    for package in ("torch", "peft", "datasets", "jinja2", "gguf", "rouge-score"):
        assert environment["packages"][package]
    assert environment["attention"] == "workbench_segments"
    assert {"nvidia", "cuda", "cudnn"} <= environment.keys()
    assert environment["python"].startswith("3.")
    assert environment["device"].startswith("CPU") and environment["dtype"] == "float32"
    weights = trained_run.run / "adapter" / "adapter_model.safetensors"
    assert made["adapter"][weights.name] == sha256_file(weights)
    here = {p.name for p in weights.parent.iterdir()} - {"README.md"}
    assert made["adapter"].keys() == here and "adapter_config.json" in here
    assert made["config"]["training"]["seed"] == 0
    assert "train small --wait" in made["command"]


def test_no_value_of_an_environment_variable_is_written_anywhere(trained_run: Trained) -> None:
    files = [path for path in trained_run.workspace.root.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_the_list_and_the_summary_show_what_came_of_a_run(trained_run: Trained) -> None:
    (listed,) = trained_run.json("runs", "list")
    assert (listed["id"], listed["status"], listed["step"]) == ("small-0001", "finished", 40)
    assert listed["best_validation_loss"] < 0.1 < listed["first_validation_loss"]
    assert listed["scores"]["adapter"]["exact_match"] == 1
    shown = trained_run.cli("runs", "list").stdout
    assert "small-0001" in shown and "finished" in shown and "40/40" in shown
    status = trained_run.cli("status").stdout
    assert "small-0001  finished  step 40/40" in status


def test_a_run_is_shown_with_each_of_its_starts(trained_run: Trained) -> None:
    shown = trained_run.cli("runs", "show").stdout.splitlines()
    (device,) = (line for line in shown if "device:" in line)
    assert "CPU" in device
    assert any(line.startswith("start 1 ") for line in shown)
    assert any(line.startswith("repeat ") and "workbench runs repeat" in line for line in shown)
    assert [line for line in shown if len(line) > 80 and "/" not in line] == []


def test_the_report_holds_the_main_figures(trained_run: Trained) -> None:
    text = trained_run.cli("runs", "report").stdout
    made = manifest.read(trained_run.run)
    wanted: list[Any] = [
        "# Run small-0001",
        "Finished.",
        made["dataset"]["sha256"],
        made["base"]["files"]["model.safetensors"],
        "40 of 40 steps",
        "| training.learning_rate | 0.005 | 0.0002 |",
        f"- Base model: {trained_run.base}",
        "memory, in the rehearsal of the largest batches: peak ",
        "; the forecast was ",
        "| 0 | 11.",
        "| 20 | 0.0",
        # Wilson's intervals of 0 and of 3 out of 3.
        "| exact match | 0.0000 [0.0000, 0.5615] | 1.0000 [0.4385, 1.0000] |",
        "answers to 3",
        f"    {made['repeat']}",
    ]
    assert [line for line in wanted if line not in text] == []
    kept = made["starts"][-1]["memory"]
    assert kept["forecast"] == pytest.approx(kept["peak"], rel=0.5)
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_the_report_holds_what_was_forecast_beside_what_was_measured(trained_run: Trained) -> None:
    text = trained_run.cli("runs", "report").stdout
    lines = text.partition("## Forecast and measurement")[2].partition("##")[0].splitlines()
    rows = {
        row[1]: row[2:-1] for line in lines if (row := [c.strip() for c in line.split("|")])[1:]
    }
    log = [record.event for record in read_all(trained_run.run / runs.LOG)]
    (rehearsed,) = (event for event in log if isinstance(event, Rehearsed))
    assert rehearsed.forecast == sum(rehearsed.parts.values())
    error = f"{rehearsed.forecast / rehearsed.peak - 1:+.1%}"
    told = [size(rehearsed.forecast), size(rehearsed.peak), error]
    assert rows["memory at most"] == told
    assert rows["memory: weights"][0] == size(rehearsed.parts["weights"])
    # It was said before the first step.
    kinds = [type(event) for event in log]
    assert kinds.index(Foretold) < kinds.index(Step)
    for name in ("a step", "an epoch", "the whole run"):
        forecast, measured, error = rows[f"time: {name}"]
        assert " to " in forecast and measured.endswith("s")
        assert re.fullmatch(r"[+-]\d+%, (within|outside)", error)
    assert "forecast before the first step: 8 to" in text or "are assumed of" in text


def test_a_run_that_took_no_step_has_a_report(make: Make, workspace: Workspace) -> None:
    text = report.write(workspace, make()).read_text()
    assert "It has not started." in text and "It took no step." in text
    assert "It has not been evaluated" in text


def test_a_stopped_or_failed_run_is_told_in_its_report(make: Make, workspace: Workspace) -> None:
    folder = make("cut", STARTED, step(1), step(2), Finished(stopped=True, step=2))
    text = report.write(workspace, folder).read_text()
    assert "2 of 9000 steps" in text and "training loss 2.0000 -> 2.0000" in text


def test_a_finished_run_is_not_resumed(trained_run: Trained) -> None:
    result = trained_run.cli("train", "--resume", "latest", check=False)
    assert result.returncode == 2 and "nothing to resume" in result.stderr


def test_what_a_file_says_never_works_the_terminal(
    make: Make, workspace: Workspace, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2Jgone\x9b1m"
    folder = make("evil", STARTED, Failed("error", evil, evil))
    made = manifest.read(folder)
    manifest.update(folder, workbench=evil, base={**made["base"], "name": evil}, extra={evil: evil})
    config = tiny_model / "config.json"
    config.write_text(json.dumps({"model_type": evil}))
    state = {field.name: 0 for field in fields(JobState)}
    texts = {"status": "failed", "log": runs.LOG, "socket": "", "text": evil, "hint": evil}
    (folder / "state.json").write_text(json.dumps({**state, **texts}))
    place = ["--workspace", str(workspace.root)]
    for verb in (["runs", "show"], ["runs", "report"], ["runs", "list"], ["status"]):
        assert cli.main([*verb, *place]) == 0
        out = capsys.readouterr().out
        assert "\\x1b[2Jgone\\x9b1m" in out and not {"\x1b", "\x9b"} & set(out)
    assert cli.main(["model", "show", str(tiny_model), *place]) == 0
    shown = capsys.readouterr()
    assert "\\x1b[2Jgone" in shown.out
    assert "\x1b" not in shown.out + shown.err
