from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.data import readers, revising, versions
from workbench.data.importing import Options, import_files
from workbench.data.opening import check_encoding
from workbench.data.replay import make
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

ROWS = [{"prompt": "Größe?", "completion": "„5 €“"}, {"prompt": "b", "completion": "c\r\nd"}]
KINDS = {
    "rows.jsonl": "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS),
    "rows.json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    "lines.json": "".join(f"{json.dumps(row, ensure_ascii=False)}\r\n" for row in ROWS),
    "rows.csv": 'prompt,completion\r\nGröße?,„5 €“\r\nb,"c\r\nd"\r\n',
    "rows.tsv": 'prompt\tcompletion\nGröße?\t„5 €“\nb\t"c\r\nd"\n',
}


def values(path: Path, encoding: str = "") -> list[Any]:
    rows = list(readers.read(path, encoding))
    assert [row.problem for row in rows] == [""] * len(rows)
    return [row.value for row in rows]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252", "gb18030"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_is_read_in_any_encoding_and_unpacked(
    tmp_path: Path, name: str, encoding: str, packed: bool
) -> None:
    data = KINDS[name].encode(encoding)
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    named = encoding if encoding in ("cp1252", "gb18030") else ""
    assert values(path, named) == ROWS
    last = list(readers.read(path, named))[-1]
    assert 0 < last.reached <= path.stat().st_size
    assert last.place.startswith(path.name)


def test_utf_16_without_a_mark_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(KINDS["rows.jsonl"].encode("utf-16-le"))
    with pytest.raises(WorkbenchError, match="--encoding"):
        values(path)
    assert values(path, "utf-16-le") == ROWS


@pytest.mark.parametrize(
    ("name", "data", "encoding", "words"),
    [
        ("rows.jsonl", b'{"a": 1}\n{"a": "\x81"}\n', "cp1252", "not cp1252: line 2, byte 17 of"),
        ("rows.csv", b"a,b\n1,2\n3,\xff\n", "", "not UTF-8: line 3, byte 11 of the file"),
        ("rows.json", b'[{"a":\n"\xe9"}]', "", "not UTF-8: line 2, byte 9 of the file"),
        ("rows.txt", b"Some words\nand caf\xe9.", "", "not UTF-8: line 2, byte 19 of the file"),
        ("rows.jsonl", "{}\n".encode("utf-16")[:-1], "", "not UTF-16: line 1, byte 7 of the file"),
        ("far.csv", b"a,b\n" + b"1,2\n" * 9999 + b"\xff,2\n", "", "line 10001, byte 40001"),
    ],
)
def test_a_wrong_encoding_is_told_with_line_and_byte(
    tmp_path: Path, name: str, data: bytes, encoding: str, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WorkbenchError) as caught:
        list(readers.read(path, encoding))
    assert words in caught.value.message
    assert "--encoding" in caught.value.hint


@pytest.mark.parametrize("damage", ["cut", "no gzip", "spoilt"])
def test_what_gzip_can_t_unpack_is_told(tmp_path: Path, damage: str) -> None:
    data = gzip.compress(KINDS["rows.jsonl"].encode() * 500)
    spoilt = {"cut": data[:-9], "no gzip": b"{}\n", "spoilt": data[:40] + b"\xff" * 9 + data[49:]}
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(spoilt[damage])
    with pytest.raises(WorkbenchError, match="can't be unpacked by gzip"):
        list(readers.read(path))


def test_a_nul_byte_makes_its_row_bad_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = json.dumps({"prompt": "a" * 99, "completion": "b"})
    path.write_text(f'{line}\n{{"prompt": "a\0", "completion": "b"}}\n{line}\n')
    rows = list(readers.read(path))
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert rows[1].place == "rows.jsonl:2" and "control character" in rows[1].problem


def test_lines_of_csv_may_end_with_a_lone_cr(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'a,b\r1,"2\r3"\r4,5\r')
    assert values(path) == [{"a": "1", "b": "2\r3"}, {"a": "4", "b": "5"}]


def test_a_line_of_50_mb_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "completion": "x" * 50_000_000}))
    script = (
        "import sys; from pathlib import Path; from workbench.data import readers;"
        "(row,) = readers.read(Path(sys.argv[1])); assert not row.problem;"
        # What the process itself has used; what resource says begins with its parent's.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300_000


@pytest.mark.parametrize("name", ["no-such", "base64", "zlib", "rot13", "\udce9", "a\0b"])
def test_what_is_no_encoding_of_text_is_refused(name: str) -> None:
    with pytest.raises(WorkbenchError, match="There is no encoding"):
        check_encoding(name)
    assert check_encoding("UTF8") == check_encoding("utf-8-sig") == ""


def test_the_recipe_keeps_the_encoding(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(KINDS["rows.csv"].encode("cp1252"))
    version = import_files(workspace, [path], "made", Options(encoding="Windows-1252"))
    recipe = revising.recipe_of(version)
    assert recipe.to_json()["sources"][0]["encoding"] == "cp1252"
    assert make(workspace, recipe).sha256 == version.sha256
    assert {e.instruction for e in versions.read(version)} == {"Größe?", "b"}
