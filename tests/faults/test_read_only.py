"""A workspace that can't be written: every verb says so, and what can be read is shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Mounted
from tests.faults.invariants import told_in_words, whole_lines, whole_log
from tests.faults.matrix import Chance, play, play_each
from tests.jobs.conftest import StartJob
from tests.polling import eventually
from tests.trained import Trained
from workbench.jobs import launch
from workbench.jobs.state import ENDED, HOST_LOG, describe

READING = (
    ("status",),
    ("status", "--line"),
    ("attach", "--plain"),
    ("jobs",),
    ("queue", "list"),
    ("runs", "list"),
    ("runs", "show"),
    ("data", "list"),
    ("data", "check", "{dataset}"),
    ("data", "show", "{dataset}"),
    ("review", "list"),
)
WRITING = (
    ("data", "import", "{rows}"),
    ("data", "tokens", "{dataset}"),
    ("data", "near-duplicates", "{dataset}"),
    ("config", "new", "other"),
    ("train", "{config}"),
    ("queue", "add", "{config}"),
    ("eval",),
    ("review", "create", "other"),
    ("export", "adapter", "latest", "--to", "{place}/adapter"),
    ("export", "merged", "latest", "--to", "{place}/merged"),
)


def test_every_verb(trained_run: Trained, mounted: Mounted, tmp_path: Path) -> None:
    place = mounted("64m")
    root = Path(shutil.copytree(trained_run.pristine, place / "ws"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Ask", "completion": "answer"}\n' * 4)
    (run,) = (root / "runs").iterdir()
    names = {
        "rows": str(rows),
        "config": str(run / "config.yaml"),
        "dataset": next((root / "datasets").iterdir()).name,
        "place": str(place),
    }
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)

    def trial(chance: Chance, verb: tuple[str, ...]) -> None:
        arguments = [part.format(**names) for part in verb]
        ended = _workbench(root, *arguments)
        said = f"{arguments}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        assert "Traceback" not in said and "fault of workbench" not in said, said
        if verb in WRITING:
            assert ended.returncode == 2 and "read-only" in ended.stderr, said
        else:
            assert ended.returncode == 0 and ended.stdout.strip(), said

    play_each("read-only workspace: every verb", trial, [*READING, *WRITING], few=4)


def test_a_file_system_that_turns_read_only_under_a_job(
    start_job: StartJob, mounted: Mounted
) -> None:
    """As Linux does when a disk fails."""

    def trial(chance: Chance) -> None:
        place = mounted("24m", image=True)
        folder = start_job("work", place / "job")
        before = eventually(lambda: whole_lines(folder / launch.EVENTS))
        _turn_read_only(place)
        eventually(lambda: describe(folder)[0] in ENDED)
        assert told_in_words(folder, "read-only") == "dead"
        whole_log(folder / launch.EVENTS, before)
        whole_log(folder / HOST_LOG)

    play("read-only: the file system turns so under a job", trial, few=1, many=5)


def _turn_read_only(place: Path) -> None:
    """Have the kernel meet an error on the file system; it has errors=remount-ro."""
    source = next(
        line.split()[0]
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[1] == str(place)
    )
    trigger = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
    if not os.access(trigger, os.W_OK):
        pytest.skip("the kernel has no errors on demand")
    trigger.write_text("of a test\n")


def _workbench(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "WORKBENCH_HOME": str(root)},
        timeout=120,
    )
