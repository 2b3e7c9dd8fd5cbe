from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.review.items import read_file
from workbench.review.sources import Source, gather


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def evaluation(root: Path, run: str, base: str = "B", prompts: str = "pqr") -> Source:
    """What an evaluation of a run has written."""
    rows = [
        {
            "key": f"validation-{n}",
            "prompt": [{"role": "user", "content": prompt}],
            "reference": "",
            "outputs": {"base": f"{base}{prompt}", "adapter": f"{run} {prompt}"},
        }
        for n, prompt in enumerate(prompts)
    ]
    folder = root / "runs" / run / "evaluations" / "1"
    write(folder / "outputs.jsonl", rows)
    return Source.of(folder)


def test_two_runs_are_joined_by_their_prompts(tmp_path: Path) -> None:
    one, two = evaluation(tmp_path, "one"), evaluation(tmp_path, "two", prompts="rqx")
    found = gather([one, two])
    assert found.systems == ("base", "one", "two")
    assert found.left_out == 2
    assert [item.outputs for item in found.items] == [
        {"base": "Bq", "one": "one q", "two": "two q"},
        {"base": "Br", "one": "one r", "two": "two r"},
    ]
    chosen = gather([one, two], ["two", "one"])
    assert set(chosen.systems) == {"one", "two"}
    assert set(chosen.items[0].outputs) == {"one", "two"}


def test_bases_that_differ_are_told_apart(tmp_path: Path) -> None:
    found = gather([evaluation(tmp_path, "one"), evaluation(tmp_path, "two", base="other ")])
    assert set(found.systems) == {"base", "one", "two:base", "two"}


def test_nothing_in_common_and_unknown_systems_are_named(tmp_path: Path) -> None:
    one = evaluation(tmp_path, "one")
    with pytest.raises(WorkbenchError, match="none is in all"):
        gather([one, evaluation(tmp_path, "two", prompts="xyz")])
    with pytest.raises(WorkbenchError, match="no outputs of tuned"):
        gather([one], ["base", "tuned"])


def test_files_from_elsewhere(tmp_path: Path) -> None:
    """As allenai/open-instruct keeps them, a pair a line; and one output a line by file."""
    path = write(
        tmp_path / "instances.jsonl",
        [
            {
                "id": "t1",
                "prompt": "Hi",
                "completions": [{"model": a, "completion": a}, {"model": b, "completion": b}],
            }
            for a, b in (("m1", "m2"), ("m2", "m3"))
        ],
    )
    (item,) = read_file(path)
    assert item.outputs == {"m1": "m1", "m2": "m2", "m3": "m3"}
    assert item.groups == (("m1", "m2"), ("m2", "m3"))
    files = [
        Source.of(write(tmp_path / f"{name}.jsonl", [{"prompt": "Hi", "output": name}]))
        for name in ("first", "second")
    ]
    assert gather(files).items[0].outputs == {"first": "first", "second": "second"}


def test_an_evaluation_brings_the_scores_that_it_has_stored(tmp_path: Path) -> None:
    source = evaluation(tmp_path, "one", prompts="pq")
    scores = {"base": {"rouge_l": 0.25, "stopped": True}, "adapter": {"rouge_l": 0.5}}
    rows = [{"key": "validation-1", "scores": scores, "marks": {}}]
    write(source.path / "scores.jsonl", rows)
    without, with_them = source.read()
    assert without.scores == {}
    assert with_them.scores == {"base": {"rouge_l": 0.25}, "adapter": {"rouge_l": 0.5}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "p"}], 'x.jsonl:1: "outputs" must be'),
        ([{"outputs": {"a": "x"}}], 'x.jsonl:1: "prompt" must be a text'),
        ([{"prompt": "p", "outputs": {"a": "x"}, "scores": 3}], '"scores" must be'),
        (
            [{"key": "k", "prompt": p, "outputs": {"a": "x"}} for p in "pq"],
            "x.jsonl:2: the key 'k' stood before, with another prompt",
        ),
        (
            [{"key": "k", "prompt": "p", "outputs": {"a": x}} for x in "xy"],
            "x.jsonl:2: 'a' has another output here",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        read_file(write(tmp_path / "x.jsonl", rows))
