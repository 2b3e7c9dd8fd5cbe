from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trackers.conftest import Standin
from tests.trackers.event_reading import shown
from tests.trackers.logs import SAMPLE, evaluated, started, step, tick
from tests.trained import SECRET, Trained
from workbench.errors import WorkbenchError
from workbench.jobs.events import Record
from workbench.jobs.log import LogWriter
from workbench.trackers import points, sending, tensorboard
from workbench.tracking import notes
from workbench.workspace import Workspace


@pytest.fixture
def run(trained_run: Trained, tmp_path: Path) -> Path:
    """The run in a workspace of the test's own."""
    return Path(shutil.copytree(trained_run.run, tmp_path / "ws" / "runs" / trained_run.run.name))


def send(run: Path, *, again: bool = False, project: str = "mine") -> sending.Report:
    workspace = Workspace(run.parent.parent)
    return sending.send(workspace, run, "trackio", project, offline=False, again=again)


def cut(run: Path, after: int) -> bytes:
    """Cut a log behind the line of a step, and into the next one; what it held."""
    log = run / "train.jsonl"
    content = log.read_bytes()
    place = content.index(b"\n", content.index(f'"type":"step","step":{after},'.encode()))
    log.write_bytes(content[: place + 30])
    return content


def test_of_repeated_steps_the_last_time_counts() -> None:
    events = [
        started(),
        evaluated(0, 9.0),
        step(1, 1.0),
        SAMPLE,
        step(2, 2.0),
        evaluated(2, 8.0),
        started(resumed_from=1),
        step(2, math.nan),
    ]
    course = points.course(Record(n, float(n), event) for n, event in enumerate(events))
    assert [point.step for point in course] == [0, 1, 2]
    # What is no number isn't sent as one, but a step's own loss says what it was.
    assert course[0].values == {"validation/loss": 9.0, "validation/loss/no task": 9.0}
    assert math.isnan(course[2].values["train/loss"])
    assert "validation/loss" not in course[2].values
    assert course[2].time == 7.0


def test_a_run_is_sent_once_with_what_it_is(run: Path, trackio: Standin) -> None:
    notes.tag(run, ["good"])
    notes.add(run, "the one to keep, token=hf_abcdefgh12345678")
    report = send(run)
    assert (report.steps, report.step, report.already) == (41, 40, False)
    (steps,) = trackio.runs.values()
    assert sorted(steps) == list(range(41))
    assert set(steps[0]) == {"validation/loss", "validation/perplexity"}
    assert {"train/loss", "validation/loss", "evaluation/adapter/loss"} <= set(steps[40])
    assert trackio.config["lora.rank"] == 16 and trackio.config["dataset.name"] == "numbers"
    opened = trackio.opened[0]
    assert opened["project"] == "mine" and opened["config"]["tags"] == "good"
    assert opened["config"]["notes"] == "the one to keep, token=***"
    told = json.dumps([trackio.config, trackio.opened])
    assert SECRET not in told and "workbench train" not in told
    # Nothing is sent twice, unless it is asked for: then as a run of its own.
    assert send(run).already and len(trackio.opened) == 1
    assert send(run, project="other").steps == 41
    assert send(run, again=True).steps == 41
    assert len({opened["name"] for opened in trackio.opened}) == 2
    assert send(run).already
    # A tag is told of, but no figure that is there.
    notes.tag(run, ["better"])
    report = send(run)
    assert (report.steps, report.already) == (0, False) and send(run).already


def test_a_run_that_goes_on_is_sent_on_from_where_it_was(run: Path, trackio: Standin) -> None:
    whole = cut(run, after=10)
    scores = run / "evaluations"
    scores.rename(run / "later")
    assert send(run).step == 10
    (run / "train.jsonl").write_bytes(whole)
    (run / "later").rename(scores)
    report = send(run)
    assert (report.steps, report.step) == (30, 40)
    assert [opened["resume"] for opened in trackio.opened] == ["never", "must"]
    (steps,) = trackio.runs.values()
    assert sorted(steps) == list(range(41))


def test_two_that_send_one_run_note_both(run: Path, trackio: Standin) -> None:
    trackio.meanwhile = lambda: send(run, project="other")
    assert send(run).steps == 41
    assert send(run).already and send(run, project="other").already


def test_what_fails_is_told_in_a_sentence_and_goes_on_later(run: Path, trackio: Standin) -> None:
    trackio.fails_at = 7
    with pytest.raises(WorkbenchError, match="host is away") as caught:
        send(run)
    assert "much more" not in caught.value.message and "pw" not in caught.value.message
    assert "goes on from there" in caught.value.hint
    trackio.fails_at = None
    assert send(run).steps == 41 - 7
    assert sorted(next(iter(trackio.runs.values()))) == list(range(41))


