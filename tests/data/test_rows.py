from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.data.rows import RowFile, open_rows
from workbench.errors import WorkbenchError

MIB = 1 << 20
Put = Callable[[bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(content: bytes) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        return path

    return write


def naive_lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.rstrip(b"\r") for line in lines]


def lines_of(rows: RowFile) -> list[bytes]:
    return [rows.line(number) for number in range(len(rows))]


def found_in(rows: RowFile, text: str) -> list[int]:
    return [number for numbers in rows.search(text) for number in numbers]


def mixed(seed: int, *, last_line_ends: bool) -> bytes:
    """Lines of every size around the block's, with one huge line among them."""
    chance = random.Random(seed)
    sizes = [0, 0, 1, 2, 80, 5000, MIB - 1, MIB, MIB + 1]
    lines = [b"\xc3\xa9\r" + b"x" * chance.choice(sizes[:6]) for _ in range(600)]
    lines += [b"y" * chance.choice(sizes) for _ in range(6)] + [b"z" * (MIB * 2 + 77)]
    lines += [b""] * 20
    chance.shuffle(lines)
    return b"\n".join([*lines, b"last"]) + (b"\n" if last_line_ends else b"")


@pytest.mark.parametrize("last_line_ends", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_rows_are_the_lines_of_the_file(put: Put, seed: int, last_line_ends: bool) -> None:
    content = mixed(seed, last_line_ends=last_line_ends)
    rows = open_rows(put(content))
    rows.index()
    assert rows.complete
    assert rows.progress == 1
    assert lines_of(rows) == naive_lines(content)


@pytest.mark.parametrize(
    "content",
    [
        *(b"\n", b"\n\n", b"a", b"a\n", b"\na", b"a\r\n\r\nb", b"a\n" * 3),
        b"x" * (MIB - 1) + b"\n",
        b"x" * (MIB - 1) + b"\n" + b"y" * (MIB - 1) + b"\n",
        b"x" * MIB + b"\n",
        b"x" * MIB,
        b"x" * (MIB - 100) + b"\n" * 200,
    ],
    ids=lambda content: f"{content[:6]!r}-{len(content)}",
)
def test_borders_of_blocks_make_and_lose_no_row(put: Put, content: bytes) -> None:
    rows = open_rows(put(content))
    rows.index()
    assert lines_of(rows) == naive_lines(content)
    with pytest.raises(IndexError):
        rows.line(len(rows))
    with pytest.raises(IndexError):
        rows.line(-1)


def test_first_rows_are_there_before_the_index_is_complete(put: Put) -> None:
    content = b'{"a": 1}\n' * 400_000
    rows = open_rows(put(content))
    assert not rows.complete
    assert 0 < rows.progress < 1
    assert 100_000 < len(rows) < 400_000
    assert rows.line(len(rows) - 1) == b'{"a": 1}'
    with pytest.raises(IndexError):
        rows.line(len(rows))
    rows.index(cancelled=lambda: True)
    assert not rows.complete
    rows.index()
    assert len(rows) == 400_000


def test_a_line_too_long_to_show_is_cut(put: Put) -> None:
    rows = open_rows(put(b"x" * (9 * MIB) + b"\nnext\n"))
    rows.index()
    assert len(rows.line(0)) == 8 * MIB
    assert rows.line(1) == b"next"


TEXTS = ("Zebra", "zebra", "é", "É", "日本", "a\nb", 'say "x"', "\\u00e9", "no such", "]", "😀")


@pytest.mark.parametrize("ascii_only", [True, False])
def test_search_finds_what_a_naive_search_finds(put: Put, ascii_only: bool) -> None:
    chance = random.Random(3)
    words = [*TEXTS, "zEbRa", "x" * 40_000, "y" * 900_000, "plain", "\u0130"]
    texts = [" ".join(chance.choice(words) for _ in range(chance.randint(1, 4))) for _ in range(40)]
    content = "".join(f"{json.dumps([t], ensure_ascii=ascii_only)}\n" for t in texts).encode()
    path = put(content)
    for wanted in TEXTS:
        forms = {json.dumps(wanted, ensure_ascii=way)[1:-1].encode().lower() for way in (0, 1)}
        lines = naive_lines(content)
        expected = [i for i, line in enumerate(lines) if any(f in line.lower() for f in forms)]
        # Nothing is indexed yet but the first block: the search indexes on its way.
        assert found_in(open_rows(path), wanted) == expected, wanted
    assert found_in(open_rows(path), "ZEBRA") == found_in(open_rows(path), "zebra") != []


def test_letters_that_are_not_ascii_match_in_their_own_case_only(put: Put) -> None:
    path = put('["é"]\n["É"]\n["\\u00e9"]\n["e"]\n'.encode())
    assert found_in(open_rows(path), "é") == [0, 2]
    assert found_in(open_rows(path), "É") == [1]


def test_a_long_row_after_short_ones_is_searched_to_its_end(put: Put) -> None:
    path = put(b"short\n" * 150_000 + b"x" * (7 * MIB + 600_000) + b"needle\nneedle\n")
    assert found_in(open_rows(path), "needle") == [150_000, 150_001]
    indexed = open_rows(path)
    indexed.index()
    assert found_in(indexed, "needle") == [150_000, 150_001]


def test_nothing_to_search_for_is_in_every_row(put: Put) -> None:
    assert found_in(open_rows(put(b"a\n\nb\n")), "") == [0, 1, 2]


def test_half_of_a_surrogate_pair_can_be_searched_for(put: Put) -> None:
    assert found_in(open_rows(put(b'["\\ud83d"]\n')), "\ud83d") == [0]


def test_a_cancelled_search_ends(put: Put) -> None:
    rows = open_rows(put((b"a" * 99 + b"\n") * 60_000))
    assert list(rows.search("a", cancelled=lambda: True)) == []
    blocks: list[list[int]] = []
    blocks.extend(rows.search("a", cancelled=lambda: len(blocks) > 1))
    assert len(blocks) == 2
    assert not rows.complete


def test_indexing_and_searching_at_the_same_time_make_no_row_twice(put: Put) -> None:
    content = b"".join(b'{"n": %d}\n' % n for n in range(700_000))
    rows = open_rows(put(content))
    results: list[list[int]] = []
    threads = [threading.Thread(target=rows.index) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: results.append(found_in(rows, "699999"))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows) == 700_000
    assert rows.line(699_999) == b'{"n": 699999}'
    assert results == [[699_999]]


def test_a_file_cut_short_meanwhile_gives_short_rows_and_no_crash(put: Put) -> None:
    path = put(b'{"a": 1}\n' * 400_000)
    whole, partly = open_rows(path), open_rows(path)
    whole.index()
    count = len(partly)
    os.truncate(path, 900)
    assert whole.line(0) == b'{"a": 1}'
    assert whole.line(399_999) == b""
    assert found_in(whole, "a") == list(range(100))
    partly.index()
    assert partly.complete
    assert len(partly) >= count
    assert partly.line(len(partly) - 1) == b""
    os.truncate(path, 0)
    fresh = [whole.line(0), *found_in(partly, "a")]
    assert fresh == [b""]


def test_a_file_that_grows_meanwhile_is_read_as_it_was_or_longer(put: Put) -> None:
    path = put((b"a" * 99 + b"\n") * 15_000)
    rows = open_rows(path)
    with path.open("ab") as stream:
        stream.write(b"b\n" * 10 + b"torn")
    rows.index()
    assert len(rows) >= 15_000
    assert set(lines_of(rows)) <= {b"a" * 99, b"b", b"torn"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"PAR1....", "holds binary data"),
        (b'{"a": 1}\n\0', "holds binary data"),
        ("{}\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_what_is_plainly_no_jsonl_is_refused(put: Put, content: bytes, reason: str) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        open_rows(put(content))


def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="it is a folder"):
        open_rows(tmp_path)
    with pytest.raises(WorkbenchError, match="no such file"):
        open_rows(tmp_path / "gone")


def opened(path: Path) -> int:
    """How often this process has a file open; other files of it come and go."""
    return sum(os.path.realpath(handle) == str(path) for handle in Path("/proc/self/fd").iterdir())


def test_files_that_nobody_looks_at_any_more_are_closed(put: Put) -> None:
    path = put(b"a\n")
    for _ in range(50):
        open_rows(path)
    with pytest.raises(WorkbenchError):
        open_rows(put(b"\0"))
    kept = open_rows(put(b"a\n"))
    assert opened(path) == 1
    kept.close()
    kept.close()
    assert opened(path) == 0
