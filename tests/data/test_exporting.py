from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from workbench.cli import main
from workbench.data import exporting, readers, schemas, versions
from workbench.data.example import Example
from workbench.data.exporting import Options, export
from workbench.data.importing import Options as ImportOptions
from workbench.data.importing import import_files
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
ENDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", "")


def turns(*texts: str, system: str = "") -> dict[str, Any]:
    talk = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *talk]}


CALLING = {
    "messages": [
        {"role": "user", "content": "Warm?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "function": {"name": "w", "arguments": {"b": 1, "a": [2]}}},
                {"id": "2", "function": {"name": "w", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "20", "tool_call_id": "1", "name": "w"},
        {"role": "assistant", "content": "Yes"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "description": "x"}}],
}
SINGLE = [
    turns('Say "a,b"\r\n;\t|', "ä\n\n„x“ \\n"),
    turns("[1, 2]", "[]"),
    {**turns("Hi", "null"), "task": "qa"},
]
LONG = [turns("a", "b", "c", "d"), turns("a", "e", system="Be brief"), *SINGLE]
ROWS: dict[str, list[dict[str, Any]]] = {
    "rows": [{"text": "Plain\n\ntext"}, CALLING, *LONG],
    "openai": [CALLING, *LONG],
    "sharegpt": [CALLING, *LONG],
    "alpaca": LONG,
    "prompt-completion": SINGLE,
    "question-answer": SINGLE,
    "text": [{"text": "One\r\n"}, {"text": '{"a": 1}'}, {"text": "[2]"}],
}


def made(workspace: Workspace, path: Path, name: str = "made") -> Version:
    return import_files(workspace, [path], name, ImportOptions(validation_share=0))


def learnt(version: Version) -> list[tuple[Any, str]]:
    return [(example.content, example.task) for example in versions.read(version)]


@pytest.mark.parametrize("schema", schemas.SCHEMAS)
def test_what_is_exported_is_imported_as_the_same_rows(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path, schema: str
) -> None:
    version = made(workspace, write_rows(*ROWS[schema]))
    assert version.rows == len(ROWS[schema])
    for end in ENDS:
        path = tmp_path / "out" / f"{schema}{end}"
        written = export(version, path, Options(schema))
        assert written["rows"] == {"train": version.rows}
        back = made(workspace, path, "back")
        assert learnt(back) == learnt(version), end
        if end in (".jsonl", ".json", ".jsonl.gz"):
            assert [e.extra for e in versions.read(back)] == [{}] * version.rows


def test_extra_fields_go_with_their_rows(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    rows = [
        {**turns("a", "b"), "id": 1, "score": 0.5, "meta": {"a": [1]}, "tags": ["x"], "any": "y"},
        {**turns("c", "d"), "id": 2, "score": 1, "ok": True, "any": 5},
    ]
    version = made(workspace, write_rows(*rows))
    export(version, tmp_path / "a.jsonl")
    back = made(workspace, tmp_path / "a.jsonl", "back")
    assert [e.extra for e in versions.read(back)] == [e.extra for e in versions.read(version)]
    export(version, tmp_path / "a.parquet")
    first, second = (row.value for row in readers.read(tmp_path / "a.parquet"))
    assert (first["id"], second["score"], second["ok"]) == (1, 1.0, True)
    assert (first["meta"], first["tags"], second["any"]) == ('{"a": [1]}', '["x"]', "5")
    assert second["meta"] is None


def test_integers_that_no_column_holds_are_text(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    rows = [
        {**turns("a", "b"), "most": 2**63 - 1, "long": 2**63, "wide": 2**53 + 1, "id": 1},
        {**turns("c", "d"), "most": -(2**63), "long": 5, "wide": 0.5, "id": 2**60},
    ]
    version = made(workspace, write_rows(*rows))
    for name in ("a.parquet", "a"):
        export(version, tmp_path / name)
        first, second = (row.value for row in readers.read(tmp_path / name))
        assert (first["most"], second["most"], second["id"]) == (2**63 - 1, -(2**63), 2**60)
        assert (first["long"], second["long"]) == ("9223372036854775808", "5")
        assert (first["wide"], second["wide"]) == ("9007199254740993", "0.5")


@pytest.mark.parametrize("schema", ["rows", "openai", "sharegpt", "prompt-completion"])
@pytest.mark.parametrize("end", [".csv", ".tsv", ".csv.gz"])
def test_a_table_of_texts_with_line_ends_of_any_kind_is_read_back(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path, schema: str, end: str
) -> None:
    rows = [turns("a\rb", "c\r"), turns("a\n\rb", "\rc")]
    version = made(workspace, write_rows(*({**row, "extra": "x\r"} for row in rows)))
    export(version, tmp_path / f"a{end}", Options(schema))
    back = made(workspace, tmp_path / f"a{end}", "back")
    assert learnt(back) == learnt(version)
    assert [e.extra for e in versions.read(back)] == [{"extra": "x\r"}] * 2
    if end == ".csv":
        assert b"\r\n" not in (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize("schema", ["rows", "openai", "sharegpt"])
def test_a_table_of_conversations_has_the_one_column(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path, schema: str
) -> None:
    version = made(workspace, write_rows(turns("a", "b"), turns("c", "d", "e", "f")))
    for end in (".csv", ".tsv"):
        export(version, tmp_path / f"{schema}{end}", Options(schema))
        assert learnt(made(workspace, tmp_path / f"{schema}{end}", "back")) == learnt(version)


@pytest.mark.parametrize(
    ("schema", "row", "reason"),
    [
        ("alpaca", CALLING, "it has tools"),
        ("alpaca", {"text": "x"}, "it is plain text, not a conversation"),
        ("text", turns("a", "b"), "it is a conversation, not plain text"),
        ("prompt-completion", turns("a", "b", "c", "d"), "it has several turns"),
        ("question-answer", turns("a", "b", system="s"), "it has a system turn"),
        ("alpaca", {**turns("a", "b"), "input": "x"}, "its extra field input is one of"),
        ("alpaca", {**turns("a", "b"), "instances": []}, "it would not be read back: `instances`"),
        ("alpaca", {**turns("a", "b"), "conversation": [1]}, "it would not be read back"),
    ],
)
def test_rows_that_a_format_can_t_hold_are_counted_and_nothing_is_written(
    workspace: Workspace,
    write_rows: WriteRows,
    tmp_path: Path,
    schema: str,
    row: dict[str, Any],
    reason: str,
) -> None:
    fine = {"text": "fine"} if schema == "text" else turns("Fine?", "Fine")
    version = made(workspace, write_rows(fine, row))
    for end in (".jsonl", ""):
        path = tmp_path / f"out{end}"
        with pytest.raises(WorkbenchError) as caught:
            export(version, path, Options(schema))
        assert caught.value.message.startswith(f"1 of 2 rows of {version.reference} don't fit")
        assert f"1 × {reason}" in caught.value.message
        assert not path.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl", "ws"]


def test_a_folder_holds_the_splits_and_a_file_one_of_them(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    path = write_rows(*(turns(f"{n}?", "a") for n in range(40)))
    version = import_files(workspace, [path], "made", ImportOptions())
    export(version, tmp_path / "both")
    loaded = datasets.load_from_disk(str(tmp_path / "both"))
    assert {name: len(rows) for name, rows in loaded.items()} == version.splits
    with pytest.raises(
        WorkbenchError, match=r"has rows of train and validation, and a\.csv is one"
    ):
        export(version, tmp_path / "a.csv")
    written = export(version, tmp_path / "a.csv", Options("alpaca", "validation"))
    assert written["rows"] == {"validation": version.splits["validation"]}
    assert len(list(readers.read(tmp_path / "a.csv"))) == version.splits["validation"]


def test_what_can_t_be_written_is_refused_before_a_row_is_read(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    version = made(workspace, path := write_rows(turns("a", "b")))
    for out, options, words in (
        (path, Options(), "exists already"),
        (tmp_path / "a.xlsx", Options(), "can't be told from its name"),
        (tmp_path / "a.parquet.gz", Options(), "can't be told from its name"),
        (tmp_path / "a.jsonl", Options(split="validation"), "has no rows of the split"),
        (tmp_path / "a.jsonl", Options(schema="xml"), "There is no format 'xml'"),
        (tmp_path / "a", Options(info="x"), "names files"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            exporting.check(version, out, options)


def test_rows_are_packed_to_the_same_bytes(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    version = made(workspace, write_rows(turns("a", "b")))
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        export(version, tmp_path / name)
    packed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "b.jsonl.gz").read_bytes()
    # The time, which is the same within a second.
    assert packed[4:8] == bytes(4)


@pytest.mark.parametrize("schema", schemas.SCHEMAS)
def test_dataset_info_names_what_was_written_and_is_imported(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path, schema: str
) -> None:
    rows = LONG if schema == "rows" else ROWS[schema]
    version = made(workspace, write_rows(*rows))
    info = tmp_path / "out" / "dataset_info.json"
    for name in ("one", "two"):
        export(version, info.parent / f"{name}.json", Options(schema, info=name))
        options = ImportOptions(validation_share=0)
        assert learnt(import_files(workspace, [f"{info}:{name}"], name, options)) == learnt(version)
    with pytest.raises(WorkbenchError, match="has a data set one already"):
        export(version, info.parent / "three.json", Options(schema, info="one"))
    assert list(json.loads(info.read_text())) == ["one", "two"]


def test_the_verb_exports_in_a_job(
    workspace: Workspace,
    write_rows: WriteRows,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = made(workspace, write_rows(turns("a", "b", "c", "d")))
    place = ["--workspace", str(workspace.root), "data", "export", "made"]
    out = tmp_path / "out.parquet"
    assert main([*place, "--out", str(out), "--format", "alpaca", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["path"], body["rows"], body["schema"]) == (str(out), {"train": 1}, "alpaca")
    assert main([*place, "--out", str(tmp_path / "x.csv"), "--format", "question-answer"]) == 2
    said = capsys.readouterr().err
    assert "1 × it has several turns (first rows.jsonl:1)" in said and "Choose another" in said
    assert versions.resolve(workspace, "made") == version


def test_an_example_is_proved_to_be_read_back() -> None:
    for rows in ROWS.values():
        for row in rows:
            (example,) = schemas.to_examples(row)
            assert isinstance(example, Example)
            assert schemas.to_examples(schemas.row_of(example, "rows")) == [example]
