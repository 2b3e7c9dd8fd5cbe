"""A log that ends in the middle of a line, at every byte where it can."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

from tests.faults.conftest import Fresh
from tests.faults.forked import Forked
from tests.faults.invariants import LOG, Course, whole_lines, whole_log
from tests.faults.matrix import Chance, play, play_each
from tests.polling import eventually
from workbench.jobs import processes
from workbench.jobs.events import Notice
from workbench.jobs.log import LogReader, LogWriter, ends, read_all
from workbench.jobs.state import HOST_LOG, describe
from workbench.tracking import runs
from workbench.tracking.line import status_line
from workbench.workspace import Workspace


def test_a_torn_tail_at_every_byte(reference: Course, tmp_path: Path) -> None:
    """Readers give the whole lines and nothing else, and a writer goes on after them."""
    content = (reference.run / LOG).read_bytes()
    torn = tmp_path / LOG
    ends_of_lines = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]

    def trial(chance: Chance, length: int) -> None:
        torn.write_bytes(content[:length])
        whole = sum(end <= length for end in ends_of_lines)
        assert [r.seq for r in read_all(torn)] == list(range(whole))
        assert len(ends(torn)) == whole
        with LogWriter(torn) as log:
            log.write(Notice("goes on"))
        whole_log(torn, content[:length])
        assert [r.seq for r in read_all(torn)] == list(range(whole + 1))

    play_each("log: torn at every byte offset", trial, range(len(content) + 1), few=400)


def test_a_reader_that_follows_a_torn_log(reference: Course, tmp_path: Path) -> None:
    """It never gives a line twice, nor half of one, in whatever pieces the log comes."""
    content = (reference.run / LOG).read_bytes()
    count = content.count(b"\n")

    def trial(chance: Chance) -> None:
        path = tmp_path / LOG
        path.write_bytes(b"")
        reader, found = LogReader(path), list[int]()
        cuts = sorted(chance.sample(range(len(content)), 60))
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            with path.open("ab") as log:
                log.write(content[start:end])
            found += [record.seq for record in reader.read()]
        assert found == list(range(count))

    play("log: read while it grows by pieces of lines", trial, few=20, many=400)


def test_every_face_of_a_run_with_a_torn_log(reference: Course, tmp_path: Path) -> None:
    """Status, list and summary of a run that was cut off with its machine."""
    run = Path(shutil.copytree(reference.run.parent.parent, tmp_path / "ws")) / "runs"
    (run,) = run.iterdir()
    logs = {name: (run / name).read_bytes() for name in (LOG, HOST_LOG) if (run / name).exists()}
    workspace = Workspace(run.parent.parent)
    places = [(name, length) for name, content in logs.items() for length in range(len(content))]

    def trial(chance: Chance, place: tuple[str, int]) -> None:
        name, length = place
        (run / name).write_bytes(logs[name][:length])
        summary = runs.summarise(run).to_json()
        assert json.loads(json.dumps(summary)) == summary
        assert run.name in status_line(workspace, run.name)
        assert describe(run)[1]
        (run / name).write_bytes(logs[name])

    play_each("log: status and summary of a torn one", trial, places, few=60)


def test_a_run_goes_on_from_a_torn_log(fresh: Fresh, forked: Forked, reference: Course) -> None:
    """Killed somewhere, and its log's last line cut somewhere, as by a loss of power."""

    def trial(chance: Chance) -> None:
        run = fresh()
        pid = forked.start(run)
        eventually(lambda: whole_lines(run / LOG))
        time.sleep(chance.uniform(0, 1))
        processes.send([pid], signal.SIGKILL)
        forked.end()
        content = whole_lines(run / LOG)
        *_, last = content.splitlines(keepends=True)
        (run / LOG).write_bytes(content[: -chance.randint(1, len(last))])
        kept = whole_lines(run / LOG)
        forked.start(run)
        assert forked.end() == 0, (run / "stderr.log").read_text()
        events = whole_log(run / LOG, kept)
        steps = {e["step"]: e["loss"] for e in events if e["type"] == "step"}
        # The figures of a step that a checkpoint has, and the log no more, stay lost.
        lost = json.loads(last).get("step") if json.loads(last)["type"] == "step" else None
        wanted = {step: figures[0] for step, figures in reference.steps.items()}
        assert {**wanted, **steps} == wanted and wanted.keys() - steps.keys() <= {lost}

    play("log: torn, and the run resumed", trial, few=1, many=60)
