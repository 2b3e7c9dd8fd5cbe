"""What several systems answered, read side by side: joined, found, sorted; the verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.answered_runs import LOOP, ROWS, evaluation, write
from tests.conftest import Cli
from tests.trained import Trained
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.evaluation import answered, outputs, row_scores
from workbench.evaluation.output_query import Asker
from workbench.evaluation.rows import Row
from workbench.evaluation.scoring import by_row
from workbench.evaluation.telling_outputs import number
from workbench.workspace import Workspace


@pytest.fixture
def read(workspace: Workspace) -> outputs.Outputs:
    evaluation(workspace, "one-0001", ROWS)
    return outputs.gather(workspace, [outputs.find_source(workspace, "one")])


def found(read: outputs.Outputs, query: str, sort: str = "") -> list[int]:
    """The numbers of the rows, from 1."""
    return [place + 1 for place in Asker(read, "rouge_l").find(query, sort)]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", [1, 2, 3, 4]),
        ("rougeL<0.2", [3, 4]),
        ("rouge_l<.2 -b.rouge_l=0", [3]),
        ("adapter.ROUGEL>=0.75", [2, 3]),
        ("task:qa", [1, 2]),
        ("-task:qa flag:degenerate", [3, 4]),
        ("flag:loop", [3]),
        ("b.flag:loop", []),
        ("flag:copied", [4]),
        ("disagree", [1, 3, 4]),
        ("-disagree", [2]),
        ('"disagree"', []),
        ("response>250", [4]),
        ("b.words=1", [2, 3, 4]),
        ("words>30", [3]),
        ("tokens>0", []),
        ("change<0", [1, 4]),
        ("change.loss<=-.5", [1, 4]),
        ("spread>0.5", [3]),
        ("apart<0.5", [1, 2]),
        ("row>=3 prompt:AGAIN", [4]),
        ("key:validation-1", [2]),
        ("response:oslo", [2]),
        ("a.response:sea b.response:dead", [1]),
        ("reference:snow rain", [3]),
        ("in one word", [3]),
        ('-"in one word" disagree', [1, 4]),
        ("missing", []),
        ("flag:contaminated", [2]),
        ("flags>0", [3, 4]),
    ],
)
def test_a_query_finds_rows(read: outputs.Outputs, query: str, rows: list[int]) -> None:
    assert found(read, query) == rows


@pytest.mark.parametrize(
    ("sort", "rows"),
    [
        ("-change", [3, 2, 1, 4]),
        ("b.rougeL", [4, 1, 3, 2]),
        ("rouge_l", [3, 4, 1, 2]),
        ("-rouge_l", [2, 3, 1, 4]),
        ("-task", [3, 4, 1, 2]),
        ("-a.words", [3, 1, 2, 4]),
        ("-response", [4, 3, 1, 2]),
        ("-apart", [3, 4, 1, 2]),
        ("tokens", [1, 2, 3, 4]),
        ("-row", [4, 3, 2, 1]),
    ],
)
def test_rows_are_sorted_by_any_column(read: outputs.Outputs, sort: str, rows: list[int]) -> None:
    assert found(read, "", sort) == rows


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("rougeL<x", "compares rougeL with no number"),
        ('task:"q', "isn't closed"),
        ("flag:lop", "There is no flag lop"),
        ("colour:red", "nothing that is called colour"),
        ("bleu>3", "no number that is called bleu"),
        ("c.words>3", "no number that is called c.words"),
        ("a.task:qa", "nothing that is called a.task"),
    ],
)
def test_what_can_not_be_looked_for_is_refused(
    read: outputs.Outputs, query: str, words: str
) -> None:
    with pytest.raises(WorkbenchError) as caught:
        found(read, query)
    assert words in str(caught.value) and caught.value.hint


def test_runs_with_the_same_base_have_it_once_and_lacking_rows_are_told(
    workspace: Workspace,
) -> None:
    evaluation(workspace, "one-0001", ROWS)
    evaluation(workspace, "two-0002", [*ROWS[2:], ("qa", "More?", {"base": "b", "tuned": "c"})])
    sources = [outputs.find_source(workspace, name) for name in ("one-0001", "two-0002")]
    read = outputs.gather(workspace, sources)
    assert read.systems == ("base", "one-0001", "two-0002")
    assert read.letters == {"a": "base", "b": "one-0001", "c": "two-0002"}
    assert [row.prompt for row in read.rows][-1] == "More?" and len(read.rows) == 5
    assert read.in_common() == 2
    # A row is found by its prompt, whatever it is called there, and keeps the scores of its own.
    third = read.rows[2]
    assert third.places == {0: "validation-2", 1: "validation-0"}
    assert third.value("rouge_l", "two-0002") == 0.25
    asker = Asker(read, "rouge_l")
    assert [p + 1 for p in asker.find("missing")] == [1, 2, 5]
    # The last system's value less the base's; where one is missing there is none, and it is last.
    assert [p + 1 for p in asker.find("", "-change")] == [4, 5, 3, 1, 2]
    assert read.rows[0].change("rouge_l", read.systems) is None


def test_bases_that_say_something_else_are_two_systems(workspace: Workspace) -> None:
    evaluation(workspace, "one-0001", ROWS)
    evaluation(workspace, "two-0002", [(*ROWS[0][:2], {"base": "else", "tuned": "b"})])
    read = outputs.gather(
        workspace, [outputs.find_source(workspace, name) for name in ("one", "two")]
    )
    assert read.systems == ("base", "one-0001", "two-0002:base", "two-0002")
    assert read.rows[0].said["two-0002:base"].text == "else"


def test_how_far_outputs_are_apart(read: outputs.Outputs) -> None:
    # Two of three words are shared: F1 2/3. Case and punctuation don't count.
    assert read.rows[0].apart == pytest.approx(1 / 3)
    assert read.rows[1].apart == 0 and not read.rows[1].disagrees
    assert read.rows[2].apart == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, ".000"),
        (0.41, ".410"),
        (0.9996, "1.00"),
        (31.44, "31.4"),
        (250.0, "250"),
        (549_204.3, "5e5"),
        (-0.25, "-.250"),
    ],
)
def test_numbers_fit_a_narrow_column(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_file_is_scored_once_and_the_scores_are_kept(
    workspace: Workspace, tmp_path: Path, cli: Cli
) -> None:
    rows = [
        {"prompt": "2+2?", "reference": "#### 4", "outputs": {"base": "5", "new one": "so 4"}},
        {"prompt": "2+3?", "reference": "#### 5", "outputs": {"base": "5", "new one": LOOP}},
        {"prompt": "evil \x1b[2J", "reference": "#### 5", "outputs": {"base": "5"}},
    ]
    path = write(tmp_path / "mine.jsonl", rows)
    arguments = ("outputs", path, "--where", "-missing", "--sort", "-change", "--json")
    first = cli(*arguments)
    told = json.loads(first.stdout)
    assert "Scoring the outputs of mine" in first.stderr
    assert told["metric"] == "numeric_match" and told["systems"] == {"a": "base", "b": "new one"}
    assert [(row["row"], row["change"]) for row in told["rows"]] == [(1, 1.0), (2, -1.0)]
    assert "loop" in told["rows"][1]["systems"]["new one"]["marks"]
    again = cli(*arguments)
    assert again.stdout == first.stdout and "Scoring" not in again.stderr
    shown = cli("outputs", path, "--limit", "2").stdout
    assert "numeric_match, mean:  a base .667   b new one .500" in shown
    assert "3 rows, 2 of them answered by all" in shown.replace("3 of 3 rows", "3 rows")
    assert "and 1 more" in shown
    whole = cli("outputs", path, "--where", "evil", "--show").stdout
    assert "\x1b" not in whole and "--- reference\n#### 5" in whole
    # Another text is another file, whatever it is called.
    assert row_scores.known(workspace, path)
    write(path, rows[:2])
    assert row_scores.known(workspace, path) is None


def test_the_verb_refuses_what_holds_no_outputs(
    workspace: Workspace, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"outputs": 3}\n')
    (workspace.runs / "new-0001").mkdir(parents=True)
    (workspace.runs / "new-0001" / "manifest.json").write_text("{}")
    for what, words in (
        ("bad.jsonl", 'bad.jsonl:1: "outputs" must be'),
        ("./none", "holds no outputs"),
        ("new-0001", "has not been evaluated"),
        ("other", "There is no run other"),
    ):
        refused = cli("outputs", what)
        assert refused.returncode == 2 and words in refused.stderr, refused.stderr


def test_damaged_scores_are_named(workspace: Workspace) -> None:
    folder = evaluation(workspace, "one-0001", ROWS)
    (folder / "scores.jsonl").write_text('{"key": "validation-0", "scores": []}\n')
    with pytest.raises(WorkbenchError, match=r"scores.jsonl:1 holds no scores"):
        outputs.gather(workspace, [outputs.of_path(folder)])


def test_an_evaluation_from_before_there_were_scores_is_scored(workspace: Workspace) -> None:
    folder = evaluation(workspace, "one-0001", ROWS, scored=False)
    source = outputs.of_path(folder)
    assert outputs.gather(workspace, [source]).unscored == (source,)
    making = row_scores.Making(workspace, source.outputs, source.run)
    assert making.wait()
    read = outputs.gather(workspace, [source])
    assert read.unscored == () and read.metric == "rouge_l"
    assert read.rows[2].value("exact_match", "adapter") == 1.0
    assert "loop" in read.rows[2].said["base"].marks


def test_what_a_training_row_holds_is_kept_by_row() -> None:
    rows = [Row("a", outputs={"x": "1"}, contaminated=True), Row("b", outputs={"x": "2"})]
    first, second = by_row(rows)
    assert first["contaminated"] is True and "contaminated" not in second


def test_from_a_held_out_row_to_its_outputs_and_back(trained_run: Trained) -> None:
    workspace = trained_run.workspace
    version = versions.resolve(workspace, "numbers")
    held_out = [row for row in versions.read(version) if row.split == "validation"]
    (source,) = answered.of_row(workspace, version, held_out[1])
    assert source.run == trained_run.run
    read = outputs.gather(workspace, [source])
    row = next(row for row in read.rows if row.prompt == answered.prompt_of(held_out[1]))
    assert outputs.held_out(read, row) == (trained_run.run, 1)
    # It answers three rows.
    for example, words in (
        (held_out[-1], "answered the first held-out rows of this version"),
        (next(versions.read(version, "train")), "This is a training row"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            answered.of_row(workspace, version, example)


def test_without_an_evaluation_nothing_was_answered(trained_run: Trained, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(trained_run.pristine, tmp_path / "ws")))
    shutil.rmtree(workspace.runs / "small-0001" / "evaluations")
    version = versions.resolve(workspace, "numbers")
    with pytest.raises(WorkbenchError, match="has been evaluated: nothing was answered"):
        answered.of_row(workspace, version, next(versions.read(version, "validation")))


def test_a_file_s_rows_are_of_no_dataset(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [{"prompt": "a", "output": "b"}])
    read = outputs.gather(workspace, [outputs.of_path(path)])
    with pytest.raises(WorkbenchError, match="a file from elsewhere"):
        outputs.held_out(read, read.rows[0])
