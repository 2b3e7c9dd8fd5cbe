from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.readers import RawRow, read
from workbench.errors import WorkbenchError

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(content: bytes | str, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        list(read(path))
    return str(caught.value)


def good(rows: list[RawRow]) -> list[Any]:
    assert [row.problem for row in rows] == [""] * len(rows)
    return [row.value for row in rows]


def test_jsonl_has_a_row_in_each_line_that_is_not_blank(put: Put) -> None:
    rows = list(read(put(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n[2]\n"\xc3\xa9\xe2\x80\xa8"')))
    assert good(rows) == [{"a": 1}, [2], "é\u2028"]
    assert [row.place for row in rows] == ["rows.jsonl:1", "rows.jsonl:4", "rows.jsonl:5"]


def test_an_empty_file_has_no_rows(put: Put) -> None:
    assert list(read(put(""))) == []
    assert list(read(put("\n\n"))) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "it is not JSON: "),
        (b"text", "it is not JSON: Expecting value at character 1"),
        (b'{"a": 1}{"b": 2}', "it is not JSON: Extra data at character 9"),
        (b'{"a": "caf\xe9"}', "it is not UTF-8 (byte 11 of the line)"),
        (b'{"a": NaN}', "it is not JSON: NaN is no JSON value"),
        (b'{"a": -Infinity}', "it is not JSON: -Infinity is no JSON value"),
        (b'{"a": 1e999}', "it is not JSON: the number 1e999 is too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "it is not JSON: "),
        (b'{"a": "\\ud83d"}', "it holds half of a surrogate pair"),
        (b'{"a": ["\\uDE00"]}', "it holds half of a surrogate pair"),
        (b'{"\\ud83d": 1}', "it holds half of a surrogate pair"),
        (b"[" * 100_000, "deep"),
        (b"[" * 900 + b"]" * 900, "deep"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "deep"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_line_that_can_t_be_read_comes_with_the_reason(
    put: Put, line: bytes, problem: str
) -> None:
    before, bad, after = read(put(b"1\n" + line + b"\n2\n"))
    assert (before.value, after.value) == (1, 2)
    assert bad.place == "rows.jsonl:2"
    assert problem in bad.problem
    assert bad.value == line.decode("utf-8", "replace")[:2000]
    json.dumps(bad.value, ensure_ascii=False).encode("utf-8")


def test_whole_surrogate_pairs_and_escapes_of_escapes_are_characters(put: Put) -> None:
    assert good(list(read(put('{"a": "\\ud83d\\ude00", "b": "\\\\ud83d"}\n')))) == [
        {"a": "😀", "b": "\\ud83d"}
    ]


def test_many_brackets_that_are_not_deep_are_no_problem(put: Put) -> None:
    row = {"a": "[" * 500, "b": [[]] * 500}
    assert good(list(read(put(json.dumps(row))))) == [row]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"a": 1}, {"a": 2}]',
        b'\xef\xbb\xbf[{"a": 1}, {"a": 2}]',
        b'{"data": [{"a": 1}, {"a": 2}], "version": "1"}',
        b' [\r\n{"a": 1}\n,\n{"a": 2}\n]\n\n',
        b'{"a": 1}\n{"a": 2}\n',
    ],
)
def test_json_is_a_list_an_object_around_one_or_json_lines(put: Put, content: bytes) -> None:
    assert good(list(read(put(content, "rows.json")))) == [{"a": 1}, {"a": 2}]


def test_a_list_of_json_is_read_a_block_at_a_time(put: Put) -> None:
    """Values of any kind end and begin wherever a block does."""
    rows = [{"a": "é" * n} if n % 3 else n * 10**9 for n in range(3000)]
    assert good(list(read(put(json.dumps(rows, ensure_ascii=False), "rows.json")))) == rows
    large = [{"a": "x" * (3 << 20)}, 1, [2], "]", {"b": ","}]
    assert good(list(read(put(json.dumps(large, indent=1), "rows.json")))) == large
    assert good(list(read(put(" [ ] ", "rows.json")))) == []
    space = b" \n" * (1 << 20)
    assert good(list(read(put(b"[1\n]" + space, "rows.json")))) == [1]
    assert "follows the end" in refusal(put(b"[1\n]" + space + b"[2]", "rows.json"))


def test_json_lines_that_are_lists_may_be_called_json(put: Put) -> None:
    assert good(list(read(put("[1]\n[2, 3]\n", "rows.json")))) == [[1], [2, 3]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"a": 1}, {"a": 2', "is not JSON after row 1: "),
        (b'[{"a": 1} {"a": 2}]', "is not JSON after row 1: Expecting ',' or ']'"),
        (b'[{"a": 1},, 5]', "is not JSON after row 1: Expecting value"),
        (b"[\n1,\n2\n]\n[\n3\n]\n", "is not JSON after row 2: Something follows the end of the"),
        (b"[1] garbage {", "is not JSON after row 1: Something follows"),
        (b"[] 1", "is not JSON after row 0: Something follows"),
        (b'[{"a": 1}, "caf\xe9"]', "is not UTF-8: line 1, byte 16 of the file."),
        (b"[1, " + b"[" * 200_000, "can't be read after row 1: it has lists or objects more than"),
    ],
)
def test_a_list_that_is_no_json_is_refused_with_its_place(
    put: Put, content: bytes, words: str
) -> None:
    assert words in refusal(put(content, "rows.json"))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [1, 2]},
        {"id": "1", "conversations": [{"from": "human", "value": "Hi"}]},
        {"conversation": [{"speaker": "a", "text": "Hi"}]},
        {"prompt": "Hi", "completion": "Yes", "tags": ["a", "b"]},
        {"instruction": "Hi", "input": "", "output": "Yes", "history": [["a", "b"]]},
        {"instruction": "Hi", "instances": [{"input": "", "output": "Yes"}]},
        {"text": "Hi", "tags": ["a"]},
        {"a": [1], "b": [2]},
    ],
)
def test_json_of_one_row_is_that_row(put: Put, row: dict[str, Any]) -> None:
    assert good(list(read(put(json.dumps(row, indent=1), "rows.JSON")))) == [row]


