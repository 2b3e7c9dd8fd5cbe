from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.harness import configure
from workbench import demo
from workbench.data.importing import import_files
from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.events import Notice
from workbench.jobs.log import read_all
from workbench.jobs.waiting import wait
from workbench.tracking import runs
from workbench.workspace import Workspace


def test_a_demonstration_that_was_stopped_says_so(
    workspace: Workspace, tiny_model: Path, write_rows: Callable[..., Path]
) -> None:
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(20))
    import_files(workspace, [write_rows(*rows)], "sample")
    config = configure(tiny_model, training={"max_steps": 100_000})
    run = runs.create(workspace, config, command="", say=lambda text: None)
    runs.start(run)
    launch.start(run / demo.FOLLOW_UP, "workbench.demo")
    runs.command(run, "stop_now")
    assert wait(run / demo.FOLLOW_UP) == "stopped"
    events = [record.event for record in read_all(run / demo.FOLLOW_UP / launch.EVENTS)]
    assert "training was stopped" in next(e.text for e in events if isinstance(e, Notice))
    with pytest.raises(WorkbenchError) as told:
        demo.outcome(workspace, run)
    assert "was stopped before it had finished" in told.value.message
    assert f"workbench train --resume {run.name}" in told.value.hint
    assert told.value.exit_code == 2
