"""What a terminal without the app is told of a job."""

from __future__ import annotations

from workbench.jobs.events import Answered, CheckpointSaved, Event, Notice, Record, Spiked
from workbench.verbs.following import Reporter


def told(*events: Event) -> list[str]:
    said: list[str] = []
    reporter = Reporter(said.append, "run-0001", opening="started")
    reporter([Record(n, 1000.0 + n, event) for n, event in enumerate(events)])
    return said


def test_findings_of_a_training_are_told_in_their_order() -> None:
    assert told(
        Notice("Rows are padded."),
        Spiked(12, 9.5, 2.25, [{"row": 3, "loss": 11.0, "tokens": 4}]),
        Answered(12, 7, "Is 1 a number?", "ok"),
        CheckpointSaved(12, "step-12", "best"),
    ) == [
        "Rows are padded.",
        "warning: the loss of step 12 is 9.5000, and 2.2500 is usual; line 3 (11.0000)",
        "after step 12, line 7: Is 1 a number?\n  answered: ok",
        "saved step-12 (best)",
    ]
