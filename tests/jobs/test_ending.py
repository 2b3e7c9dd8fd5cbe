from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from workbench.jobs.ending import UNSAID, Ending, tell_ending
from workbench.jobs.events import Event, Failed, Finished, Progress
from workbench.jobs.log import LogWriter

LOG = "events.jsonl"
BY_KERNEL = "Killed by the kernel for memory: the machine's memory was used up."


def tell(
    folder: Path,
    *events: Event,
    exit_code: int | None = 0,
    stopped_by_person: bool = False,
    **more: Any,
) -> Ending:
    with LogWriter(folder / LOG) as log:
        for event in events:
            log.write(event)
    return tell_ending(
        folder, LOG, exit_code=exit_code, stopped_by_person=stopped_by_person, **more
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
    ending = tell(tmp_path, exit_code=-signal.SIGKILL, killed_for_memory=BY_KERNEL)
    assert (ending.status, ending.cause) == ("failed", "out_of_host_memory")
    assert ending.text == BY_KERNEL and ending.hint


def test_a_kill_that_nothing_is_known_of_is_no_guess(tmp_path: Path) -> None:
    ending = tell(tmp_path, exit_code=-signal.SIGKILL)
    assert (ending.status, ending.cause) == ("failed", "killed")
    assert ending.text == (
        "Killed by signal 9 (SIGKILL), by a person or another program: nothing shows that memory "
        "was short."
    )


def test_another_signal_is_named_without_the_kernel(tmp_path: Path) -> None:
    ending = tell(tmp_path, exit_code=-signal.SIGSEGV, killed_for_memory=BY_KERNEL)
    assert ending == Ending("failed", "Killed by signal 11 (SIGSEGV).", "killed")


def test_a_signal_with_a_usual_reason_is_told_with_it(tmp_path: Path) -> None:
    assert "cut short" in tell(tmp_path, exit_code=-signal.SIGBUS).text


def test_a_process_that_nobody_saw_end_is_told_as_far_as_is_known(tmp_path: Path) -> None:
    """Its first supervisor was killed, and the second is not its parent."""
    ending = tell(tmp_path, exit_code=None)
    assert ending.cause == "killed" and "can't be told" in ending.text
    ending = tell(tmp_path, exit_code=None, killed_for_memory=BY_KERNEL)
    assert (ending.cause, ending.text) == ("out_of_host_memory", BY_KERNEL)


def test_a_signal_without_a_name_of_its_own_is_told(tmp_path: Path) -> None:
    assert "SIGRTMIN+3" in tell(tmp_path, exit_code=-(signal.SIGRTMIN + 3)).text


@pytest.mark.parametrize("exit_code", [-signal.SIGTERM, -signal.SIGKILL, 1])
def test_a_job_stopped_at_once_is_stopped_however_it_went(tmp_path: Path, exit_code: int) -> None:
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=exit_code, stopped_by_person=True)
    assert ending.status == "stopped" and "without a new checkpoint" in ending.text


def test_a_disk_too_full_for_last_words_is_told_by_the_exit_code(tmp_path: Path) -> None:
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=UNSAID["disk_full"])
    assert (ending.status, ending.cause) == ("failed", "disk_full")


def test_what_an_earlier_start_said_is_not_the_ending_of_this_one(tmp_path: Path) -> None:
    """A run that failed, was resumed and was killed before its first event."""
    earlier = Failed("loss_not_finite", "The loss of step 3 is not a number.")
    ending = tell(tmp_path, earlier, exit_code=-signal.SIGKILL, first_event=1)
    assert ending.cause == "killed"
    assert tell(tmp_path, exit_code=-signal.SIGKILL, first_event=0).cause == "loss_not_finite"


def test_a_job_without_a_log_has_an_ending_all_the_same(tmp_path: Path) -> None:
    ending = tell_ending(tmp_path, LOG, exit_code=1, stopped_by_person=False)
    assert ending.status == "failed"


def test_a_job_that_was_pre_empted_says_after_which_step(tmp_path: Path) -> None:
    ending = tell(tmp_path, Finished(stopped=True, step=9, preempted=True))
    assert (ending.status, ending.text) == (
        "pre-empted",
        "Pre-empted after step 9, with a checkpoint.",
    )
    ending = tell(tmp_path, Finished(stopped=True, preempted=True), preempted=True)
    assert ending.text == "Pre-empted before its first step."
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=-signal.SIGKILL, preempted=True)
    assert (ending.status, ending.text) == ("pre-empted", "Pre-empted, without a new checkpoint.")


def test_a_job_that_was_ended_for_a_stall_says_so_unless_it_had_ended_by_itself(
    tmp_path: Path,
) -> None:
    how = "Not a word for 600 s; 2.0 s is usual."
    ending = tell(tmp_path, Progress("p", 1, 2), exit_code=-signal.SIGKILL, stalled=how)
    assert (ending.status, ending.cause) == ("failed", "stalled")
    assert how in ending.text
    assert tell(tmp_path, Finished(stopped=False), exit_code=-9, stalled=how).status == "finished"


def test_the_last_lines_of_stderr_are_kept_as_they_are(tmp_path: Path) -> None:
    lines = [f"line {n}" for n in range(30)]
    text = "\n".join(lines) + "\n\n  \x1b[31mred\x1b[0m\n\rstep 1\rstep 2\r\n" + "x" * 400
    (tmp_path / "stderr.log").write_bytes(text.encode() + b"\n\xff\n")
    words = tell(tmp_path, Finished(stopped=False)).last_words
    assert len(words) == 20 and words[0] == "line 14"
    assert words[-4:] == ("  \x1b[31mred\x1b[0m", "step 2", "x" * 300, "\ufffd")


def test_what_an_earlier_start_left_on_stderr_is_not_this_ones(tmp_path: Path) -> None:
    before = "torch.OutOfMemoryError: CUDA out of memory.\n"
    (tmp_path / "stderr.log").write_text(before)
    ending = tell(tmp_path, exit_code=3, stderr_from=len(before))
    assert ending.text == "The process ended with exit code 3." and ending.last_words == ()
    (tmp_path / "stderr.log").write_text(f"{before}now\n")
    assert tell(tmp_path, exit_code=3, stderr_from=len(before)).last_words == ("now",)


def test_a_crash_is_told_by_its_last_words_where_they_are_known(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_text(
        "terminate called after throwing an instance of 'c10::Error'\n"
        "  what():  CUDA error: an illegal memory access was encountered\n"
        "CUDA kernel errors might be asynchronously reported at some other API call.\n"
    )
    ending = tell(tmp_path, exit_code=-signal.SIGABRT)
    assert ending.cause == "gpu_fault"
    assert ending.text == "The GPU failed: an illegal memory access was encountered."
    assert "  what():  CUDA error: an illegal memory access was encountered" in ending.last_words