@pytest.mark.parametrize("name", ["data", "conversations", "messages"])
def test_json_of_an_object_around_conversations_has_those_as_rows(put: Put, name: str) -> None:
    rows = [{"messages": [{"role": "user", "content": "Hi"}]}] * 2
    assert good(list(read(put(json.dumps({name: rows}), "rows.json")))) == rows


def test_rows_of_json_that_can_t_be_kept_come_with_the_reason(put: Put) -> None:
    content = '[{"a": NaN}, {"a": "\\ud83d"}, {"a": 1}, ' + "[" * 201 + "]" * 201 + "]"
    rows = list(read(put(content, "rows.json")))
    assert [row.place for row in rows] == [f"rows.json:row {n}" for n in (1, 2, 3, 4)]
    assert "NaN" in rows[0].problem
    assert "surrogate" in rows[1].problem
    assert rows[2] == RawRow("rows.json:row 3", {"a": 1})
    assert "deep" in rows[3].problem


def test_json_that_holds_no_rows_is_refused(put: Put) -> None:
    assert "holds no rows" in refusal(put("5", "rows.json"))


def test_csv_has_its_fields_by_the_header(put: Put) -> None:
    path = put(
        '\ufeffinstruction,output\r\n"a, ""b""","two\nlines"\r\n\r\nc,\r\n'
        + f"d,{'x' * 200_000}\n",
        "rows.csv",
    )
    rows = list(read(path))
    assert good(rows) == [
        {"instruction": 'a, "b"', "output": "two\nlines"},
        {"instruction": "c", "output": ""},
        {"instruction": "d", "output": "x" * 200_000},
    ]
    assert [row.place for row in rows] == ["rows.csv:2", "rows.csv:5", "rows.csv:6"]


def test_tsv_is_csv_with_tabs(put: Put) -> None:
    assert good(list(read(put("a\tb\n1,5\t2\n", "rows.tsv")))) == [{"a": "1,5", "b": "2"}]


def test_a_csv_row_with_another_count_of_columns_comes_with_the_reason(put: Put) -> None:
    one, less, more = read(put("a,b\n1,2\n3\n4,5,6\n", "rows.csv"))
    assert one.value == {"a": "1", "b": "2"}
    assert (less.place, less.problem) == ("rows.csv:3", "it has 1 columns where the header has 2")
    assert (more.place, more.value) == ("rows.csv:4", "4,5,6")


@pytest.mark.parametrize("column", ["text", "messages", "conversations", "conversation"])
def test_csv_may_have_one_column_that_makes_a_row(put: Put, column: str) -> None:
    assert good(list(read(put(f'{column}\n"[1, 2]"\n', "rows.csv")))) == [{column: "[1, 2]"}]


