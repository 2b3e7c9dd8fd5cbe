from __future__ import annotations

import signal
from pathlib import Path

import pytest

from workbench.jobs.ending import DISK_FULL_EXIT, Ending, oom_kills, tell_ending
from workbench.jobs.events import Event, Failed, Finished, Progress
from workbench.jobs.log import LogWriter

LOG = "events.jsonl"


def tell(
    folder: Path,
    *events: Event,
    exit_code: int = 0,
    stopped_by_person: bool = False,
    oom_kills: int = 0,
    first_event: int = 0,
) -> Ending:
    with LogWriter(folder / LOG) as log:
        for event in events:
            log.write(event)
    return tell_ending(
        folder,
        LOG,
        exit_code=exit_code,
        stopped_by_person=stopped_by_person,
        oom_kills=oom_kills,
        first_event=first_event,
    )


def test_a_job_that_says_it_finished_has_finished(tmp_path: Path) -> None:
    ending = tell(tmp_path, Progress("p", 1, 1), Finished(stopped=False, step=9))
    assert ending == Ending("finished", "Finished.")


def test_a_library_that_crashes_after_the_last_word_does_not_undo_the_work(
    tmp_path: Path,
) -> None:
    ending = tell(tmp_path, Finished(stopped=False, step=9), exit_code=-signal.SIGSEGV)
    assert ending.status == "finished"


def test_a_job_that_was_stopped_says_after_which_step(tmp_path: Path) -> None:
    ending = tell(tmp_path, Finished(stopped=True, step=9))
    assert ending.status == "stopped"
    assert "step 9" in ending.text and "checkpoint" in ending.text


def test_a_job_that_failed_is_told_in_its_own_words(tmp_path: Path) -> None:
    ending = tell(tmp_path, Failed("disk_full", "The disk is full.", "Free some."), exit_code=1)
    assert ending == Ending("failed", "The disk is full.", "disk_full", "Free some.")


def test_an_exit_code_is_told_with_the_last_line_of_stderr(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_text("long before\nRuntimeError: the reason\n\n")
    ending = tell(tmp_path, exit_code=3)
    assert (ending.status, ending.cause) == ("failed", "error")
    assert "exit code 3" in ending.text and "RuntimeError: the reason" in ending.text
    assert "stderr.log" in ending.hint


def test_a_very_long_last_line_of_stderr_is_cut(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_bytes(b"\xff" * 100_000)
    assert len(tell(tmp_path, exit_code=1).text) < 400


def test_a_job_that_left_without_a_word_has_failed_even_with_exit_code_0(tmp_path: Path) -> None:
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=0)
    assert ending.status == "failed" and "exit code 0" in ending.text


def test_a_kill_by_the_kernel_for_memory_is_named(tmp_path: Path) -> None:
    ending = tell(tmp_path, exit_code=-signal.SIGKILL, oom_kills=1)
    assert (ending.status, ending.cause) == ("failed", "out_of_host_memory")
    assert "memory" in ending.text and ending.hint


def test_a_kill_that_the_kernel_says_nothing_of_is_a_guess(tmp_path: Path) -> None:
    ending = tell(tmp_path, exit_code=-signal.SIGKILL)
    assert (ending.status, ending.cause) == ("failed", "killed")
    assert "SIGKILL" in ending.text and "usual cause" in ending.text


def test_another_signal_is_named_without_a_guess(tmp_path: Path) -> None:
    ending = tell(tmp_path, exit_code=-signal.SIGSEGV, oom_kills=1)
    assert ending == Ending("failed", "Killed by signal 11 (SIGSEGV).", "killed")


def test_a_signal_without_a_name_of_its_own_is_told(tmp_path: Path) -> None:
    assert "SIGRTMIN+3" in tell(tmp_path, exit_code=-(signal.SIGRTMIN + 3)).text


@pytest.mark.parametrize("exit_code", [-signal.SIGTERM, -signal.SIGKILL, 1])
def test_a_job_stopped_at_once_is_stopped_however_it_went(tmp_path: Path, exit_code: int) -> None:
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=exit_code, stopped_by_person=True)
    assert ending.status == "stopped" and "without a new checkpoint" in ending.text


def test_a_disk_too_full_for_last_words_is_told_by_the_exit_code(tmp_path: Path) -> None:
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=DISK_FULL_EXIT)
    assert (ending.status, ending.cause) == ("failed", "disk_full")


def test_what_an_earlier_start_said_is_not_the_ending_of_this_one(tmp_path: Path) -> None:
    """A run that failed, was resumed and was killed before its first event."""
    earlier = Failed("loss_not_finite", "The loss of step 3 is not a number.")
    ending = tell(tmp_path, earlier, exit_code=-signal.SIGKILL, first_event=1)
    assert ending.cause == "killed"
    assert tell(tmp_path, exit_code=-signal.SIGKILL, first_event=0).cause == "loss_not_finite"


def test_a_job_without_a_log_has_an_ending_all_the_same(tmp_path: Path) -> None:
    ending = tell_ending(tmp_path, LOG, exit_code=1, stopped_by_person=False, oom_kills=0)
    assert ending.status == "failed"


def test_the_kernels_count_of_kills_is_a_number_on_this_machine() -> None:
    assert oom_kills() >= 0
