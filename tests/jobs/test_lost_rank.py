"""Launchers' reports: as they were saved, and of a real rank that really fails."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.jobs.conftest import StartJob
from tests.jobs.test_ranks import at_work
from tests.jobs.test_supervisor import state_of
from tests.polling import eventually
from workbench.jobs.ending import UNSAID, Ending, tell_ending
from workbench.jobs.events import Event, Failed, Finished
from workbench.jobs.log import LogWriter, rank_log

BREAK = "-" * 55


def entry(number: int, rank: int, code: int, pid: int) -> str:
    name, told = "", "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"
    if code < 0:
        signal_name = signal.Signals(-code).name
        name, told = f" ({signal_name})", f"Signal {-code} ({signal_name}) received by PID {pid}"
    return (
        f"[{number}]:\n  time      : 2026-11-24_18:15:14\n  host      : node-7\n"
        f"  rank      : {rank} (local_rank: {rank})\n  exitcode  : {code} (pid: {pid}) {name}\n"
        f"  error_file: <N/A>\n  traceback : {told}"
    )


def report(root: str, *others: str) -> str:
    """As torch.distributed.run prints it when it gives up."""
    listed = "\n".join(others) or "  <NO_OTHER_FAILURES>"
    return (
        "Traceback (most recent call last):\n"
        '  File "torch/distributed/launcher/api.py", line 383, in launch_agent\n'
        "    raise ChildFailedError(\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
        f"{'=' * 55}\ntrain.py FAILED\n{BREAK}\nFailures:\n{listed}\n{BREAK}\n"
        f"Root Cause (first observed failure):\n{root}\n{'=' * 55}\n"
    )


def error_of(rank: int | None, words: str) -> str:
    mark = "" if rank is None else f"[rank{rank}]: "
    lines = ["Traceback (most recent call last):", '  File "train.py", line 9', "    go()", words]
    return "".join(f"{mark}{line}\n" for line in lines)


KILLED = report(entry(0, 1, -9, 815), entry(1, 0, -15, 814))
CLOSED = "RuntimeError: [/gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:35003."


def tell(
    folder: Path,
    errors: str,
    *events: Event,
    exit_code: int | None = 1,
    killed_for_memory: str | None = None,
    preempted: bool = False,
) -> Ending:
    (folder / "stderr.log").write_text(errors)
    with LogWriter(folder / "events.jsonl") as log:
        for event in events:
            log.write(event)
    return tell_ending(
        folder,
        "events.jsonl",
        exit_code=exit_code,
        stopped_by_person=False,
        killed_for_memory=killed_for_memory,
        preempted=preempted,
    )


def test_a_rank_that_was_killed_is_named_with_its_process_and_signal(tmp_path: Path) -> None:
    ending = tell(tmp_path, KILLED)
    assert (ending.status, ending.cause) == ("failed", "lost_rank")
    assert ending.text == "Rank 1 (process 815) was killed by signal 9 (SIGKILL)."
    ending = tell(tmp_path, KILLED, killed_for_memory="Killed by the kernel for memory: so it was.")
    assert ending.text.endswith("9 (SIGKILL). Killed by the kernel for memory: so it was.")
    assert ending.cause == "lost_rank" and ending.hint


def test_a_rank_that_crashed_is_not_laid_to_a_lack_of_memory(tmp_path: Path) -> None:
    ending = tell(tmp_path, report(entry(0, 2, -11, 816)), killed_for_memory="So it was.")
    assert ending.text == "Rank 2 (process 816) was killed by signal 11 (SIGSEGV)."


@pytest.mark.parametrize(
    "aftermath",
    [
        # Rank 0 lost its connection, or took the launcher's SIGTERM for the node's.
        Failed("lost_rank", "A rank lost its connection to another."),
        Failed("error", "RuntimeError: something went wrong in a library that is not known"),
        Finished(stopped=True, step=7, preempted=True),
    ],
)
def test_the_first_ranks_own_words_do_not_hide_the_loss_of_another(
    tmp_path: Path, aftermath: Event
) -> None:
    ending = tell(tmp_path, KILLED, aftermath)
    assert ending.text.startswith("Rank 1 (process 815) was killed")


def test_the_first_ranks_own_failure_is_told_in_its_words(tmp_path: Path) -> None:
    failed = Failed("loss_not_finite", "The loss of step 3 is not a number.")
    ending = tell(tmp_path, report(entry(0, 0, 1, 814)), failed)
    assert (ending.cause, ending.text) == (failed.cause, failed.text)
    # Another only noticed, before the launcher saw the first.
    noticed = error_of(1, CLOSED) + report(entry(0, 1, 1, 815), entry(1, 0, -15, 814))
    assert tell(tmp_path, noticed, Failed("error", "KeyError: 'oops'")).text == "KeyError: 'oops'"
    done = tell(tmp_path, KILLED, Finished(stopped=True, step=7, preempted=True), preempted=True)
    assert done.text == "Pre-empted after step 7, with a checkpoint."
    assert tell(tmp_path, KILLED, Finished(stopped=False)).status == "finished"


def test_a_rank_that_failed_is_told_in_its_exceptions_words(tmp_path: Path) -> None:
    errors = error_of(1, "ValueError: row 7") + error_of(0, CLOSED)
    ending = tell(tmp_path, errors + report(entry(0, 1, 1, 815), entry(1, 0, -15, 814)))
    assert (ending.cause, ending.text) == (
        "error",
        "Rank 1 (process 815) failed: ValueError: row 7",
    )
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a"
    ending = tell(tmp_path, error_of(1, words) + report(entry(0, 1, 1, 815)))
    assert ending.cause == "out_of_gpu_memory" and ending.text.startswith("Rank 1 (process 815)")


def test_a_job_of_workbenchs_own_tells_it_in_the_ranks_log(tmp_path: Path) -> None:
    failed = Failed("bad_row", "Row 7 is bad.", "Mend row 7.")
    with LogWriter(tmp_path / rank_log(1)) as log:
        log.write(failed)
    errors = error_of(None, "workbench.errors.WorkbenchError: Row 7 is bad.") + "Row 7 is bad.\n"
    ending = tell(tmp_path, errors + report(entry(0, 1, 2, 815)))
    assert (ending.cause, ending.hint) == (failed.cause, failed.hint)
    assert ending.text == "Rank 1 (process 815) failed: Row 7 is bad."
    # Of an earlier start: this one has not said it.
    assert "exit code 3" in tell(tmp_path, report(entry(0, 1, 3, 815))).text


def test_without_marks_the_last_exception_that_is_no_launchers_counts(tmp_path: Path) -> None:
    errors = error_of(None, "KeyError: 'before'") + error_of(None, "ValueError: row 7")
    ending = tell(tmp_path, errors + report(entry(0, 1, 1, 815)))
    assert ending.text.endswith("failed: ValueError: row 7")


def test_a_rank_that_only_noticed_is_passed_over_for_the_one_that_was_killed(
    tmp_path: Path,
) -> None:
    """Both ended between two looks of the launcher."""
    both = report(entry(0, 0, 1, 814), entry(1, 1, -9, 815), entry(2, 2, -15, 816))
    ending = tell(tmp_path, error_of(0, CLOSED) + both)
    assert ending.text == "Rank 1 (process 815) was killed by signal 9 (SIGKILL)."
    aborted = report(entry(0, 0, -6, 814), entry(1, 1, -9, 815))
    assert tell(tmp_path, aborted).text == ending.text


def test_a_rank_that_failed_and_was_slow_to_leave_is_told_before_one_that_lost_it(
    tmp_path: Path,
) -> None:
    """As seen: rank 0 aborted first, and the launcher sent SIGTERM to the one that had failed."""
    with LogWriter(tmp_path / rank_log(1)) as log:
        log.write(Failed("bad_row", "Row 7 is bad.", "Mend row 7."))
    noticed = Failed("lost_rank", "A rank lost its connection to another.")
    errors = "Row 7 is bad.\n" + report(entry(0, 0, -6, 814), entry(1, 1, -15, 815))
    ending = tell(tmp_path, errors, noticed)
    assert (ending.cause, ending.hint) == ("bad_row", "Mend row 7.")
    assert ending.text == "Rank 1 (process 815) failed: Row 7 is bad."


def test_a_rank_that_leaves_without_a_word_is_told_by_its_exit_code(tmp_path: Path) -> None:
    ending = tell(tmp_path, report(entry(0, 1, 3, 815)))
    assert (ending.cause, ending.text) == (
        "lost_rank",
        "Rank 1 (process 815) ended with exit code 3.",
    )
    ending = tell(tmp_path, report(entry(0, 1, UNSAID["disk_full"], 815)))
    assert ending.cause == "disk_full"


def test_a_single_rank_of_accelerates_launcher_is_told_by_its_signal(tmp_path: Path) -> None:
    words = "subprocess.CalledProcessError: Command '['python']' died with <Signals.SIGKILL: 9>."
    assert tell(tmp_path, error_of(None, words)).text == "Rank 0 was killed by signal 9 (SIGKILL)."


def test_a_report_of_an_earlier_start_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_text(KILLED)
    ending = tell_ending(
        tmp_path,
        "events.jsonl",
        exit_code=-signal.SIGSEGV,
        stopped_by_person=False,
        stderr_from=len(KILLED),
    )
    assert ending.text == "Killed by signal 11 (SIGSEGV)."


def test_a_real_rank_that_fails_ends_the_job_in_its_own_words(start_job: StartJob) -> None:
    folder = at_work(start_job("work in ranks", processes=2))
    (folder / "spoil").touch()
    eventually(lambda: state_of(folder).ended, 180)
    state, pid = state_of(folder), (folder / "rank-1.pid").read_text()
    assert (state.status, state.cause, state.hint) == ("failed", "bad_row", "Mend row 7.")
    assert state.text == f"Rank 1 (process {pid}) failed: Row 7 is bad."
    assert any("Root Cause" in line for line in state.last_words)
