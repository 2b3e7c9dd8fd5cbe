from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.files import sha256_file
from workbench.review.making import create_session
from workbench.review.sources import Source
from workbench.workspace import Workspace


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    rows = (
        {
            "key": f"row-{n}",
            "prompt": [{"role": "user", "content": f"{n}?"}],
            "reference": "",
            "outputs": {"base": f"B{n}", "adapter": f"A{n}"},
        }
        for n in range(64)
    )
    (folder / "outputs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def lefts(workspace: Workspace, evaluation: Path, seed: int | None = None) -> list[str]:
    """What stands on the left of each item."""
    session = create_session(workspace, "first", [Source.of(evaluation)], seed=seed)
    return [session.comparison("ann", str(n)).left for n in range(1, 65)]


def test_a_session_keeps_which_outputs_it_shows(workspace: Workspace, evaluation: Path) -> None:
    session = create_session(workspace, "first", [Source.of(evaluation)])
    outputs = evaluation / "outputs.jsonl"
    assert session.source == {"evaluation": str(evaluation), "sha256": sha256_file(outputs)}
    assert len(session.units) == 64


def test_the_sides_can_t_be_known_unless_a_seed_is_given(tmp_path: Path, evaluation: Path) -> None:
    one, other = (lefts(Workspace(tmp_path / name), evaluation) for name in "ab")
    assert one != other
    one, other = (lefts(Workspace(tmp_path / name), evaluation, seed=0) for name in "cd")
    assert one == other


def test_a_folder_that_is_no_evaluation_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"it has no outputs\.jsonl"):
        create_session(workspace, "first", [Source.of(tmp_path)])
