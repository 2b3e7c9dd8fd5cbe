"""`workbench score`: stored outputs, measured anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.trained import Trained
from workbench.data import versions
from workbench.data.curate import checks, contamination, store
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError
from workbench.evaluation.rescoring import data_of
from workbench.evaluation.rows import read_outputs
from workbench.evaluation.telling import figures, markdown
from workbench.workspace import Workspace

ROWS = [
    {"prompt": "2+2?", "reference": "#### 4", "outputs": {"base": "5", "new": "so 4"}},
    {"prompt": "2+3?", "reference": "#### 5", "outputs": {"base": "5", "new": "it is 5"}},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_file_from_elsewhere_is_scored_without_a_workspace(tmp_path: Path, cli: Cli) -> None:
    path = write(tmp_path / "outputs.jsonl", ROWS)
    result = json.loads(cli("score", path, "--json").stdout)
    assert result["systems"]["new"]["numeric_match"]["value"] == 1
    assert result["comparisons"][0]["from"] == "base"
    told = cli("score", path).stdout
    assert told.splitlines()[0].split() == ["figure", "base", "new"]
    assert "Of fewer than 20 answers the intervals are too narrow." in told


def test_the_outputs_that_a_mark_is_on_are_shown(tmp_path: Path, cli: Cli) -> None:
    looped = {**ROWS[0], "outputs": {"base": "4", "new": "I am. " * 40 + "\x1b[31m"}}
    path = write(tmp_path / "outputs.jsonl", [ROWS[1], looped])
    (shown,) = json.loads(cli("score", path, "--show", "repeated", "--json").stdout)["shown"]
    assert (shown["line"], shown["system"]) == (2, "new")
    told = cli("score", path, "--show", "repeated").stdout
    assert "1 outputs" in told and "\x1b" not in told
    refused = cli("score", path, "--show", "nonsense")
    assert refused.returncode == 2 and "no mark nonsense" in refused.stderr


def test_a_metric_of_one_s_own_is_imported_when_it_is_named(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "def length(output, references):\n    return len(output) if output else 1 / 0\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    path = write(
        tmp_path / "outputs.jsonl", [*ROWS, {**ROWS[0], "outputs": {"base": "", "new": "4"}}]
    )
    result = json.loads(cli("score", path, "--metric", "mine:length", "--json").stdout)
    assert result["systems"]["base"]["mine:length"]["n"] == 2
    assert "ZeroDivisionError" in result["problems"][0]["what"]
    refused = cli("score", path, "--metric", "mine:width")
    assert refused.returncode == 2 and "can't be loaded" in refused.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "has no rows"),
        ("{", "outputs.jsonl:1 is not valid JSON"),
        ("[]", "is not a JSON object"),
        ('{"outputs": {"base": NaN}}', '"outputs" must be'),
        ('{"outputs": {"base": 3}}', '"outputs" must be'),
        ('{"outputs": {}}', "has no outputs"),
        ('{"output": null, "reference": "a"}', "has no outputs"),
        ('{"output": "a", "references": "b"}', '"references" must be'),
        ('{"output": "a", "references": [1]}', '"references" must be'),
        ('{"output": "a", "prompt": 3}', '"prompt" must be'),
        ('{"output": "a", "stopped": {"output": 1}}', '"stopped" must be'),
        ('{"output": "a", "key": 1}', '"key" must be'),
        ('{"output": "a", "key": "b"}\n{"output": "a", "key": "b"}', "with the same key"),
    ],
)
def test_rows_that_can_t_be_read_are_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(line)
    with pytest.raises(WorkbenchError, match=words):
        read_outputs(path)


def test_an_empty_reference_is_none_but_in_a_list(tmp_path: Path) -> None:
    path = write(
        tmp_path / "outputs.jsonl",
        [{"output": "", "reference": ""}, {"output": "", "references": [""]}, {"output": "a"}],
    )
    assert [row.references for row in read_outputs(path)] == [(), ("",), ()]


def test_an_evaluation_is_scored_anew_as_it_was(trained_run: Trained, tmp_path: Path) -> None:
    before = json.loads((trained_run.evaluation / "metrics.json").read_text())
    again = trained_run.json("score", trained_run.evaluation)
    for name in ("systems", "comparisons", "degeneration", "slices", "dataset", "request"):
        assert again[name] == before[name]
    # Every training row answers `ok`.
    assert before["degeneration"]["reference"]["copied_whole"]["value"] == 1
    assert before["degeneration"]["systems"]["adapter"]["stopped"]["value"] == 1
    lines = (trained_run.evaluation / "scores.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["scores"]["adapter"]["exact_match"] == 1
    other = trained_run.json("score", "--metric", "chrf", "--pattern", "o")
    assert "rouge_l" not in other["systems"]["base"] and "chrf" in other["systems"]["base"]
    assert other["systems"]["base"]["loss"] == before["systems"]["base"]["loss"]


def test_a_result_from_before_there_were_comparisons_can_be_read() -> None:
    figure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    old = {
        "v": 1,
        "rows": {"loss": 8, "answers": 8},
        "systems": {"base": {"loss": figure}, "adapter": {"loss": {**figure, "value": None}}},
    }
    lines = list(markdown(figures(old)))
    assert "| loss | 0.5000 [0.2500, 0.7500] | – |" in lines


def test_a_dataset_says_which_of_its_validation_rows_it_trains_on(workspace: Workspace) -> None:
    def example(question: str, split: str) -> Example:
        turns = (Message("user", question), Message("assistant", "yes"))
        return Example(turns, task="qa", split=split)

    leaked = "How many of the nine blue boats that left the old harbour on Tuesday came back there?"
    examples = [
        example("What is a boat made of, by and large?", "validation"),
        example(f"Tell me. {leaked}", "train"),
        example(leaked, "validation"),
    ]
    version = versions.create(workspace, "boats", examples, sources=[], steps=[])
    assert dict(data_of(version).contaminated) == {}, "nobody looked"
    options = contamination.Options()
    found = contamination.annotate(examples, options)
    store.write(version, checks.get(contamination.NAME), options, found)
    data = data_of(version)
    assert data.contaminated == {"validation-0": False, "validation-1": True}
    assert data.trained is not None
    assert [row.instruction for row in data.trained] == [f"Tell me. {leaked}"]
    assert data.labels == {}, "one label alone tells nothing apart"
