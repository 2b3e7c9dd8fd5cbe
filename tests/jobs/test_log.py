from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Event, Notice, Progress, encode
from workbench.jobs.log import LogReader, LogWriter, ends, read_all


def write(path: Path, *texts: str) -> None:
    with LogWriter(path) as log:
        for text in texts:
            log.write(Notice(text))


def texts(path: Path) -> list[str]:
    return [r.event.text for r in read_all(path) if isinstance(r.event, Notice)]


def test_a_torn_tail_is_never_parsed_wherever_it_is_torn(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    write(whole, "first", "second – with ü and 世界")
    content = whole.read_bytes()
    first_ends = content.index(b"\n") + 1
    torn = tmp_path / "torn.jsonl"
    for length in range(len(content) + 1):
        torn.write_bytes(content[:length])
        expected = (length >= first_ends) + (length == len(content))
        assert len(list(read_all(torn))) == expected, length
        assert len(ends(torn)) == expected, length


def test_a_reader_that_met_a_torn_tail_reads_the_line_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    line = encode(Notice("late"), 0, 1.0)
    reader = LogReader(path)
    assert reader.read() == []
    for cut in range(1, len(line)):
        path.write_bytes(line[:cut])
        assert reader.read() == []
    path.write_bytes(line)
    (record,) = reader.read()
    assert record.event == Notice("late")
    assert reader.read() == []


def test_a_writer_cuts_off_a_torn_tail_and_goes_on_numbering(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, "a", "b", "torn")
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 5)
    write(path, "c", "d")
    assert texts(path) == ["a", "b", "c", "d"]
    assert [r.seq for r in read_all(path)] == [0, 1, 2, 3]


def test_a_log_of_nothing_but_a_torn_line_begins_again_at_0(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"v":1,"seq":0,')
    write(path, "a")
    assert [(r.seq, r.event) for r in read_all(path)] == [(0, Notice("a"))]


def test_seq_is_contiguous_over_several_writers(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log.jsonl"
    for _ in range(3):
        write(path, *"abcde")
    assert [r.seq for r in read_all(path)] == list(range(15))


def test_reading_again_gives_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    reader = LogReader(path)
    with LogWriter(path) as log:
        for number in range(3):
            log.write(Notice(str(number)))
            assert [r.seq for r in reader.read()] == [number]


def test_a_small_limit_gives_every_event_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, *(str(n) * 50 for n in range(100)))
    reader = LogReader(path)
    numbers: list[int] = []
    while records := reader.read(limit=70):
        numbers += [r.seq for r in records]
    assert numbers == list(range(100))


def test_a_replaced_log_is_read_from_its_start(tmp_path: Path) -> None:
    path, other = tmp_path / "log.jsonl", tmp_path / "other.jsonl"
    write(path, "old")
    reader = LogReader(path)
    assert len(reader.read()) == 1
    write(other, "new", "newer")
    other.replace(path)
    assert [r.event for r in reader.read()] == [Notice("new"), Notice("newer")]


def test_a_log_that_was_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, "a", "b", "c")
    reader = LogReader(path)
    assert len(reader.read()) == 3
    os.truncate(path, 0)
    assert reader.read() == []
    write(path, "d")
    assert [r.event for r in reader.read()] == [Notice("d")]


def test_foreign_lines_are_passed_over_and_readers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, "a")
    with path.open("ab") as stream:
        stream.write(b"a library's own words\n\n[]\n" + b"[" * 100_000 + b"\n")
    write(path, "b")
    assert texts(path) == ["a", "b"]


def test_a_megabyte_of_unknown_events_does_not_end_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    unknown = b'{"v":1,"seq":0,"t":0,"type":"later","x":"' + b"x" * 1000 + b'"}\n'
    path.write_bytes(unknown * 1200)
    write(path, "after")
    assert texts(path) == ["after"]
    assert [r.event for r in LogReader(path).read()] == [Notice("after")]


def test_the_ends_of_a_small_log_are_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, *(str(n) for n in range(100)))
    everything = list(read_all(path))
    length = path.stat().st_size
    assert ends(path) == everything
    for size in (length // 2 + 1, length - 1, length, length + 1):
        assert ends(path, size) == everything
    assert ends(tmp_path / "no such log") == []


def test_the_ends_of_a_big_log_are_its_first_and_last_events(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, *("x" * 100 for _ in range(500)))
    everything = list(read_all(path))
    length = path.stat().st_size
    # At every phase of the cut against the lines.
    for size in range(length // 8, length // 8 + 160):
        found = ends(path, size)
        numbers = [r.seq for r in found]
        assert numbers == sorted(set(numbers))
        assert numbers[0] == 0 and numbers[-1] == 499
        assert 100 < len(numbers) < 140
        assert found == [everything[n] for n in numbers]


def test_events_that_are_always_wanted_come_with_the_ends_of_a_big_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with LogWriter(path) as log:
        for number in range(500):
            log.write(Evaluated(number, 1.0, 1, 1) if number % 50 == 7 else Notice("x" * 100))
            log.write(Notice('a text with "type":"evaluated" in it'))
    everything = list(read_all(path))
    found = ends(path, 2000, always=(Evaluated,))
    assert [r for r in found if isinstance(r.event, Evaluated)] == [
        r for r in everything if isinstance(r.event, Evaluated)
    ]
    assert [r.seq for r in found] == sorted(r.seq for r in found)
    assert len(found) < 100 and found[0] == everything[0] and found[-1] == everything[-1]


def test_a_last_event_longer_than_the_ends_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, "a", "b" * 5000, "c" * 5000)
    assert ends(path, 100)[-1].event == Notice("c" * 5000)


def test_a_disk_that_fills_up_in_a_line_leaves_whole_lines_and_room_for_the_next(
    tmp_path: Path,
) -> None:
    """By a limit on the size of files, which cuts a write short as a full disk does."""
    path = tmp_path / "log.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LogWriter(path) as log:
        log.write(Notice("first"))
        whole = path.read_bytes()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))
            with pytest.raises(WorkbenchError, match="disk is full"):
                log.write(Notice("too long for the room that is left"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == whole
        log.write(Notice("second"))
    assert [(r.seq, r.event) for r in read_all(path)] == [
        (0, Notice("first")),
        (1, Notice("second")),
    ]


def test_a_log_that_cannot_be_written_says_so_in_words(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="it is a folder"):
        LogWriter(tmp_path)


def test_events_of_several_types_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    mixed: list[Event] = [
        Progress("p", 0, 2),
        Evaluated(0, 1.0, 1, 1),
        Progress("p", 1, 2),
        Notice("n"),
    ]
    with LogWriter(path) as log:
        for event in mixed:
            log.write(event)
    assert [r.event for r in read_all(path)] == mixed