def test_rows_of_csv_that_are_none_come_with_the_reason_and_reading_goes_on(put: Put) -> None:
    content = 'a,b\n1,2\n"a"b,c\n\n3,"x\ny"z,5\n4,5\n6,"x\n7,8\n9,10\n'
    rows = list(read(put(content, "rows.csv")))
    assert [(row.place, row.value) for row in rows] == [
        ("rows.csv:2", {"a": "1", "b": "2"}),
        ("rows.csv:3", '"a"b,c'),
        ("rows.csv:5", '3,"x\ny"z,5'),
        ("rows.csv:7", {"a": "4", "b": "5"}),
        ("rows.csv:8", '6,"x\n7,8\n9,10'),
    ]
    assert [row.problem for row in rows if row.problem] == [
        "it can't be CSV: ',' expected after '\"'",
        "it can't be CSV: ',' expected after '\"'; it goes on to line 6",
        "it can't be CSV: unexpected end of data; it goes on to line 10",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no header with at least two columns"),
        (b"body\nHi\n", "no header with at least two columns"),
        (b"a,b,a\n1,2,3\n", "names the column 'a' twice"),
        (b'"a,b\n', "is not CSV"),
        (b"a,b\ncaf\xe9,1\n", "is not UTF-8"),
    ],
)
def test_what_is_no_csv_is_refused(put: Put, content: bytes, reason: str) -> None:
    message = refusal(put(content, "rows.csv"))
    assert reason in message
    assert "rows.csv" in message


def test_parquet_rows_are_plain_values(tmp_path: Path) -> None:
    import datetime

    import pyarrow
    from pyarrow import parquet

    columns = {
        "prompt": ["Hi", "é"],
        "turns": [[{"role": "user"}], []],
        "when": [datetime.date(2024, 1, 2), None],
        "score": [float("nan"), 0.5],
        "raw": [b"text", b"\xff"],
    }
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    rows = list(read(path))
    assert good(rows) == [
        {
            "prompt": "Hi",
            "turns": [{"role": "user"}],
            "when": "2024-01-02",
            "score": None,
            "raw": "text",
        },
        {"prompt": "é", "turns": [], "when": None, "score": 0.5, "raw": None},
    ]
    assert rows[1].place == "rows.parquet:row 2"
    path.write_bytes(path.read_bytes()[:-20])
    assert "is not Parquet" in refusal(path)


def test_parquet_with_text_that_is_none_is_refused(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.array([b"caf\xe9"], pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"prompt": text}), tmp_path / "rows.parquet")
    assert "not UTF-8" in refusal(tmp_path / "rows.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b'{"a": 1}\n'])
def test_what_is_no_parquet_is_refused(put: Put, content: bytes) -> None:
    assert "rows.parquet is not Parquet" in refusal(put(content, "rows.parquet"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PAR1\x15\x04\x15", "holds binary data"),
        (b"\x1f\x8b\x08rest of gzip", "holds binary data"),
        (bytes(range(256)), "holds binary data"),
        ('{"a": 1}\n'.encode("utf-16-le"), "--encoding, such as utf-16-le"),
    ],
    ids=["parquet", "gzip", "bytes", "utf-16 without a mark"],
)
def test_a_binary_file_is_refused_as_a_whole(put: Put, content: bytes, reason: str) -> None:
    message = refusal(put(content))
    assert "rows.jsonl is not JSONL" in message
    assert reason in message


def test_a_missing_file_and_a_plain_folder_are_named(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "gone.jsonl")
    assert "not one that `datasets` saved" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(put: Put) -> None:
    path = put("1\n")
    path.chmod(stat.S_IWUSR)
    assert "permission denied" in refusal(path)


def test_a_name_that_is_no_utf8_gives_a_place_that_is(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    path.write_text("1\n")
    (row,) = read(path)
    assert row.place == "caf\ufffd.jsonl:1"


def test_a_folder_that_datasets_saved_is_read_and_a_spoilt_one_is_named(tmp_path: Path) -> None:
    import datasets

    rows = [{"prompt": "Hi", "completion": "Yes"}, {"prompt": "Ho", "completion": "No"}]
    part = datasets.Dataset.from_list(rows)
    part.save_to_disk(str(tmp_path / "one"))
    found = list(read(tmp_path / "one"))
    assert good(found) == rows
    assert found[0].place == "one:row 1"
    both = datasets.DatasetDict({"train": part, "test": part})
    both.save_to_disk(str(tmp_path / "both"))
    assert [row.place for row in read(tmp_path / "both")] == [
        f"both/{split}:row {number}" for split in ("train", "test") for number in (1, 2)
    ]
    (tmp_path / "one" / "state.json").write_text("{")
    assert "can't be read by `datasets`" in refusal(tmp_path / "one")