def test_a_run_is_followed_to_its_end(run: Path, trackio: Standin) -> None:
    workspace = Workspace(run.parent.parent)
    report = sending.send_live(workspace, run, "trackio", "mine", offline=True, again=False)
    assert (report.steps, report.step) == (41, 40)
    (steps,) = trackio.runs.values()
    assert sorted(steps) == list(range(41))
    assert {"train/loss", "validation/loss", "evaluation/adapter/loss"} <= set(steps[40])
    assert send(run).already


def test_a_followed_run_that_was_resumed_is_told_each_step_once(
    run: Path, trackio: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(monkeypatch)
    (run / "train.jsonl").unlink()
    with LogWriter(run / "train.jsonl") as log:
        for event in (started(), step(1, 1.0), step(2, 2.0), step(3, 3.0), started(1)):
            log.write(event)
        for event in (step(2, 20.0), step(3, 30.0), evaluated(3, 5.0), step(4, 40.0)):
            log.write(event)
    workspace = Workspace(run.parent.parent)
    sending.send_live(workspace, run, "trackio", "mine", offline=True, again=False)
    (steps,) = trackio.runs.values()
    # A tracker doesn't forget: the second time of a step that it has isn't told.
    assert {n: values.get("train/loss") for n, values in steps.items()} == {
        1: 1.0,
        2: 2.0,
        3: 30.0,
        4: 40.0,
    }


def test_an_event_file_is_written_afterwards_and_gone_on_with(run: Path) -> None:
    notes.tag(run, ["good"])
    before = tensorboard.newest(run)
    report = sending.to_tensorboard(run)
    path = tensorboard.newest(run)
    assert path is not None and path != before and report.place == str(path)
    found = shown(path)
    assert sorted(found["train/loss"]) == list(range(1, 41))
    assert found["evaluation/adapter/exact_match"] == {40: 1.0}
    assert b"lora.rank" in path.read_bytes() and SECRET.encode() not in path.read_bytes()
    mirror = tensorboard.Mirror(run, run / "train.jsonl")
    size = path.stat().st_size
    mirror.finish()
    assert path.stat().st_size == size
    with LogWriter(run / "train.jsonl") as log:
        log.write(step(41, 0.5))
    mirror.finish()
    assert sorted(shown(path)["train/loss"]) == list(range(1, 42))
    assert len(list(run.glob("*tfevents*"))) == 1


@pytest.mark.parametrize("tracker", ["trackio", "tensorboard"])
def test_a_run_without_steps_is_told_as_one(run: Path, trackio: Standin, tracker: str) -> None:
    (run / "train.jsonl").write_text('{"v":1,"seq":0,"t":1.0,"type":"sta')
    with pytest.raises(WorkbenchError, match="has taken no step"):
        if tracker == "trackio":
            send(run)
        else:
            sending.to_tensorboard(run)
    assert not trackio.opened


def test_a_damaged_note_of_what_was_sent_is_named(run: Path, trackio: Standin) -> None:
    (run / sending.STATE).write_text('{"v": 1, "sent": [{"tracker": "trackio"}]}')
    with pytest.raises(WorkbenchError, match=r"trackers\.json doesn't say what was sent"):
        send(run)


def test_unknown_trackers_and_missing_packages_are_named(cli: Any, trained_run: Trained) -> None:
    refused = trained_run.cli("runs", "track", "tensorbord", check=False)
    assert refused.returncode != 0 and "tensorboard, trackio, mlflow, wandb" in refused.stderr
    refused = trained_run.cli("runs", "track", "tensorboard", "--follow", check=False)
    assert "--follow takes one run" in refused.stderr


@pytest.mark.parametrize("package", ["wandb", "mlflow", "trackio"])
def test_the_packages_themselves(trained_run: Trained, tmp_path: Path, package: str) -> None:
    """With what is installed: on this machine alone, from a command line of its own."""
    from importlib.util import find_spec

    copy = Trained(
        Workspace(Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))),
        trained_run.base,
        trained_run.run,
        trained_run.evaluation,
        trained_run.pristine,
        "",
    )
    if find_spec(package) is None:
        refused = copy.cli("runs", "track", package, "--offline", check=False)
        assert refused.returncode != 0 and f"finetune-workbench[{package}]" in refused.stderr
        return
    (sent,) = copy.json("runs", "track", package, "--offline")
    assert (sent["steps"], sent["step"], sent["already"]) == (41, 40, False)
    (sent,) = copy.json("runs", "track", package, "--offline")
    assert (sent["steps"], sent["already"]) == (0, True)
