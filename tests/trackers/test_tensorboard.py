from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trackers.event_reading import shown
from tests.trackers.logs import SAMPLE, evaluated, started, step, tick
from tests.trained import Trained
from workbench.jobs.events import Evaluated, Step
from workbench.jobs.log import LogWriter, read_all
from workbench.trackers import tensorboard
from workbench.trackers.tensorboard import Mirror


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogWriter:
    tick(monkeypatch)
    return LogWriter(tmp_path / "train.jsonl")


def mirror(log: LogWriter) -> Mirror:
    return Mirror(log.path.parent, log.path)


def losses(folder: Path) -> dict[int, float]:
    path = tensorboard.newest(folder)
    assert path is not None
    return shown(path)["train/loss"]


def test_a_run_has_its_event_file_with_all_that_was_logged(trained_run: Trained) -> None:
    (path,) = trained_run.run.glob("*tfevents*")
    found = shown(path)
    events = [record.event for record in read_all(trained_run.run / "train.jsonl")]
    steps = [event for event in events if isinstance(event, Step)]
    validations = [event for event in events if isinstance(event, Evaluated)]
    assert found["train/loss"] == pytest.approx({s.step: s.loss for s in steps}, rel=1e-6)
    assert found["validation/loss"] == pytest.approx({v.step: v.loss for v in validations})
    assert found["machine/run_memory_mib"]
    # Nothing but trainings has one.
    assert not list(trained_run.evaluation.glob("*tfevents*"))


def test_steps_that_are_repeated_after_a_resume_are_shown_once(log: LogWriter) -> None:
    folder = log.path.parent
    first = mirror(log)
    for event in (started(), evaluated(0, 9.0), *(step(n, float(n)) for n in range(1, 6))):
        log.write(event)
    first.sampled(SAMPLE)
    first.look()
    log.write(started(resumed_from=3))
    log.write(step(4, 40.0))
    second = mirror(log)
    second.finish()
    log.write(step(5, 50.0))
    second.finish()
    mirror(log).finish()
    assert losses(folder) == {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0, 5: 50.0}
    found = shown(first.path)
    assert found["validation/loss"] == {0: 9.0}
    # What the machine did goes with the step after it; what isn't known is left out.
    assert found["machine/gpu1_watts"] == {1: 300.5} and "machine/gpu1_celsius" not in found
    assert len(list(folder.glob("*tfevents*"))) == 1


def test_a_run_that_is_begun_anew_shows_that_alone(log: LogWriter) -> None:
    for event in (started(), evaluated(0, 9.0), step(1, 1.0), started(), evaluated(0, 8.0)):
        log.write(event)
    following = mirror(log)
    following.finish()
    found = shown(following.path)
    assert found["validation/loss"] == {0: 8.0} and found["train/loss"] == {}


@pytest.mark.parametrize("torn", [1, 30, 10_000])
def test_a_supervisor_that_was_killed_as_it_wrote_loses_nothing(log: LogWriter, torn: int) -> None:
    folder = log.path.parent
    log.write(started())
    for number in range(1, 8):
        log.write(step(number, float(number)))
    before = mirror(log)
    before.finish()
    before.path.write_bytes(before.path.read_bytes()[:-torn])
    log.write(step(8, 8.0))
    mirror(log).finish()
    assert losses(folder) == {n: float(n) for n in range(1, 9)}


def test_a_full_disk_costs_nothing_once_there_is_room(
    log: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = log.path.parent
    following = mirror(log)
    log.write(step(1, 1.0))
    following.finish()
    write = os.pwrite

    def full(handle: int, content: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def half(handle: int, content: bytes, offset: int) -> int:
        return write(handle, content[: len(content) // 2], offset)

    for stand_in in (full, half):
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", stand_in)
            log.write(step(2 if stand_in is full else 3, 2.0))
            following.look()
            assert losses(folder) == {1: 1.0}
    following.finish()
    assert losses(folder) == {1: 1.0, 2: 2.0, 3: 2.0}


def test_a_file_that_somebody_removes_is_written_anew(log: LogWriter) -> None:
    following = mirror(log)
    log.write(step(1, 1.0))
    following.finish()
    following.path.unlink()
    log.write(step(2, 2.0))
    following.finish()
    assert losses(log.path.parent) == {1: 1.0, 2: 2.0}


def test_a_long_log_is_taken_in_stretches(log: LogWriter) -> None:
    for number in range(1, 3000):
        log.write(step(number, 1.0))
    following = mirror(log)
    following.look()
    after_one = len(losses(log.path.parent))
    assert 0 < after_one < 2999
    following.finish()
    assert len(losses(log.path.parent)) == 2999


def test_the_config_says_whether_a_run_has_one(
    trained_run: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from workbench.config import loading
    from workbench.jobs import launch
    from workbench.tracking import runs

    assert json.loads((trained_run.run / "job.json").read_text())["tensorboard"] is True
    asked: dict[str, Any] = {}
    monkeypatch.setattr(launch, "start", lambda folder, module, **how: asked.update(how))
    config = loading.load(trained_run.run / "config.yaml", ["logging.tensorboard=false"])
    loading.save(config, tmp_path / "config.yaml")
    shutil.copy(trained_run.run / "manifest.json", tmp_path)
    runs.start(tmp_path)
    assert asked["tensorboard"] is False
