"""How often a log says how far a piece of work has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.jobs.events import Progress
from workbench.jobs.log import LogWriter, read_all
from workbench.jobs.progress import ProgressLines


def test_four_lines_a_second_are_written_at_most_and_the_ends_of_a_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("workbench.jobs.progress.time.monotonic", lambda: now)
    with LogWriter(tmp_path / "log.jsonl") as log:
        tell = ProgressLines(log)
        for done in range(1, 101):
            now += 0.01
            tell("validation", done, 100, "rows")
        tell("saving", 0, 1)
    told = [r.event for r in read_all(tmp_path / "log.jsonl") if isinstance(r.event, Progress)]
    first, *_, last, saving = [(p.phase, p.done) for p in told]
    assert first == ("validation", 1)
    assert (last, saving) == (("validation", 100), ("saving", 0))
    assert len(told) <= 1 + 4 + 2
