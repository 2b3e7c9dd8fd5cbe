from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.polling import eventually
from tests.trained import Trained
from workbench.data import import_job, tokens_job, versions
from workbench.data.curate import check_job
from workbench.data.importing import Options
from workbench.errors import WorkbenchError
from workbench.evaluation import request as evaluation
from workbench.export.request import start_merge
from workbench.jobs.client import command
from workbench.jobs.events import Event, Failed, Finished, Paused, Progress, Started, Step, encode
from workbench.jobs.launch import EVENTS, JOB
from workbench.jobs.state import STATE, JobState, beat, start_ticks
from workbench.tracking import finding, jobs, runs
from workbench.tracking.jobs import JobSummary
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
STARTED = Started(200, 9.0, 90, 10, 12345, 1000, 9999, "CPU", "float32")


def rows(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"Question {n}?", "completion": f"Answer {n}"} for n in range(count)]


def lines(*events: tuple[float, Event]) -> bytes:
    return b"".join(encode(event, seq, at) for seq, (at, event) in enumerate(events))


def make_job(
    workspace: Workspace,
    path: str,
    *events: tuple[float, Event],
    status: str = "running",
    text: str = "",
    cause: str = "",
    started: float = 1000.0,
) -> Path:
    """The folder of a job, as its processes leave it; a running one is this process."""
    folder = workspace.root / path
    folder.mkdir(parents=True)
    training = folder.parent == workspace.runs
    if training:
        (folder / "manifest.json").write_text("{}")
    elif folder.parent == workspace.tasks:
        (folder / "request.json").write_text("{}")
    log = runs.LOG if training else EVENTS
    (folder / JOB).write_text(json.dumps({"v": 1, "argv": ["true"], "log": log}))
    (folder / log).write_bytes(lines(*events))
    pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
    state = JobState(status, log, pid, ticks, pid, ticks, "", started, text=text, cause=cause)
    if status != "running":
        state = replace(state, ended=started + 60)
    state.write(folder)
    return folder


def progress(done: int, total: int = 1000, unit: str = "rows", phase: str = "reading") -> Event:
    return Progress(phase, done, total, unit)


def test_jobs_of_every_kind_have_a_line_of_one_shape_the_newest_first(
    workspace: Workspace,
) -> None:
    step = Step(20, 0.1, 2.0, 1e-4, 0.5, 100, 50, 0.25)
    make_job(workspace, "runs/small-0001", (1.0, STARTED), (2.0, step), started=5.0)
    make_job(workspace, "runs/small-0001/evaluations/01", (1.0, progress(5)), started=6.0)
    make_job(workspace, "runs/small-0001/exports/merge-01", (1.0, progress(5)), started=7.0)
    make_job(workspace, "runs/small-0001/follow-up", started=8.0)
    make_job(
        workspace,
        "tasks/near-duplicates-0001",
        *((100.0 + n, progress(n * 10)) for n in range(20)),
        started=9.0,
    )
    make_job(
        workspace,
        "tasks/import-0002",
        (1.0, progress(1000)),
        (2.0, Finished(False, result="made@123456789abc")),
        status="finished",
        started=4.0,
    )
    (workspace.runs / "small-0001" / "checkpoints" / "step-1").mkdir(parents=True)
    (workspace.tasks / ".import-0003.xyz").mkdir()
    found = jobs.list_jobs(workspace)
    assert [(job.reference, job.kind) for job in found] == [
        ("tasks/near-duplicates-0001", "near-duplicates"),
        ("small-0001/follow-up", "follow-up"),
        ("small-0001/exports/merge-01", "merge"),
        ("small-0001/evaluations/01", "evaluation"),
        ("small-0001", "training"),
        ("tasks/import-0002", "import"),
    ]
    near, _, _, _, training, imported = found
    assert (near.phase, near.done, near.total, near.unit) == ("reading", 190, 1000, "rows")
    assert (near.rate, near.seconds_left) == (10, 81)
    assert (training.phase, training.done, training.total, training.unit) == (
        *("training", 20, 200, "steps"),
    )
    assert (training.rate, training.seconds_left) == (4, 45)
    assert (imported.status, imported.result) == ("finished", "made@123456789abc")
    assert (imported.done, imported.rate, imported.seconds_left) == (1000, None, None)
    for job in found:
        assert finding.find_job(workspace, job.reference) == job.folder
        assert json.loads(json.dumps(job.to_json())).keys() == near.to_json().keys()


def test_a_clock_that_is_set_back_gives_no_negative_rate(workspace: Workspace) -> None:
    at = [100.0, 101.0, 102.0, 50.0, 50.0]
    folder = make_job(
        workspace, "tasks/import-0001", *((t, progress(10 * n)) for n, t in enumerate(at))
    )
    job = jobs.summarise(workspace, folder)
    assert (job.done, job.rate, job.seconds_left) == (40, None, None)


