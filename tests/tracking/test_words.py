from __future__ import annotations

from dataclasses import replace

from workbench.jobs.events import (
    Answered,
    Evaluated,
    Rehearsed,
    Skipped,
    Spiked,
    Started,
    Step,
)
from workbench.tracking.words import setting, words

STARTED = Started(
    total_steps=10,
    epochs=1.0,
    train_rows=90,
    validation_rows=10,
    train_tokens=12345,
    trainable_parameters=1000,
    parameters=9999,
    device="NVIDIA H100",
    dtype="bfloat16",
    adapter_dtype="float32",
    micro_batch=4,
    packed=True,
    processes=2,
)


def test_a_start_is_told_with_how_rows_go_through() -> None:
    how = "NVIDIA H100, bfloat16, trained in float32, micro-batches of 4 rows, packed, 2 processes"
    assert words(STARTED) == f"begins on {how}"
    by_tokens = replace(STARTED, micro_batch=0, micro_batch_tokens=8192)
    assert words(by_tokens) == f"begins on {how.replace('4 rows', '8,192 tokens')}"


def test_a_start_of_an_earlier_release_is_told_as_far_as_it_goes() -> None:
    old = Started(10, 1.0, 90, 10, 12345, 1000, 9999, "CPU", "float32", resumed_from=3)
    assert setting(old) == "CPU, float32"
    assert words(old) == "goes on from step 3 on CPU, float32"


def test_a_skipped_step_is_warned_of_with_its_first_rows() -> None:
    rows = [
        {"row": 42, "loss": None, "tokens": 9},
        {"row": 7, "loss": 2.1, "tokens": 9},
        {"row": 9, "loss": 1.98766, "tokens": 9},
        {"row": 1, "loss": 1.0, "tokens": 9},
    ]
    assert words(Skipped(12, "gradient", rows)) == (
        "warning: step 12 was skipped, for its gradient is not a number; "
        "lines 42 (no number), 7 (2.1000), 9 (1.9877) and 1 more"
    )


def test_a_spike_is_warned_of_with_what_is_usual() -> None:
    assert words(Spiked(12, 9.5, 2.25, [{"row": 3, "loss": 11.0, "tokens": 4}])) == (
        "warning: the loss of step 12 is 9.5000, and 2.2500 is usual; line 3 (11.0000)"
    )


def test_a_rehearsal_is_told_with_its_peak_and_its_time() -> None:
    assert words(Rehearsed(8, 2048, 3 << 30, 1.44, 8)) == (
        "the largest batch (8 rows, 2,048 tokens) took 3.0 GiB at most and 1.4 s"
    )
    assert words(Rehearsed(8, 2048, 3 << 30, 1.44, 8, 2 << 30)) == (
        "the largest batch (8 rows, 2,048 tokens) took 3.0 GiB at most and 1.4 s; "
        "the forecast was 2.0 GiB"
    )


def test_a_validation_is_told_with_its_perplexity_and_its_tasks() -> None:
    told = Evaluated(
        20,
        2.0,
        11,
        300,
        7.389056,
        {
            "chat\x1b[2J": {"loss": 2.5, "perplexity": 12.2, "rows": 10, "trained_tokens": 200},
            "": {"loss": None, "perplexity": None, "rows": 1, "trained_tokens": 100},
        },
    )
    assert words(told) == (
        "validation loss 2.0000 after step 20, perplexity 7.389; "
        "chat\\x1b[2J: 2.5000 (10 rows); no task: no number (1 row)"
    )
    assert words(Evaluated(20, 2.0, 10, 300)) == "validation loss 2.0000 after step 20"


def test_an_answer_is_told_with_its_prompt_and_nothing_of_it_reaches_the_terminal() -> None:
    told = words(Answered(20, 33, "Say\n\x1b[31mred ", f"\x07{'long ' * 200}"))
    first, second = told.split("\n")
    assert first == "after step 20, line 33: Say⏎\\x1b[31mred"
    assert second.startswith("  answered: \\x07long long") and second.endswith("...")
    assert len(second) < 320


def test_steps_are_told_in_other_ways() -> None:
    assert words(Step(1, 0.1, 2.0, 1e-3, 1.0, 9, 5, 0.1)) == ""
