from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import many_runs
from workbench.jobs.events import Started, Step
from workbench.jobs.log import LogWriter
from workbench.tracking import notes
from workbench.tracking.listing import CACHE, Line, Listing
from workbench.tracking.summary import RunSummary
from workbench.tracking.summary import read as read_run
from workbench.workspace import Workspace


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed a moment ago counts as if it were long ago, so that it is kept."""
    monkeypatch.setattr("workbench.tracking.listing._SETTLED", -60.0)


@pytest.fixture
def runs(workspace: Workspace, settled: None) -> list[Path]:
    return many_runs.make(workspace, 12)


def plainly(workspace: Workspace) -> list[RunSummary]:
    """Every run, read from its files alone."""
    return [line.summary for line in Listing(workspace, cached=False).look()]


def now(workspace: Workspace) -> list[RunSummary]:
    """Every run, as a new process lists it."""
    listing = Listing(workspace)
    lines = listing.look()
    listing.save()
    return [line.summary for line in lines]


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose files are read from now on."""
    read: list[str] = []

    def noting(folder: Path) -> object:
        read.append(folder.name)
        return read_run(folder)

    monkeypatch.setattr("workbench.tracking.summary.read", noting)
    return read


def test_what_is_known_is_what_the_files_say_and_is_not_read_again(
    workspace: Workspace, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = now(workspace)
    assert [run.id for run in first] == [folder.name for folder in reversed(runs)]
    assert {run.status for run in first} <= {"finished", "stopped", "failed", "dead"}
    read = counting(monkeypatch)
    assert now(workspace) == first and read == []
    assert plainly(workspace) == first and len(read) == len(runs)


def test_every_change_of_a_file_is_seen_by_who_looks_again_and_by_a_new_process(
    workspace: Workspace, runs: list[Path]
) -> None:
    now(workspace)
    watching = Listing(workspace)
    watching.look()
    run = next(folder for folder in runs if (folder / "evaluations").exists())

    def put_back_the_time_stamp(path: Path, text: str) -> None:
        kept = path.stat()
        path.write_text(text)
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    def other_loss() -> None:
        log = run / "train.jsonl"
        lines = log.read_text().splitlines()
        step = next(n for n in reversed(range(len(lines))) if '"type":"step"' in lines[n])
        body = json.loads(lines[step])
        body["loss"] = 3.5
        lines[step] = json.dumps(body, separators=(",", ":"))
        put_back_the_time_stamp(log, "\n".join(lines) + "\n")

    def first_scores() -> None:
        (run / "evaluations" / "02").mkdir()
        shutil.copy(run / "evaluations" / "01" / "metrics.json", run / "evaluations" / "02")
        body = json.loads((run / "evaluations" / "02" / "metrics.json").read_text())
        body["systems"]["adapter"]["rouge_l"]["value"] = 0.99
        (run / "evaluations" / "02" / "metrics.json").write_text(json.dumps(body))

    def other_base() -> None:
        body = json.loads((run / "manifest.json").read_text())
        body["base"]["name"] = "another"
        put_back_the_time_stamp(run / "manifest.json", json.dumps(body))

    changes = (
        (other_loss, lambda s: s.loss is not None and s.loss > 3),
        (first_scores, lambda s: s.scores["adapter"]["rouge_l"] == 0.99),
        (other_base, lambda s: s.base == "another"),
        (lambda: notes.tag(run, ["best"]), lambda s: "best" in s.tags),
        (lambda: notes.archive(run), lambda s: s.archived),
        (lambda: (run / "notes.json").unlink(), lambda s: not s.tags and not s.archived),
        (lambda: (run / "state.json").unlink(), lambda s: s.status == "not started"),
        (lambda: (run / "manifest.json").write_text("{ no"), lambda s: s.status == "damaged"),
    )
    for change, is_seen in changes:
        change()
        (seen,) = (line.summary for line in watching.look() if line.id == run.name)
        assert is_seen(seen)
        assert now(workspace) == plainly(workspace) == [line.summary for line in watching.look()]
    shutil.rmtree(run)
    many_runs.run(workspace, 13)
    ids = [line.id for line in watching.look()]
    assert ids == [run.id for run in now(workspace)] == [run.id for run in plainly(workspace)]
    assert run.name not in ids and len(ids) == len(runs)


def test_a_change_in_the_same_moment_as_the_reading_is_not_missed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time stamp may be the same: nothing that is so fresh is taken for known."""
    monkeypatch.setattr("workbench.tracking.listing._SETTLED", 600.0)
    run = many_runs.run(workspace, 1)
    listing = Listing(workspace)
    listing.look()
    listing.save()
    assert not (workspace.cache / CACHE).exists()
    old = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**old, "base": {"name": "another"}}))
    assert listing.look()[0].summary.base == "another"


def test_a_run_that_goes_on_is_looked_at_each_time(workspace: Workspace, settled: None) -> None:
    run = many_runs.run(workspace, 1, status="finished")
    state = json.loads((run / "state.json").read_text())
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    state |= {"status": "running", "pid": os.getpid(), "start_ticks": ticks}
    state |= {"supervisor_pid": os.getpid(), "supervisor_start_ticks": ticks}
    (run / "state.json").write_text(json.dumps(state))
    listing = Listing(workspace)
    assert listing.look()[0].summary.status == "running"
    listing.save()
    assert not (workspace.cache / CACHE).exists()
    old = time.time() - 60
    os.utime(run / "state.json", (old, old))
    assert listing.look()[0].summary.status == "stalled"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"loss":', '"lost":'),
        lambda text: text.replace("\t", "\t\t"),
        lambda text: text.replace('"v":1', '"v":0'),
        lambda text: "\n".join(line[:40] for line in text.split("\n")),
    ],
)
def test_a_spoilt_cache_changes_nothing(
    workspace: Workspace, runs: list[Path], spoil: Callable[[str], str]
) -> None:
    now(workspace)
    cache = workspace.cache / CACHE
    cache.write_text(spoil(cache.read_text()))
    assert now(workspace) == plainly(workspace)


def test_without_a_place_for_a_cache_runs_are_listed_all_the_same(
    workspace: Workspace, runs: list[Path]
) -> None:
    workspace.cache.write_text("a file where the folder would be")
    assert now(workspace) == plainly(workspace)


def test_the_newest_come_first_and_the_rest_by_and_by(
    workspace: Workspace, runs: list[Path]
) -> None:
    lists: list[list[Line]] = list(Listing(workspace).looks(first=3, every=4))
    assert [len(lines) for lines in lists] == [3, 7, 11, 12]
    whole = [line.id for line in lists[-1]]
    assert all([line.id for line in lines] == whole[: len(lines)] for lines in lists)


def test_the_line_of_a_resumed_run_is_of_what_it_kept(workspace: Workspace) -> None:
    """Of a log only its outline is decoded: what a resume took back must not count."""
    run = many_runs.run(workspace, 1, status="finished")
    (run / "train.jsonl").unlink()
    started = Started(50, 1.0, 9, 9, 9, 9, 9, "CPU", "float32")
    with LogWriter(run / "train.jsonl") as log:
        log.write(started)
        for step in range(1, 31):
            log.write(Step(step, 0.1, float(step), 1e-4, 0.5, 9, 9, 0.1))
        log.write(Started(50, 1.0, 9, 9, 9, 9, 9, "CPU", "float32", resumed_from=25))
    (found,) = plainly(workspace)
    assert (found.step, found.loss, found.total_steps) == (25, 25.0, 50)
    with LogWriter(run / "train.jsonl") as log:
        log.write(Step(26, 0.1, 0.5, 1e-4, 0.5, 9, 9, 0.1))
    (found,) = plainly(workspace)
    assert (found.step, found.loss) == (26, 0.5)