def test_a_paused_job_has_no_rate(workspace: Workspace) -> None:
    told = [(float(n), progress(n)) for n in range(1, 9)]
    folder = make_job(workspace, "tasks/import-0001", *told, (9.0, Paused()))
    state = JobState.read(folder)
    assert state is not None
    replace(state, condition="paused", condition_text="It waits.").write(folder)
    job = jobs.summarise(workspace, folder)
    assert (job.status, job.text, job.done) == ("paused", "It waits.", 8)
    assert job.rate is None and job.seconds_left is None


def test_a_job_that_ends_while_it_is_looked_at_is_of_one_moment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_job(workspace, "tasks/import-0001", (1.0, progress(7)))
    state = JobState.read(folder)
    assert state is not None
    replace(state, condition="paused", condition_text="It waits.").write(folder)

    class Ends(JobState):
        @classmethod
        def read(cls, folder: Path) -> JobState | None:
            found = JobState.read(folder)
            replace(state, status="stopped", ended=9.0).write(folder)
            return found

    monkeypatch.setattr("workbench.jobs.state.JobState", Ends)
    monkeypatch.setattr("workbench.tracking.jobs.JobState", Ends, raising=False)
    jobs_before_and_after = [jobs.summarise(workspace, folder) for _ in range(2)]
    assert [(job.status, job.ended) for job in jobs_before_and_after] == [
        ("paused", None),
        ("stopped", 9.0),
    ]


def test_how_a_job_failed_is_told_whole_and_where_it_was(workspace: Workspace) -> None:
    words = "5 of 9 rows can't be used:\n" + "\n".join(f"  rows.jsonl:{n}: no" for n in range(99))
    folder = make_job(
        workspace,
        "tasks/import-0001",
        (1.0, progress(400)),
        (2.0, Failed("bad_input", words, "Mend them.")),
        status="failed",
        text=words,
        cause="bad_input",
    )
    job = jobs.summarise(workspace, folder)
    assert (job.status, job.text, job.cause) == ("failed", words, "bad_input")
    assert (job.phase, job.done) == ("reading", 400)


def test_a_log_of_gigabytes_is_read_at_its_ends_alone(workspace: Workspace) -> None:
    folder = make_job(workspace, "runs/small-0001", (1.0, STARTED))
    with (folder / runs.LOG).open("ab") as log:
        log.truncate(8 << 30)
        log.seek(0, os.SEEK_END)
        step = Step(150, 0.1, 2.0, 1e-4, 0.5, 100, 50, 0.5)
        log.write(b"\n" + encode(step, 9, 2.0))
    begun = time.process_time()
    job = jobs.summarise(workspace, folder)
    assert time.process_time() - begun < 1
    assert (job.done, job.total, job.seconds_left) == (150, 200, 25)


def test_jobs_that_ended_are_not_read_again(workspace: Workspace) -> None:
    ended = make_job(workspace, "tasks/import-0001", (1.0, progress(7)), status="failed")
    going_on = make_job(workspace, "tasks/import-0002", (1.0, progress(7)))
    known: jobs.Known = {}
    first = {job.folder: job for job in jobs.list_jobs(workspace, known)}
    for folder in (ended, going_on):
        (folder / EVENTS).write_bytes(lines((1.0, progress(8))))
    again = {job.folder: job for job in jobs.list_jobs(workspace, known)}
    assert again[ended] is first[ended] and again[going_on].done == 8
    (ended / STATE).write_text((ended / STATE).read_text() + " ")
    assert {job.folder: job for job in jobs.list_jobs(workspace, known)}[ended].done == 8


def test_a_job_whose_files_are_spoilt_is_damaged_and_the_others_are_listed(
    workspace: Workspace,
) -> None:
    make_job(workspace, "tasks/import-0001", (1.0, progress(7)))
    folder = make_job(workspace, "tasks/import-0002", (1.0, progress(7)))
    (folder / STATE).write_text('{"v": 1')
    by_name = {job.folder.name: job for job in jobs.list_jobs(workspace)}
    assert by_name["import-0001"].done == 7
    assert by_name["import-0002"].status == "damaged"
    assert "is not valid JSON" in by_name["import-0002"].text


def test_a_reference_finds_runs_their_jobs_and_tasks(workspace: Workspace) -> None:
    run = make_job(workspace, "runs/import-0002")
    task = make_job(workspace, "tasks/import-0001")
    shadowed = make_job(workspace, "tasks/import-0002")
    on_run = make_job(workspace, "runs/import-0002/evaluations/01")
    for reference, folder in {
        "latest": run,
        "import-0002": run,
        "runs/import-0002": run,
        "tasks/import-0002": shadowed,
        "tasks/import-0001": task,
        "import-0001": task,
        "import-0002/evaluations/01": on_run,
        "runs/import-0002/evaluations/01": on_run,
    }.items():
        assert finding.find_job(workspace, reference) == folder
    for reference in ("tasks/import-0009", "tasks/", "import-0002/evaluations/02"):
        with pytest.raises(WorkbenchError, match=f"There is no job {reference}") as missing:
            finding.find_job(workspace, reference)
        assert "workbench jobs" in missing.value.hint
    with pytest.raises(WorkbenchError, match="no job imprt-0001") as near:
        finding.find_job(workspace, "imprt-0001")
    assert near.value.hint == "Did you mean tasks/import-0001?"


