"""What can't do what it says is told, with what to do; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.harness import configure, events
from workbench.data.importing import Options, import_files
from workbench.jobs.control import Control
from workbench.jobs.events import Notice
from workbench.jobs.log import LogWriter
from workbench.tracking import runs
from workbench.training.job import train
from workbench.workspace import Workspace


@pytest.mark.parametrize(
    ("share", "sections", "words"),
    [
        (
            0.0,
            {"evaluation": {"patience": 2, "every": 1}},
            ["evaluation.patience does nothing: there is no validation split"],
        ),
        (
            0.0,
            {"checkpoints": {"result": "best"}},
            ["checkpoints.result: best does nothing, the last step is kept: there is no"],
        ),
        (
            0.0,
            {"training": {"max_steps": 2, "warmup_steps": 2}},
            ["training.warmup_steps is 2, and there are 2 steps. Use fewer"],
        ),
        (0.0, {"training": {"max_steps": 2, "warmup_steps": 1}}, []),
        (
            0.5,
            {"evaluation": {"patience": 2, "every": 1}, "checkpoints": {"result": "best"}},
            [],
        ),
    ],
)
def test_a_setting_that_comes_to_nothing_is_told(
    workspace: Workspace,
    write_rows: Callable[..., Path],
    base: Path,
    share: float,
    sections: dict[str, dict[str, Any]],
    words: list[str],
) -> None:
    rows = write_rows(*({"prompt": f"{n}?", "completion": f"it is {n}"} for n in range(8)))
    import_files(workspace, [rows], "sample", Options(validation_share=share))
    training = {"max_steps": 1, **sections.get("training", {})}
    config = configure(base, **{**sections, "training": training})
    folder = runs.create(workspace, config, command="test", say=lambda text: None)
    with LogWriter(folder / runs.LOG) as log:
        train(folder, log, Control())
    told = [n.text for n in events(folder, Notice) if "overfitting can't be seen" not in n.text]
    assert len(told) == len(words)
    assert all(part in text for part, text in zip(words, told, strict=True))
