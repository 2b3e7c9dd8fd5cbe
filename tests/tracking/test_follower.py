from __future__ import annotations

import json
from pathlib import Path

from workbench.jobs.events import CommandTaken, Notice, Sampled, Step
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, STATE
from workbench.tracking.follower import RunFollower

HOST = {"rss": 7}


def test_what_the_supervisor_writes_is_told_apart(tmp_path: Path) -> None:
    with (
        LogWriter(tmp_path / "train.jsonl") as training,
        LogWriter(tmp_path / HOST_LOG) as supervisor,
    ):
        training.write(Step(1, 0.1, 2.0, 1e-4, 1.0, 10, 5, 0.1))
        supervisor.write(Sampled(HOST, [], "no driver"))
        supervisor.write(Notice("It is started again."))
        supervisor.write(CommandTaken("1", "pause"))
        follower = RunFollower(tmp_path)
        news = follower.read()
        assert [record.event.type for record in news.records] == ["step"]
        assert [(sample.host, sample.gpu_reason) for _, sample in news.samples] == [
            (HOST, "no driver")
        ]
        assert [r.event for r in news.supervision] == [
            Notice("It is started again."),
            CommandTaken("1", "pause"),
        ]
        supervisor.write(Sampled(HOST, [], None))
        later = follower.read()
        assert len(later.samples) == 1 and not later.records and not later.supervision


def test_a_spoilt_state_is_told_of_and_the_log_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text('{"v": 1, "sta')
    with LogWriter(tmp_path / "train.jsonl") as training:
        training.write(Step(1, 0.1, 2.0, 1e-4, 1.0, 10, 5, 0.1))
    news = RunFollower(tmp_path).read()
    assert news.status == "damaged" and "state.json is not valid JSON" in news.text
    assert len(news.records) == 1


def test_a_run_that_is_deleted_while_it_is_followed_is_not_one_that_has_not_started(
    tmp_path: Path,
) -> None:
    run = tmp_path / "runs" / "small-0001"
    run.mkdir(parents=True)
    follower = RunFollower(run)
    assert follower.read().status == "not started"
    run.rmdir()
    news = follower.read()
    assert news.status == "damaged" and "is gone: it was deleted or moved" in news.text


def test_a_log_that_this_release_cannot_read_is_told_of(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    log.write_text('{"v": 99, "what": "step", "number": 1}\n' * 5)
    follower = RunFollower(tmp_path)
    assert not follower.read().records
    assert "knows none of its 5 lines" in follower.trouble()
    with LogWriter(log) as training:
        training.write(Step(1, 0.1, 2.0, 1e-4, 1.0, 10, 5, 0.1))
    assert len(follower.read().records) == 1 and not follower.trouble()


def test_samples_of_the_first_release_are_read(tmp_path: Path) -> None:
    sample = {"v": 1, "t": 5.0, "host": HOST, "gpus": [], "gpu_reason": "no driver"}
    (tmp_path / HOST_LOG).write_text(f"{json.dumps(sample)}\n{{ torn")
    assert RunFollower(tmp_path).read().samples == [(5.0, Sampled(HOST, [], "no driver"))]


def test_of_a_long_log_of_samples_the_end_is_read(tmp_path: Path) -> None:
    sample = {"v": 1, "t": 0.0, "host": HOST, "gpus": [], "gpu_reason": "." * 10_000}
    with (tmp_path / HOST_LOG).open("w") as log:
        for second in range(1000):
            log.write(json.dumps({**sample, "t": float(second)}) + "\n")
    follower = RunFollower(tmp_path)
    times: list[float] = []
    while news := follower.read().samples:
        times += [at for at, _ in news]
    assert times[-1] == 999.0 and times[0] > 500 and times == sorted(times)