def test_the_verb_lists_jobs_and_shows_one(cli: Cli, workspace: Workspace) -> None:
    assert "There are no jobs yet." in cli("jobs").stdout
    assert json.loads(cli("jobs", "--json").stdout) == []
    folder = make_job(
        workspace,
        "tasks/import-0001",
        (1.0, progress(2_000_000, 9_000_000, "bytes")),
        (3.0, progress(4_000_000, 9_000_000, "bytes")),
    )
    (folder / "request.json").write_text('{"name": "a\\u001b[31mb", "files": ["x.jsonl"]}')
    header, line = cli("jobs").stdout.splitlines()
    assert header.split() == ["job", "kind", "state", "phase", "done", "rate", "left", "started"]
    assert line.startswith(
        "tasks/import-0001  import  running  reading  4.0/9.0 MB  1.00 MB/s  5 s   "
    )
    (listed,) = json.loads(cli("jobs", "--json").stdout)
    assert (listed["rate"], listed["seconds_left"]) == (1e6, 5)
    beat(folder)
    shown = cli("jobs", "show", "import-0001").stdout
    assert "running. It is running." in shown and "a\\x1b[31mb" in shown
    one = json.loads(cli("jobs", "show", "import-0001", "--json").stdout)
    assert one["request"]["files"] == ["x.jsonl"] and one["done"] == 4_000_000
    missing = cli("jobs", "show", "tasks/import-0007")
    assert missing.returncode == 2 and "`workbench jobs` lists them." in missing.stderr


@pytest.fixture
def trained_copy(trained_run: Trained, tmp_path: Path) -> Path:
    """The run of a workspace of the test's own."""
    root = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    return root / "runs" / trained_run.run.name


def test_every_long_task_is_held_shown_and_ended_in_one_way_and_leaves_nothing_half_made(
    cli: Cli, workspace: Workspace, trained_copy: Path, trained_run: Trained, write_rows: WriteRows
) -> None:
    before = {version.reference for version in versions.list_versions(workspace)}
    path = write_rows(*rows(20_000), name="many.jsonl")
    target = workspace.root / "merged"
    folders: dict[str, Path] = {}
    for kind, start in {
        "import": lambda: import_job.start(workspace, [path], "many", Options()),
        "tokens": lambda: tokens_job.start(workspace, "numbers", str(trained_run.base)),
        # Not the threshold of the gate, whose findings are there already.
        "near-duplicates": lambda: check_job.start(
            workspace, "near-duplicates", "numbers", {"threshold": 0.8}
        ),
        "evaluation": lambda: evaluation.start(trained_copy, evaluation.Request(3, 24)),
        "merge": lambda: start_merge(trained_copy, target),
    }.items():
        folders[kind] = start()
        # It has the command before its first word, however long that takes to get there.
        state = JobState.read(folders[kind])
        assert state is not None
        os.kill(state.pid, signal.SIGSTOP)
        command(folders[kind], "pause")
        os.kill(state.pid, signal.SIGCONT)

    def paused(kind: str) -> JobSummary | None:
        job = jobs.summarise(workspace, folders[kind])
        return job if job.status == "paused" else None

    shapes = {
        "import": ("reading", path.stat().st_size, "bytes"),
        "tokens": ("counting tokens", 40, "rows"),
        "near-duplicates": ("signatures", 40, "rows"),
        "evaluation": ("encoding the rows", 1, ""),
        "merge": ("checking the base", 1, "files"),
    }
    for kind, shape in shapes.items():
        job = eventually(lambda kind=kind: paused(kind), 180)
        assert (job.kind, job.phase, job.total, job.unit) == (kind, *shape)
    listed = json.loads(cli("jobs", "--json").stdout)
    assert {job["kind"] for job in listed if job["status"] == "paused"} == set(shapes)
    for kind, folder in folders.items():
        reference = finding.job_reference(workspace, folder)
        said = cli("stop", reference)
        assert said.returncode == 0, said.stderr
        job = eventually(
            lambda folder=folder: job if (job := jobs.summarise(workspace, folder)).ended else None
        )
        assert (job.status, job.text) == ("stopped", "Stopped by a person."), kind
    assert {version.reference for version in versions.list_versions(workspace)} == before
    assert not (workspace.datasets / "many").exists() and not target.exists()
    kept = {"request.json", "job.json", "state.json", EVENTS, "host.jsonl"}
    for folder in folders.values():
        made = {path.name for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}
        assert made <= kept
