from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]
WriteRows = Callable[..., Path]
GOOD = {"prompt": "What is\u001b[31m it?", "completion": "Yes"}


def numbered(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"Question {n}?", "completion": f"Answer {n}"} for n in range(count)]


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON document on stdout of a command that went well."""
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_refused(result: subprocess.CompletedProcess[str], workspace: Workspace) -> str:
    """One clear message, exit code 2, no traceback, and no data written; returns the message."""
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert not workspace.datasets.exists()
    # On a busy machine a job has the time to say that it was started.
    return result.stderr[result.stderr.index("workbench: ") :]


def test_a_file_that_is_not_there(cli: Cli, workspace: Workspace) -> None:
    result = cli("data", "import", "gone.jsonl", "--json")
    message = assert_refused(result, workspace)
    assert message == "workbench: There is no file gone.jsonl.\nCheck the path.\n"
    assert not workspace.root.exists(), "what is told at once leaves nothing at all"
    assert json.loads(result.stdout) == {
        "error": "There is no file gone.jsonl.",
        "hint": "Check the path.",
    }


def test_a_file_that_is_no_jsonl(cli: Cli, workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows("Dear reader,", "this is a letter.", name="letter.jsonl")
    result = cli("data", "import", path, "--json")
    message = assert_refused(result, workspace)
    assert f"{path} is not JSONL:" in message
    assert "letter.jsonl:1: it is not JSON" in message
    body = json.loads(result.stdout)
    assert set(body) == {"error", "hint"}
    assert body["error"] in message
    assert "one JSON object in each line" in body["hint"]


def test_a_row_without_a_response(cli: Cli, workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(GOOD, {"instruction": "Hi", "input": "x"})
    result = cli("data", "import", path)
    message = assert_refused(result, workspace)
    assert f"1 of 2 rows of {path} can't be used:" in message
    assert "rows.jsonl:2: there is no response beside `instruction` (such as `output`)" in message
    assert "--skip-bad" in message
    assert result.stdout == ""


def test_bad_rows_left_out_can_be_asked_for(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*numbered(9), {"prompt": "Hi"}, "not json")
    made = answer(cli("data", "import", path, "--name", "made", "--skip-bad", "--json"))
    assert (made["rows"], made["removed"]) == (9, 2)
    assert (made["steps"][0]["before"], made["steps"][0]["after"]) == (11, 9)
    kept = Path(made["folder"], "removed.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in kept] == ["rows.jsonl:10", "rows.jsonl:11"]
    assert json.loads(kept[1])["row"] == "not json"
    removed = cli("data", "removed", "made").stdout
    assert "rows.jsonl:10  there is no response beside `prompt`" in " ".join(removed.split(" " * 4))


def test_a_folder_name_that_can_t_be_asks_for_a_name(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(GOOD, name="my rows.jsonl")
    message = assert_refused(cli("data", "import", path), workspace)
    assert "'my rows' can't be the name of a dataset" in message
    assert "Choose one with --name." in message
    assert not workspace.root.exists()


def test_a_workspace_that_can_t_be_written(cli: Cli, write_rows: WriteRows) -> None:
    path = write_rows(GOOD)
    result = cli("data", "import", path, "--workspace", path / "ws")
    assert result.returncode == 2
    assert result.stderr.startswith(f"workbench: Could not write in the workspace {path}/ws")


def test_a_version_is_listed_shown_and_proved(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    version = import_files(
        workspace, [write_rows(GOOD, *numbered(20))], "made", Options(validation_share=0)
    )
    (listed,) = answer(cli("data", "list", "--json"))
    assert listed["reference"] == version.reference
    shown = cli("data", "show", "made").stdout
    assert "── row 1\n" in shown
    assert "What is\\x1b[31m it?" in shown
    rows = answer(cli("data", "show", version.reference, "--row", 3, "--rows", 99, "--json"))
    assert [row["row"] for row in rows] == list(range(3, 22))
    checked = answer(cli("data", "check", "made", "--json"))
    assert (checked["rows"], checked["exact_duplicates"], checked["leaking_rows"]) == (21, 0, [])
    version.data_path.write_bytes(version.data_path.read_bytes().replace(b"Yes", b"Yea"))
    spoilt = cli("data", "check", "made")
    assert spoilt.returncode == 2
    assert "data.jsonl was changed: its SHA-256 is" in spoilt.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("rows.jsonl", "--row", "3"), "rows.jsonl has 2 rows; there is no row 3."),
        (("rows.jsonl", "--rows", "0"), "--rows must be at least 1."),
        (("nothing",), "There is no dataset nothing"),
    ],
)
def test_what_can_t_be_shown_is_told(
    cli: Cli, write_rows: WriteRows, arguments: tuple[str, ...], reason: str
) -> None:
    write_rows(GOOD, GOOD)
    result = cli("data", "show", *arguments)
    assert result.returncode == 2
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_rows_are_shown_as_tokens_and_a_row_that_can_t_be_says_why(
    cli: Cli, write_rows: WriteRows, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    tiny.make_tokenizer(model)
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"")
    rows = ({"prompt": "Hi", "completion": "Yes"}, {"prompt": "Hi"}, {"text": "A law"})
    common = ("data", "show", write_rows(*rows), "--rows", 3, "--tokens", "--model", model)
    one, bad, law = answer(cli(*common, "--json"))
    (encoded,) = one["encoded"]
    trained = "".join(token["text"] for token in encoded["tokens"] if token["trained"])
    assert trained == "Yes<|im_end|>"
    assert (encoded["trained"], encoded["total"]) == (4, len(encoded["tokens"]))
    assert "there is no response" in bad["problem"]
    assert (law["encoded"][0]["trained"], law["encoded"][0]["total"]) == (5, 6)
    shown = cli(*common).stdout
    assert f"4 of {encoded['total']} tokens are trained" in shown
    assert "── row 2: there is no response" in shown


def test_the_default_dataset_is_made_without_a_network(cli: Cli, workspace: Workspace) -> None:
    result = cli("data", "build-default")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "python-stdlib@" in result.stdout
    assert "rows were left out; `workbench data removed python-stdlib@" in result.stdout


def test_preference_pairs_are_read_and_what_becomes_of_them_is_said(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    pairs = [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n}", "rejected": f"Rubbish {n}"}
        for n in range(20)
    ]
    imported = cli("data", "import", write_rows(*pairs, *numbered(2)), "--name", "pairs")
    assert "20 rows were preference pairs" in imported.stdout
    rows = versions.read(versions.resolve(workspace, "pairs"))
    assert {"Answer 7": {"rejected": "Rubbish 7"}}.items() <= {
        row.response: row.extra for row in rows
    }.items()
