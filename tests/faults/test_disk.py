"""A disk that is full: at a start, or all at once while a job writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.conftest import Fresh, Mounted
from tests.faults.forked import Forked
from tests.faults.invariants import (
    LOG,
    Course,
    course,
    nothing_runs,
    resumed_from_newest,
    told_in_words,
    whole_checkpoints,
    whole_log,
)
from tests.faults.matrix import Chance, play
from tests.faults.test_supervisor import PATIENCE
from tests.polling import eventually
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.jobs.ending import UNSAID
from workbench.jobs.state import ENDED, JobState, describe
from workbench.tracking import runs
from workbench.workspace import Workspace

_PAGE = 4096


class Ballast:
    """A file that takes the room on a small file system."""

    def __init__(self, place: Path) -> None:
        self._path = place / "ballast"

    def leave(self, size: int) -> None:
        """Take all but `size` bytes."""
        with self._path.open("ab", buffering=0) as file:
            while (free := self._free() - size) > 0:
                try:
                    file.write(bytes(min(free, 1 << 20)))
                except OSError:
                    return

    def give_back(self) -> None:
        self._path.unlink()

    def _free(self) -> int:
        status = os.statvfs(self._path.parent)
        return status.f_bavail * status.f_frsize


def told_of_the_disk(run: Path, code: int | None) -> str:
    """How a training process without a supervisor says that the disk was full."""
    last = whole_log(run / LOG)[-1:]
    if last and last[0]["type"] == "failed":
        assert last[0]["cause"] == "disk_full" and "disk is full" in last[0]["text"], last
        return "told in the log"
    assert code == UNSAID["disk_full"], (code, last, (run / "stderr.log").read_text())
    return "told by the exit code"


def test_disk_full_from_some_write_on(
    fresh: Fresh, forked: Forked, reference: Course, mounted: Mounted
) -> None:
    """The room ends anywhere in the run: in a log, in a checkpoint, in the adapter."""

    def trial(chance: Chance) -> None:
        place = mounted("4m")
        run, ballast = fresh(place), Ballast(place)
        ballast.leave(chance.randrange(0, 200) * _PAGE)
        forked.start(run)
        code = forked.end()
        if code != 0:
            chance.note(told_of_the_disk(run, code))
        else:
            chance.note("there was room")
        whole = whole_checkpoints(run)
        before = (run / LOG).read_bytes()
        ballast.give_back()
        if code != 0:
            forked.start(run)
            assert forked.end() == 0, (run / "stderr.log").read_text()
            resumed_from_newest(run, whole)
        whole_log(run / LOG, before)
        assert course(run) == reference

    play("disk full from some write on, training", trial, few=2, many=120)


def test_disk_full_all_at_once(
    fresh: Fresh, forked: Forked, reference: Course, mounted: Mounted
) -> None:
    def trial(chance: Chance) -> None:
        place = mounted("4m")
        run, ballast = fresh(place), Ballast(place)
        forked.start(run)
        time.sleep(chance.uniform(0, 1.2))
        ballast.leave(0)
        code = forked.end()
        if code != 0:
            chance.note(told_of_the_disk(run, code))
        else:
            chance.note("done before")
        whole = whole_checkpoints(run)
        ballast.give_back()
        if code != 0:
            forked.start(run)
            assert forked.end() == 0, (run / "stderr.log").read_text()
            resumed_from_newest(run, whole)
        assert course(run) == reference

    play("disk full all at once, training", trial, few=1, many=60)


def test_disk_full_under_a_supervisor(fresh: Fresh, reference: Course, mounted: Mounted) -> None:
    """It is not started again for that; and its cause is known once there is room for it."""

    def trial(chance: Chance) -> None:
        place = mounted("4m")
        run, ballast = fresh(place, restarts=3, restart_after=0), Ballast(place)
        runs.start(run)
        ballast.leave(chance.randrange(0, 100) * _PAGE)
        state = JobState.read(run)
        assert state is not None
        eventually(lambda: not state.job_alive(), PATIENCE)
        ballast.give_back()
        eventually(lambda: describe(run)[0] in ENDED and not state.supervisor_alive(), PATIENCE)
        word = told_in_words(run, cause="disk_full")
        assert word == "failed" and "disk is full" in describe(run)[1]
        runs.start(run)
        eventually(lambda: describe(run)[0] in ENDED, PATIENCE)
        assert course(run) == reference
        nothing_runs(run)

    play("disk full under a supervisor", trial, few=1, many=12)


def _rows(place: Path) -> Path:
    path = place / "rows.jsonl"
    path.write_text(
        "".join(f'{{"prompt": "Ask {n}", "completion": "{"word " * 40}{n}"}}\n' for n in range(900))
    )
    return path


def test_disk_full_while_a_dataset_is_written(tmp_path: Path, mounted: Mounted) -> None:
    rows, options = _rows(tmp_path), Options(validation_share=0.2)
    expected = import_files(Workspace(tmp_path / "ws"), [rows], "sample", options).sha256
    needed = sum(f.stat().st_size for f in (tmp_path / "ws").rglob("*") if f.is_file())

    def trial(chance: Chance) -> None:
        place = mounted("2m")
        workspace, ballast = Workspace(place / "ws"), Ballast(place)
        ballast.leave(chance.randrange(0, needed * 5 // 4, _PAGE))
        try:
            import_files(workspace, [rows], "sample", options)
            chance.note("there was room")
        except WorkbenchError as error:
            assert error.cause == "disk_full" and "the disk is full" in error.message
            assert not list(workspace.datasets.glob("*/*")), "something half-written is left"
            chance.note("refused")
        ballast.give_back()
        shutil.rmtree(workspace.datasets, ignore_errors=True)
        assert import_files(workspace, [rows], "sample", options).sha256 == expected

    play("disk full while a dataset is written", trial, few=6, many=150)


def test_disk_full_in_the_import_verb(tmp_path: Path, mounted: Mounted) -> None:
    rows = _rows(tmp_path)

    def trial(chance: Chance) -> None:
        place = mounted("2m")
        ballast = Ballast(place)
        # From too little for the job's own folder to too little for its result.
        ballast.leave(chance.randrange(0, 60) * _PAGE)
        ended = _workbench("data", "import", str(rows), "--workspace", str(place / "ws"))
        assert ended.returncode == 2, (ended.returncode, ended.stderr)
        assert "disk is full" in ended.stderr and "Traceback" not in ended.stderr
        assert not list(place.glob("ws/datasets/*/*"))
        ballast.give_back()
        ended = _workbench("data", "import", str(rows), "--workspace", str(place / "ws"))
        assert ended.returncode == 0, ended.stderr

    play("disk full in `workbench data import`", trial, few=1, many=24)


def test_sigkill_while_a_dataset_is_written(tmp_path: Path) -> None:
    rows = _rows(tmp_path)
    expected = import_files(Workspace(tmp_path / "whole"), [rows], "sample", Options()).sha256

    def trial(chance: Chance) -> None:
        root = tmp_path / f"ws-{chance.number}"
        importing = subprocess.Popen(
            [sys.executable, "-c", _IMPORT, str(root), str(rows)], stdout=subprocess.PIPE
        )
        assert importing.stdout is not None
        importing.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        importing.send_signal(signal.SIGKILL)
        done = importing.wait() == 0
        importing.stdout.close()
        there = [path.name for path in root.glob("datasets/sample/[!.]*")]
        assert there in ([], [expected[:12]]) and (there or not done), there
        chance.note("the version was there" if there else "no version")
        assert import_files(Workspace(root), [rows], "sample", Options()).sha256 == expected

    play("import: SIGKILL while a dataset is written", trial, few=2, many=100)


_IMPORT = """
import sys
from pathlib import Path
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace
print("ready", flush=True)
import_files(Workspace(Path(sys.argv[1])), [Path(sys.argv[2])], "sample", Options())
"""


def _workbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
