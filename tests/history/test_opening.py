"""Large logs: sketched at once, then read by another process, and from a cache the next time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.history.logs import BEGUN, GIB, content, lines, make, sampled, started, step, steps
from tests.polling import eventually
from workbench.history import cache, opening, reading, sketch
from workbench.history.cache import NAME
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.jobs.events import Alarm, Event, Started, Step
from workbench.tracking.follower import News, RunFollower
from workbench.tracking.view import RunView

LARGE = 100_000


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (opening, reading):
        monkeypatch.setattr(module, "LARGE", LARGE)
    # A sketch is as coarse as a busy machine makes it.
    monkeypatch.setattr(sketch, "SECONDS", 60.0)


def _events(count: int = 3000) -> list[Event]:
    """A run that was resumed half-way."""
    half = count // 2 // 100 * 100
    return [started(), *steps(half + 50), started(half), *steps(count - half, half + 1)]


def _machine(count: int = 600) -> bytes:
    alarm = Alarm("plateau", "info", 9, BEGUN + 9, "it is flat", "", "", "")
    return lines([sampled(n * GIB) for n in range(count)] + [alarm], every=5.0)


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return make(tmp_path / "", lines(_events()), _machine())


def _exactly(logs: Logs) -> bytes:
    """What reading every line of the logs comes to, without a cache."""
    found = reading.read_to(
        Logs(logs.folder / "nowhere", logs.training, logs.machine),
        (logs.training.stat().st_size, logs.machine.stat().st_size),
        lambda share: None,
    )
    return content(found.exact.history, logs)


class Reader:
    """What a screen does with the news."""

    def __init__(self, run: Path) -> None:
        self.follower = RunFollower(run)
        self.view = RunView()
        self.history = History()
        self.read()

    def read(self) -> News:
        news = self.follower.read()
        self.view.feed(news.records)
        if news.history is not None:
            self.history = news.history
        else:
            self.history.feed(news.records)
            self.history.feed_samples(news.samples)
            self.history.feed_supervision(news.supervision)
        return news

    def until_exact(self) -> None:
        # The process lets all others go first.
        eventually(lambda: self.read().looked_through >= 1, 240)


def test_a_large_log_is_sketched_then_exact_then_cached(logs: Logs) -> None:
    reader = Reader(logs.folder)
    assert reader.history.span() == (1, 3000)
    tokens = reader.history.span("tokens")
    assert tokens is not None and tokens[1] == pytest.approx(300_000, rel=0.02)
    # The figures that a person looks at are there, too.
    assert reader.view.started is not None and reader.view.step == 3000
    assert reader.view.first_step is not None and reader.view.first_step.step == 1
    reader.until_exact()
    assert content(reader.history, logs) == _exactly(logs)
    assert len(reader.history.evaluations) == 30
    assert [m.kind for m in reader.history.marks if m.kind in ("alarm", "resume")] == [
        "alarm",
        "resume",
    ]
    again = Reader(logs.folder)
    assert again.read().looked_through == 1
    assert content(again.history, logs) == _exactly(logs)
    assert len(again.view.evaluations) == 30 and again.view.step == 3000


def test_a_small_log_is_read_as_it_is(tmp_path: Path) -> None:
    logs = make(tmp_path, lines(_events(200)), _machine(50))
    reader = Reader(tmp_path)
    assert content(reader.history, logs) == _exactly(logs)
    assert reader.view.steps == 250 and not (tmp_path / NAME).exists()
    with logs.training.open("ab") as log:
        log.write(lines(steps(20, 201), 300, BEGUN + 5000))
    assert reader.read().history is None
    assert content(reader.history, logs) == _exactly(logs)


def test_a_log_that_grows_while_it_is_read_is_neither_lost_nor_read_twice(logs: Logs) -> None:
    reader = Reader(logs.folder)
    number = 3000
    news = reader.read()

    def read_while_it_grows() -> bool:
        nonlocal number, news
        if news.looked_through >= 1:
            return True
        with logs.training.open("ab") as log, logs.machine.open("ab") as machine:
            log.write(lines(steps(7, number + 1), 4000 + number, BEGUN + 5000 + number))
            machine.write(lines([sampled(number)], number, BEGUN + 5000 + number))
        number += 7
        news = reader.read()
        return False

    eventually(read_while_it_grows, 240)
    while news.records or news.samples:
        news = reader.read()
    assert content(reader.history, logs) == _exactly(logs)
    assert reader.history.span() == (1, number)
    # The cache is of what was there at first; what came since is read on from it.
    again = Reader(logs.folder)
    again.until_exact()
    assert content(again.history, logs) == _exactly(logs)


def test_what_came_since_the_cache_is_sketched_where_it_is_much(logs: Logs) -> None:
    reading.read(logs)
    assert (logs.folder / NAME).exists()
    with logs.training.open("ab") as log:
        log.write(lines(steps(3000, 3001), 4000, BEGUN + 5000))
    reader = Reader(logs.folder)
    assert reader.history.span() == (1, 6000)
    reader.until_exact()
    assert content(reader.history, logs) == _exactly(logs)


@pytest.mark.parametrize("damage", ["short", "bit", "version", "empty", "other"])
def test_a_damaged_cache_is_made_again(logs: Logs, damage: str) -> None:
    reading.read(logs)
    path = logs.folder / NAME
    whole = path.read_bytes()
    spoilt = {
        "short": whole[:-9],
        "bit": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "version": whole[:8] + b"\xff" + whole[9:],
        "empty": b"",
        "other": b"{}\n" * 100,
    }[damage]
    path.write_bytes(spoilt)
    assert cache.read(logs.folder, logs.training, logs.machine) is None
    reader = Reader(logs.folder)
    reader.until_exact()
    assert content(reader.history, logs) == _exactly(logs)
    assert path.read_bytes() == whole


def test_the_cache_of_a_log_that_was_replaced_or_cut_short_is_not_taken(logs: Logs) -> None:
    reading.read(logs)
    logs.training.write_bytes(lines(_events(2000)))
    assert cache.read(logs.folder, logs.training, logs.machine) is None
    reading.read(logs)
    os.truncate(logs.training, logs.training.stat().st_size - 10)
    assert cache.read(logs.folder, logs.training, logs.machine) is None


def test_a_log_that_is_replaced_while_it_is_followed_is_read_anew(logs: Logs) -> None:
    reader = Reader(logs.folder)
    new = logs.folder / "new"
    new.write_bytes(lines([started(), *steps(40)]))
    new.replace(logs.training)
    news = reader.read()
    assert news.history is not None and news.history.span() == (1, 40)
    reader.until_exact()
    assert reader.history.span("tokens") == (100, 4000)


def test_a_folder_that_takes_no_files_has_no_cache_and_works(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder of that name stands in for what root may write all the same.
    (logs.folder / NAME).mkdir()
    reader = Reader(logs.folder)
    reader.until_exact()
    assert content(reader.history, logs) == _exactly(logs)
    assert reading.read(logs).span() == (1, 3000)
    assert [path.name for path in logs.folder.iterdir() if "cache" in path.name] == [NAME]


def test_a_torn_tail_is_left_for_the_next_look_wherever_it_is_torn(tmp_path: Path) -> None:
    whole = lines([started(), *steps(30)])
    last = whole.rindex(b"\n", 0, -1) + 1
    logs = make(tmp_path, whole)
    for end in range(last, len(whole) + 1):
        logs.training.write_bytes(whole[:end])
        reader = Reader(tmp_path)
        assert reader.history.span() == (1, 30 if end == len(whole) else 29)
        with logs.training.open("ab") as log:
            log.write(whole[end:])
        reader.read()
        assert reader.history.span() == (1, 30)
        assert reader.history.span("tokens") == (100, 3000)


@pytest.mark.parametrize("torn", [1, 40, 150])
def test_a_torn_tail_of_a_large_log_is_left_as_well(logs: Logs, torn: int) -> None:
    whole = logs.training.read_bytes()
    logs.training.write_bytes(whole[:-torn])
    reader = Reader(logs.folder)
    reader.until_exact()
    with logs.training.open("ab") as log:
        log.write(whole[-torn:])
    reader.read()
    assert content(reader.history, logs) == _exactly(logs)


def test_the_process_ends_with_who_reads(logs: Logs) -> None:
    reader = Reader(logs.folder)
    exact = reader.follower._pass
    assert exact is not None
    reader.follower.close()
    assert exact._process.returncode is not None
    reader = Reader(logs.folder)
    exact = reader.follower._pass
    assert exact is not None
    process = exact._process
    del reader, exact
    assert process.returncode is not None


def test_a_sketch_is_of_all_of_the_log(tmp_path: Path) -> None:
    count = 15_000
    logs = make(tmp_path, lines([started(), *(step(n, 2.0) for n in range(1, count + 1))]))
    history = History()
    sketch.training(history, logs.training, 0, logs.training.stat().st_size)
    line = history.line("training", "loss")
    gaps = [b - a for a, b in zip(line.x, line.x[1:], strict=False)]
    assert history.span() == (1, count) and max(gaps) < count / 20
    assert history.span("tokens") == (100, pytest.approx(count * 100, rel=0.001))


def test_places_are_evenly_spaced_whenever_one_stops() -> None:
    found = list(sketch.places(7))
    assert found == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    for count in (10, 50, 500):
        spread = sorted(sketch.places(count))
        gaps = [b - a for a, b in zip([0.0, *spread], [*spread, 1.0], strict=True)]
        assert max(gaps) <= 2 / count * 2


def test_a_line_longer_than_a_look_is_no_end(tmp_path: Path) -> None:
    """Of a machine with many GPUs and processes, or of another program."""
    long = b'{"other":"' + b"x" * 300_000 + b'"}\n'
    logs = make(tmp_path, lines(steps(400)) + long + lines(steps(400, 401), 500, BEGUN + 999))
    reader = Reader(tmp_path)
    reader.until_exact()
    assert reader.history.span() == (1, 800) and reader.view.step == 800
    assert content(reader.history, logs) == content(
        reading.read(Logs(tmp_path / "nowhere", logs.training, logs.machine)), logs
    )


def test_news_of_a_run_that_has_not_begun(tmp_path: Path) -> None:
    news = RunFollower(tmp_path).read()
    assert news.history is not None and news.history.span() is None
    assert news.records == [] and news.looked_through == 1


def test_only_the_first_step_of_the_beginning_is_told(logs: Logs) -> None:
    records = RunFollower(logs.folder).read().records
    kinds = [type(record.event) for record in records]
    assert kinds[:2] == [Started, Step] and kinds.count(Started) >= 1
    numbers = [record.seq for record in records]
    assert numbers == sorted(set(numbers)) and len(records) < 1000
