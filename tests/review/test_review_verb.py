from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.review import layouts
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
    assert judged["progress"]["total"] == judged["progress"]["judged"] == 3

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


def test_an_unblinded_session_is_analysed_on_the_page(
    evaluation: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("create", "first", "--from", str(evaluation))
    while (shown := run("next", "first", "--annotator", "ann"))["comparison"]:
        comparison = shown["comparison"]
        choice = "left" if comparison["left"].startswith("A") else "right"
        run("judge", "first", comparison["item"], choice, "--annotator", "ann")
    blind = run("report", "first")
    assert "analysis" not in blind
    capsys.readouterr()
    found = run("report", "first", "--unblind")
    (contest,) = found["analysis"]["contests"]
    assert (contest["candidate"], contest["baseline"]) == ("adapter", "base")
    assert contest["tally"] == {"wins": 3, "ties": 0, "losses": 0}
    text = capsys.readouterr().out
    assert text.index("Wins 3, ties 1, losses 0.") < text.index("Preferred: better")
    assert "3 items are too few for intervals by the bootstrap" in text
    page = run("report", "first", "--unblind", "--markdown")["page"]
    assert page.startswith("# Review first\n\n- 3 comparisons to judge.")
    assert "| adapter | base | 3/0/0 | 1.000 |" in page
    with pytest.raises(WorkbenchError, match="no system bass"):
        run("report", "first", "--unblind", "--against", "bass")


def test_a_blind_page_of_markdown_names_nobody(evaluation: Path, run: Run) -> None:
    run("create", "first", "--from", str(evaluation))
    page = run("report", "first", "--markdown")["page"]
    assert page.startswith("# Review first")
    assert "adapter" not in page
    assert "base" not in page


def test_an_imported_review_is_listed_reported_and_not_judged(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = tmp_path / "my votes.csv"
    votes.write_text(
        "prompt_id,rater,model_a,model_b,winner\n"
        + "".join(f"p{i},r{i % 6},new,old,{'A' if i % 4 else 'B'}\n" for i in range(24))
    )
    layout = tmp_path / "layout.yaml"
    layout.write_text(layouts.EXAMPLE)
    taken = run("import", str(votes), "--layout", str(layout))
    assert (taken["name"], taken["judgements"], taken["systems"]) == (
        "my-votes",
        24,
        ["new", "old"],
    )
    (listed,) = run("list")
    assert (listed["name"], listed["items"]) == ("my-votes", 24)
    assert "24 by 6 annotators" in capsys.readouterr().out
    found = run("report", "my-votes", "--against", "new")
    (contest,) = found["analysis"]["contests"]
    assert contest["tally"] == {"wins": 6, "ties": 0, "losses": 18}
    assert "new is preferred to old" in found["page"]
    assert any("W/T/L" in method for method in found["methods"])
    with pytest.raises(WorkbenchError, match="was imported: it is judged already"):
        run("next", "my-votes")
