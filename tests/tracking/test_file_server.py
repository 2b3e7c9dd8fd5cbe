"""A run on a network file system: no notices, and a server that is away for a while."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.polling import eventually
from workbench.jobs.events import Notice, Step
from workbench.jobs.log import LogReader, LogWriter
from workbench.tracking import follower
from workbench.tracking.follower import RunFollower

ROOT = Path(__file__).parents[2]


def a_step(number: int) -> Step:
    return Step(number, 0.1, 1.5, 1e-4, 1.0, 100, 50, 0.1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "live-0001"
    with LogWriter(folder / "train.jsonl") as log:
        log.write(a_step(1))
    return folder


def test_nothing_waits_for_notices_of_the_file_system() -> None:
    sources = [*(ROOT / "workbench").rglob("*.py"), *(ROOT / "screens").rglob("*.py")]
    assert sources
    for word in ("inotify", "watchdog.observers", "watchfiles", "kqueue"):
        assert not [source for source in sources if word in source.read_text()]


def fail(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "train.jsonl":
            raise OSError(code, os.strerror(code))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOENT])
def test_a_log_that_is_away_for_a_while_is_told_and_read_on(
    run: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(follower, "_PATIENCE", -1.0)
    following = RunFollower(run)
    assert [r.event for r in following.read().records] == [a_step(1)]
    assert following.trouble() == ""
    with pytest.MonkeyPatch.context() as away:
        fail(away, code)
        assert following.read().records == []
        told = following.trouble()
        assert re.search(r"train\.jsonl can't be read since \d+ s", told)
        assert os.strerror(code) in told
        following.read()
    with LogWriter(run / "train.jsonl") as log:
        log.write(a_step(2))
    assert [r.event for r in following.read().records] == [a_step(2)]
    assert following.trouble() == ""


def test_a_log_that_is_not_there_yet_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_PATIENCE", -1.0)
    following = RunFollower(tmp_path)
    following.read()
    assert following.trouble() == ""


def test_a_log_that_was_replaced_or_cut_short_is_read_from_its_start(run: Path) -> None:
    log = run / "train.jsonl"
    reader = LogReader(log)
    assert len(reader.read()) == 1
    new = run / "new"
    with LogWriter(new) as writer:
        writer.write(a_step(7))
    new.replace(log)
    assert [r.event for r in reader.read()] == [a_step(7)]
    log.write_bytes(b"")
    assert reader.read() == []
    with LogWriter(log) as writer:
        writer.write(Notice("x"))
    assert [r.event for r in reader.read()] == [Notice("x")]


def test_a_read_that_hangs_is_told_by_another_thread(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = RunFollower(run)
    following.read()
    monkeypatch.setattr(follower, "_PATIENCE", 0.0)
    log = run / "train.jsonl"
    log.unlink()
    os.mkfifo(log)  # opening it hangs until somebody writes, as a file of a server that is away
    thread = threading.Thread(target=following.read, daemon=True)
    thread.start()
    told = eventually(following.trouble)
    assert re.match(r"The file server hasn't answered for \d+ s", told)
    assert thread.is_alive()

    def answered() -> bool:
        # It may open the log more than once.
        with contextlib.suppress(OSError):
            os.close(os.open(log, os.O_WRONLY | os.O_NONBLOCK))
        return not thread.is_alive()

    eventually(answered)


def test_seconds_are_counted_from_the_first_look_that_found_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = RunFollower(run)
    following.read()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    fail(monkeypatch, errno.ESTALE)
    following.read()
    assert following.trouble() == ""
    now += 40
    following.read()
    assert "since 40 s" in following.trouble()
