"""Until the session is locked nothing that an annotator gets names a model, a run or a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.review import making, sessions
from workbench.review.sources import Source
from workbench.verbs import review
from workbench.workspace import Workspace

MODELS = ("zephyr-secret-7b", "quokka-v2")
SECRETS = (*MODELS, "hidden-run-0001", "outputs.jsonl", "evaluations", "latency", "row-key-")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "hidden-run-0001" / "evaluations" / "one"
    folder.mkdir(parents=True)
    rows = (
        {
            "key": f"row-key-{n}-{MODELS[n % 2]}",
            "prompt": f"{n}?",
            "outputs": {MODELS[0]: f"Z{n}", MODELS[1]: f"Q{n}"},
            "latency": {MODELS[0]: 1.5},
        }
        for n in range(8)
    )
    (folder / "outputs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture
def said(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """All that a verb says, to a person and as JSON, or the error."""

    def said(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        review.add_parser(parser.add_subparsers())
        args = parser.parse_args(["review", *arguments, "--workspace", str(workspace.root)])
        try:
            result: Any = args.run(args)
        except WorkbenchError as error:
            return f"{error} {error.hint}"
        args.show(result)
        return capsys.readouterr().out + json.dumps(result)

    return said


def test_no_verb_says_which_model_it_is_before_the_lock(
    folder: Path, workspace: Workspace, said: Callable[..., str], tmp_path: Path
) -> None:
    making.create_session(workspace, "one", [Source.of(folder)], seed=1)
    session = sessions.open(workspace, "one")
    texts = [said("list"), said("next", "one", "--annotator", "ann")]
    for who, side in (("ann", "left"), ("bob", "right"), ("bob", "nonsense"), ("bob", "rated")):
        for number in range(1, 10):
            texts.append(said("judge", "one", str(number), side, "--annotator", who))
    texts += [
        said("undo", "one", "--annotator", "ann"),
        said("next", "one", "--annotator", "cat", "--adjudicate"),
        said("judge", "one", "d99", "left", "--annotator", "cat"),
        said("report", "one"),
        said("report", "one", "--markdown"),
        said("report", "one", "--html", str(tmp_path / "page.html")),
        said("export", "one", str(tmp_path / "all.csv")),
        said("export", "one", str(tmp_path / "ann.jsonl"), "--annotator", "ann"),
        said("export", "one", str(tmp_path / "x.jsonl"), "--as", "pairs"),
        said("lock", "one"),
        *(path.read_text() for path in tmp_path.glob("*.*") if path.is_file()),
    ]
    assert len(list(tmp_path.glob("*.*"))) >= 3
    for text in texts:
        for secret in SECRETS:
            assert secret not in text, text
    assert session.locked is None
    said("lock", "one", "--anyway")
    assert MODELS[0] in said("report", "one")
    assert (
        MODELS[0] in said("export", "one", str(tmp_path / "after.csv"))
        or MODELS[0] in (tmp_path / "after.csv").read_text()
    )


def test_a_session_s_name_may_not_betray_a_model_or_a_run(
    folder: Path, workspace: Workspace
) -> None:
    for name in ("Quokka-v2-study", "is-zephyr-secret-7b-good", "hidden-run-0001"):
        with pytest.raises(WorkbenchError, match="betrays"):
            making.create_session(workspace, name, [Source.of(folder)])
    assert making.free_name(workspace) == "review-1"
    making.create_session(workspace, "review-1", [Source.of(folder)])
    assert making.free_name(workspace) == "review-2"
