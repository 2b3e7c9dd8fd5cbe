from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.verbs import review

Run = Callable[..., Any]


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    with (folder / "outputs.jsonl").open("w") as stream:
        for i in range(4):
            adapter = "B0" if i == 0 else f"A{i} \x1b[2J[bold]"
            row = {
                "key": f"row-{i}",
                "prompt": [{"role": "user", "content": f"Question {i}?"}],
                "reference": f"Wanted {i}",
                "task": "qa",
                "outputs": {"base": f"B{i}", "adapter": adapter},
            }
            stream.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `workbench review ARGUMENTS`, prints its result and returns it through JSON."""

    def run(*arguments: str) -> Any:
        parser = argparse.ArgumentParser()
        review.add_parser(parser.add_subparsers())
        args = parser.parse_args(["review", *arguments, "--workspace", str(tmp_path / "ws")])
        result = args.run(args)
        args.show(result)
        return json.loads(json.dumps(result))

    return run


def test_a_review_from_an_evaluation_folder_to_the_result(
    evaluation: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    created = run("create", "first", "--from", str(evaluation))
    assert (created["items"], created["identical"]) == (3, 1)
    assert Path(created["path"]).is_file()

    while (shown := run("next", "first", "--annotator", "ann"))["comparison"]:
        comparison = shown["comparison"]
        assert comparison["prompt"].startswith("Question")
        choice = "left" if comparison["left"].startswith("A") else "right"
        judged = run("judge", "first", comparison["item"], choice, "--annotator", "ann")
    assert judged["progress"] == {"annotator": "ann", "total": 3, "judged": 3, "skipped": 0}

    assert run("report", "first")["result"] is None
    out = capsys.readouterr().out
    assert "base" not in out and "adapter" not in out and str(evaluation) not in out
    assert "\\x1b[2J[bold]" in out and "\x1b" not in out
    assert "194 for 60%, 47 for 70%, 20 for 80%" in out

    result = run("report", "first", "--unblind")["result"]
    assert (result["wins"], result["ties"], result["losses"]) == (3, 1, 0)
    assert result["source"]["evaluation"] == str(evaluation)
    out = capsys.readouterr().out
    assert "adapter against base:\nWins 3, ties 1, losses 0." in out
    assert "No preference is shown." in out


def test_undo_and_list(evaluation: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == []
    assert "review create NAME" in capsys.readouterr().out
    run("create", "first", "--from", str(evaluation), "--seed", "3")
    item = run("next", "first", "--annotator", "ann")["comparison"]["item"]
    run("judge", "first", item, "tie", "--note", "same", "--annotator", "ann")
    assert run("list")[0]["annotators"][0]["judged"] == 1
    undone = run("undo", "first", "--annotator", "ann")
    assert undone["comparison"]["item"] == item
    assert undone["progress"]["judged"] == 0
    assert run("undo", "first", "--annotator", "ann")["comparison"] is None


def test_the_annotator_is_the_login_name_unless_named(
    evaluation: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "someone")
    run("create", "first", "--from", str(evaluation))
    assert run("next", "first")["progress"]["annotator"] == "someone"


def test_unblinding_too_early_is_refused_unless_insisted_on(evaluation: Path, run: Run) -> None:
    run("create", "first", "--from", str(evaluation))
    with pytest.raises(WorkbenchError, match="not complete"):
        run("report", "first", "--unblind")
    assert run("report", "first", "--unblind", "--anyway")["result"]["wins"] == 0


def test_a_folder_without_outputs_makes_no_session(tmp_path: Path, run: Run) -> None:
    with pytest.raises(WorkbenchError, match=r"no outputs\.jsonl"):
        run("create", "first", "--from", str(tmp_path))
    assert run("list") == []
