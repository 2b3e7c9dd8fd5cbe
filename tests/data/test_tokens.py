from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.forgetful import FRAME, row
from workbench.data import tokens, versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.jobs import tasks
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]
WriteRows = Callable[..., Path]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], (None, None, None, None, None)),
        ([7], (7, 7, 7, 7, 7)),
        ([4, 1, 3, 2], (1, 2, 4, 4, 4)),
        (range(1, 21), (1, 10, 19, 20, 20)),
        (range(1, 1001), (1, 500, 950, 990, 1000)),
    ],
)
def test_the_spread_is_of_lengths_that_occur(
    lengths: Any, expected: tuple[int | None, ...]
) -> None:
    assert tuple(tokens.spread(lengths).values()) == expected


def test_tokens_are_counted_by_split_and_task(model: Path) -> None:
    rows = [
        row("abc", "de", "qa"),
        row("a", "b" * 100, "qa", "validation"),
        row("abc", "lost", "chat"),
    ]
    told: list[tuple[str, int, int, str]] = []
    found = tokens.count(rows, 3, ChatTemplate.load(model), lambda *how: told.append(how))
    short, long = FRAME + 5, FRAME + 101
    spread = dict.fromkeys(("median", "p95", "p99", "max"), long) | {"min": short}
    assert found["all"] == {
        "rows": 3,
        "tokens": short + long,
        # A response and its end marker.
        "trained_tokens": 3 + 101,
        "refused": 1,
        "lengths": spread | {"median": short},
    }
    assert found["splits"]["train"]["rows"] == 2 and found["splits"]["train"]["refused"] == 1
    assert found["splits"]["validation"]["trained_tokens"] == 101
    assert found["tasks"]["qa"]["tokens"] == short + long
    assert found["tasks"]["chat"]["lengths"]["max"] is None
    (refused,) = found["refused"]
    assert (refused["row"], refused["source"]) == (3, "abc:1")
    assert "does not keep what stands before" in refused["reason"]
    assert [how[1] for how in told] == [0, 1, 2, 3] and told[0][2:] == (3, "rows")


def test_refused_rows_are_named_up_to_a_number_and_counted_beyond(model: Path) -> None:
    rows = [row("abc", "lost")] * (tokens.LISTED + 5)
    found = tokens.count(rows, len(rows), ChatTemplate.load(model))
    assert found["all"]["refused"] == tokens.LISTED + 5
    assert len(found["refused"]) == tokens.LISTED


def test_the_verb_counts_as_a_task_and_keeps_the_counts(
    cli: Cli, workspace: Workspace, write_rows: WriteRows, model: Path
) -> None:
    path = write_rows(
        *({"prompt": f"Question {n}?", "completion": "Yes", "task": "qa"} for n in range(20)),
        {"prompt": "A\u001b[31m?", "completion": "lost", "task": "qa"},
    )
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    ended = cli("data", "tokens", "made", "--model", "model", "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["dataset"] == version.reference
    assert (result["all"]["rows"], result["all"]["refused"]) == (21, 1)
    assert result["all"]["trained_tokens"] == 20 * 4
    folder = Path(result["folder"])
    assert folder == workspace.tasks / "tokens-0001"
    assert tasks.read_request(folder) == {"dataset": version.reference, "base": str(model)}
    assert tasks.result(folder) == "tokens.json"
    shown = cli("data", "tokens", "made", "--model", model)
    lines = shown.stdout.splitlines()
    assert lines[0].split() == [
        *("rows", "tokens", "trained", "min", "median", "p95", "p99", "max", "refused")
    ]
    assert lines[1].split()[:2] == ["all", "21"] and lines[3].startswith("task qa")
    assert "1 rows whose trained tokens can't be proved:" in shown.stdout
    assert "  row 21 (rows.jsonl:21): the chat template does not keep" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tokens", "unknown"), "There is no dataset unknown"),
        (("tokens", "made", "--model", "./nowhere"), "nowhere doesn't exist"),
        (("near-duplicates", "unknown"), "There is no dataset unknown"),
        (("near-duplicates", "made", "--set", "treshold=1"), "has no option treshold"),
        (("near-duplicates", "made", "--set", "threshold=x"), "is a number, not 'x'"),
        (("content", "made", "--set", "lists=[1]"), "is a list of texts, not [1]"),
        (
            ("near-duplicates", "made", "--set", "threshold=0.3"),
            "The threshold must be from 0.5 to 1",
        ),
    ],
)
def test_what_can_t_be_looked_through_is_told_at_once_and_leaves_nothing(
    cli: Cli, workspace: Workspace, write_rows: WriteRows, arguments: tuple[str, ...], words: str
) -> None:
    import_files(workspace, [write_rows({"prompt": "A?", "completion": "a"})], "made")
    result = cli("data", *arguments)
    assert result.returncode == 2 and words in result.stderr
    assert "Traceback" not in result.stderr
    assert not workspace.tasks.exists()


def test_near_duplicates_are_written_beside_a_version_that_stays_as_it_is(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    words = [f"word{n}" for n in range(16)]
    other = "a wholly other text that has nothing to do with any of those that stand above it"
    path = write_rows(
        {"prompt": " ".join(words), "completion": "One."},
        {"prompt": other, "completion": "Two."},
        {"prompt": " ".join([*words[:-1], "forest"]), "completion": "One!"},
        {"prompt": " ".join(words).upper(), "completion": "one"},
    )
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    before = version.data_path.read_bytes()
    ended = cli("data", "near-duplicates", "made", "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["dataset"] == version.reference
    assert (result["rows"], result["flagged"]) == (4, 2)
    assert result["kinds"] == {"near-duplicate": 1, "same-words": 1}
    path = Path(result["folder"], "findings.jsonl")
    assert path.is_relative_to(version.folder / "findings")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    # 17 words have 15 shingles; a word changed before the last changes 2 of them.
    assert [(f["row"], f["other"]["row"], f["score"]) for f in lines] == [
        (3, 1, round(13 / 17, 4)),
        (4, 1, 1.0),
    ]
    assert version.data_path.read_bytes() == before
    assert [v.reference for v in versions.list_versions(workspace)] == [version.reference]
    looked = path.stat().st_mtime_ns
    again = json.loads(cli("data", "near-duplicates", "made", "--json").stdout)
    assert again["folder"] == result["folder"] and path.stat().st_mtime_ns == looked
    shown = cli("data", "near-duplicates", "made", "--set", "threshold=0.9").stdout
    assert f"{version.reference}: near-duplicates flags 1 of 4 rows" in shown
    assert "it has the very words of row 1" in shown
