from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from workbench.data import split, versions
from workbench.data.example import Example
from workbench.data.importing import Options, import_files
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
SHARED = Path(__file__).parents[3] / "shared" / "data"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here")


def pair(prompt: str, completion: str = "Yes") -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


def pairs(count: int) -> list[dict[str, str]]:
    return [pair(f"Question {n}?", f"Answer {n}") for n in range(count)]


def examples_of(version: Version) -> list[Example]:
    return list(versions.read(version))


def tree(workspace: Workspace) -> list[str]:
    return sorted(str(path.relative_to(workspace.root)) for path in workspace.root.rglob("*"))


def refusal(workspace: Workspace, *paths: Path, options: Options | None = None) -> WorkbenchError:
    """The error of an import that fails; nothing may be written."""
    before = tree(workspace)
    with pytest.raises(WorkbenchError) as caught:
        import_files(workspace, paths, "made", options)
    assert tree(workspace) == before
    return caught.value


def test_rows_become_a_version_with_its_origin(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(*pairs(40))
    version = import_files(workspace, [path], "made", Options(task="qa"))
    assert sum(version.splits.values()) == version.rows == 40
    assert version.tasks == {"qa": 40}
    example = examples_of(version)[3]
    assert (example.instruction, example.response) == ("Question 3?", "Answer 3")
    assert example.source == "rows.jsonl:4"
    about = versions.describe(version)
    (source,) = about["sources"]
    assert (source["path"], source["bytes"]) == (str(path), path.stat().st_size)
    assert len(source["sha256"]) == 64
    assert [(s["name"], s["before"], s["after"]) for s in about["steps"]] == [
        ("read", 40, 40),
        ("strip end markers", 40, 40),
        ("exact duplicates", 40, 40),
        ("split", 40, 40),
        ("leakage", 40, 40),
    ]


def test_importing_twice_gives_the_one_version(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(*pairs(20))
    first = import_files(workspace, [path], "made")
    before = tree(workspace)
    assert import_files(workspace, [path], "made") == first
    assert tree(workspace) == before


def test_files_of_several_formats_make_one_version(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    (tmp_path / "b.csv").write_text("question,answer\nB?,b\n")
    (tmp_path / "c.json").write_text('[{"instruction": "C?", "output": "c"}]')
    paths = [write_rows(pair("A?", "a")), tmp_path / "b.csv", tmp_path / "c.json"]
    version = import_files(workspace, paths, "made", Options(validation_share=0))
    assert [e.response for e in examples_of(version)] == ["a", "b", "c"]


def test_one_bad_row_stops_the_import_and_is_named(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(pair("A?"), "not json", {"prompt": "B?"}, pair("C?"))
    error = refusal(workspace, path)
    assert error.message.splitlines() == [
        f"2 of 4 rows of {path} can't be used:",
        "  rows.jsonl:2: it is not JSON: Expecting value at character 1",
        "  rows.jsonl:3: there is no response beside `prompt` (such as `completion`); "
        "it has prompt",
    ]
    assert "--skip-bad" in error.hint


def test_of_many_bad_rows_the_reasons_are_named_and_counted(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(pair("A?"), *({"prompt": "B?"} for _ in range(1200)))
    lines = refusal(workspace, path).message.splitlines()
    assert lines[0].startswith("1,200 of 1,201 rows")
    assert lines[1:] == [
        "  1,200 × there is no response beside `prompt` (such as `completion`); it has prompt "
        "(first rows.jsonl:2)"
    ]


def test_bad_rows_can_be_left_out_and_are_kept_aside_with_their_reasons(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(pair("A?"), "not json", {"prompt": "B?"}, pair("C?"), pair("C?"))
    options = Options(skip_bad=True, validation_share=0)
    version = import_files(workspace, [path], "made", options)
    assert (version.rows, version.removed) == (2, 3)
    removed = list(versions.read_removed(version))
    assert [(r.step, r.source) for r in removed] == [
        ("read", "rows.jsonl:2"),
        ("read", "rows.jsonl:3"),
        ("exact duplicates", "rows.jsonl:5"),
    ]
    assert removed[0].row == "not json"
    assert removed[1].row == {"prompt": "B?"}
    assert "there is no response" in removed[1].reason
    assert removed[2].reason == "the same as rows.jsonl:4"
    steps = versions.describe(version)["steps"]
    assert (steps[0]["before"], steps[0]["after"]) == (5, 3)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_files_without_a_usable_row_are_refused_even_when_bad_rows_may_be_left_out(
    workspace: Workspace, write_rows: WriteRows, skip_bad: bool
) -> None:
    options = Options(skip_bad=skip_bad)
    text = write_rows("Dear reader,", "this is no JSON.", name="letter.jsonl")
    assert "letter.jsonl is not JSONL" in refusal(workspace, text, options=options).message
    lone = write_rows({"body": "Hi"}, name="lone.jsonl")
    assert "No row of" in refusal(workspace, lone, options=options).message
    empty = write_rows(name="empty.jsonl")
    assert "There are no rows in" in refusal(workspace, empty, options=options).message


def test_whatever_goes_wrong_nothing_is_written(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path
) -> None:
    import_files(workspace, [write_rows(*pairs(5))], "there")
    (tmp_path / "bytes.jsonl").write_bytes(bytes(range(256)))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    (tmp_path / "bad.csv").write_text("a\n1\n")
    good = write_rows(pair("A?"), name="good.jsonl")
    for path in ("gone.jsonl", "bytes.jsonl", "bad.parquet", "bad.csv", "."):
        refusal(workspace, good, tmp_path / path)
    for options in (
        Options(validation_share=1),
        Options(validation_share=-0.1),
        Options(validation_share=float("nan")),
        Options(validation_files=(tmp_path / "gone.jsonl",)),
        Options(task="\udce9"),
    ):
        refusal(workspace, good, options=options)


def test_a_name_that_can_be_no_folder_is_refused(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    with pytest.raises(WorkbenchError, match="can't be the name of a dataset"):
        import_files(workspace, [write_rows(pair("A?"))], "../out")
    assert not workspace.root.exists()


def test_validation_files_are_the_validation_split_and_their_prompts_leave_training(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    train = write_rows(*pairs(10), name="train.jsonl")
    held_out = write_rows(pair("question  3?", "x"), pair("New?"), name="held.jsonl")
    version = import_files(workspace, [train], "made", Options(validation_files=(held_out,)))
    assert version.splits == {"train": 9, "validation": 2}
    (removed,) = versions.read_removed(version)
    assert (removed.step, removed.source) == ("leakage", "train.jsonl:4")
    assert removed.reason == "it has the prompt of the validation row held.jsonl:1"
    assert split.leaking(examples_of(version)) == []
    assert len(versions.describe(version)["sources"]) == 2


def test_validation_files_that_leave_nothing_or_hold_nothing_are_refused(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    train = write_rows(pair("A?"), name="train.jsonl")
    same = write_rows(pair("a?", "no"), name="same.jsonl")
    empty = write_rows(name="empty.jsonl")
    bad = write_rows({"prompt": "A?"}, name="bad.jsonl")
    for path, reason in (
        (same, "No training row is left"),
        (empty, "There are no rows in"),
        (bad, "bad.jsonl:1: there is no response"),
    ):
        options = Options(validation_files=(path,))
        assert reason in refusal(workspace, train, options=options).message


def test_a_share_never_takes_every_row(workspace: Workspace, write_rows: WriteRows) -> None:
    for count in (1, 2, 3):
        path = write_rows(*pairs(count), name=f"{count}.jsonl")
        version = import_files(workspace, [path], "made", Options(validation_share=0.99))
        assert version.splits["train"] >= 1
        assert version.rows == count


def test_no_share_holds_nothing_out(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(*pairs(30))
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    assert version.splits == {"train": 30}


def test_end_markers_are_taken_off_and_counted(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(pair("A?", "a<|endoftext|>"), pair("B?", "b"))
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    assert [e.response for e in examples_of(version)] == ["a", "b"]
    step = versions.describe(version)["steps"][1]
    assert (step["name"], step["changed"]) == ("strip end markers", 1)


def test_a_file_whose_name_is_no_utf8_can_be_imported(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(pair("A?"), name=os.fsdecode(b"caf\xe9.jsonl"))
    version = import_files(workspace, [path], "made")
    assert examples_of(version)[0].source == "caf\ufffd.jsonl:1"


Told = list[tuple[str, int, int, str]]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_it_is_told_how_far_each_phase_is(
    workspace: Workspace, write_rows: WriteRows, tmp_path: Path, suffix: str
) -> None:
    rows = pairs(3000)
    path = tmp_path / f"more.{suffix}"
    if suffix == "jsonl":
        write_rows(*rows, name=path.name)
    elif suffix == "json":
        path.write_text(json.dumps(rows))
    elif suffix == "csv":
        lines = [f"{row['prompt']},{row['completion']}\n" for row in rows]
        path.write_text("prompt,completion\n" + "".join(lines))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    first = write_rows(pair("A?"))
    told: Told = []
    version = import_files(workspace, [first, path], "made", tell=lambda *how: told.append(how))
    phases = list(dict.fromkeys(phase for phase, *_ in told))
    assert phases == [
        "reading",
        "looking for end markers",
        "looking for duplicates",
        "splitting",
        "grouping",
        "shingles",
        "rarest shingles",
        "comparing",
        "looking for leaks",
        "hashing the files",
        "writing",
    ]
    total = first.stat().st_size + path.stat().st_size
    for phase in phases:
        done = [how[1] for how in told if how[0] == phase]
        whole, unit = {how[2:] for how in told if how[0] == phase}.pop()
        written = version.data_path.stat().st_size
        expected = {
            "reading": (total, "bytes"),
            # All of these rows say other things.
            "comparing": (0, "shingles"),
            "hashing the files": (2, "files"),
            "writing": (written, "bytes"),
        }
        assert (whole, unit) == expected.get(phase, (3001, "rows"))
        assert done == sorted(done) and (done[0], done[-1]) == (0, whole)
        # Bit by bit, and not all at the end: blocks of 8 KiB at most, and of 262,144 shingles.
        jumps = [b - a for a, b in itertools.pairwise(done)]
        most = 3001 if phase == "rarest shingles" else max(1, 8192 * (unit == "bytes"))
        assert max(jumps, default=0) <= most


class _Enough(Exception):
    pass


@pytest.mark.parametrize("phase", ["reading", "looking for leaks", "hashing the files", "writing"])
def test_an_import_that_is_ended_leaves_nothing(
    workspace: Workspace, write_rows: WriteRows, phase: str
) -> None:
    import_files(workspace, [write_rows(*pairs(5))], "there")
    before = tree(workspace)

    def tell(under_way: str, done: int, total: int, unit: str) -> None:
        if under_way == phase and done:
            raise _Enough

    with pytest.raises(_Enough):
        import_files(workspace, [write_rows(*pairs(9))], "made", tell=tell)
    assert tree(workspace) == before


@real_data
def test_gsm8k_is_imported_whole(workspace: Workspace) -> None:
    path = SHARED / "gsm8k_train.jsonl"
    version = import_files(workspace, [path], "gsm8k")
    assert version.rows + version.removed == 7473
    assert 600 < version.splits["validation"] < 900
    assert split.leaking(examples_of(version)) == []
    assert versions.describe(version)["sources"][0]["bytes"] == path.stat().st_size


@real_data
def test_gsm8k_with_its_test_split_held_out(workspace: Workspace) -> None:
    options = Options(validation_files=(SHARED / "gsm8k_test.jsonl",))
    version = import_files(workspace, [SHARED / "gsm8k_train.jsonl"], "gsm8k", options)
    assert version.splits["validation"] == 1319
    assert split.leaking(examples_of(version)) == []


@real_data
def test_t0_rows_lose_their_end_markers(workspace: Workspace) -> None:
    paths = sorted(SHARED.glob("t0_*.jsonl"))
    version = import_files(workspace, paths, "t0", Options(skip_bad=True))
    assert len(paths) == 3
    raw = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    marked = sum(row["completion"].endswith("<|endoftext|>") for row in raw)
    steps = {s["name"]: s for s in versions.describe(version)["steps"]}
    assert marked > 500
    assert steps["strip end markers"]["changed"] == marked
    assert not any("<|endoftext|>" in e.response for e in examples_of(version))
    assert {r.step for r in versions.read_removed(version)} <= {"exact duplicates", "leakage"}


@real_data
def test_each_instance_of_self_instruct_is_a_row(workspace: Workspace) -> None:
    path = SHARED / "self_instruct_user_oriented.jsonl"
    version = import_files(workspace, [path], "self-instruct", Options(task="writing"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    instances = sum(len(row["instances"]) for row in rows)
    assert version.rows + version.removed == instances
    assert examples_of(version)[0].extra == {
        "id": "user_oriented_task_0",
        "motivation_app": "Grammarly",
    }


def test_plain_text_is_mixed_with_conversations_and_no_text_is_on_both_sides(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    laws = [{"text": f"Law {n}: {'x' * (n % 7)}"} for n in range(60)]
    again = [{"text": "law  3: XXX"}, {"text": "Law 5: xxxxx"}]
    path = write_rows(*laws, *again, *pairs(40))
    version = import_files(workspace, [path], "mixed", Options(validation_share=0.5))
    examples = examples_of(version)
    texts = [e for e in examples if e.text]
    # The one that is the same letter by letter is gone, the one in other letters is not.
    assert len(texts) == 61 and len(examples) == 101
    assert 15 < sum(e.split == "validation" for e in texts) < 45
    assert len({e.split for e in texts if e.text.casefold().split() == ["law", "3:", "xxx"]}) == 1


def test_a_text_that_is_in_the_validation_file_is_left_out_of_training(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    train = write_rows({"text": "A  law"}, {"text": "Another"}, name="train.jsonl")
    held_out = write_rows({"text": "a law"}, name="held-out.jsonl")
    version = import_files(workspace, [train], "laws", Options(validation_files=(held_out,)))
    assert [(e.text, e.split) for e in examples_of(version)] == [
        ("Another", "train"),
        ("a law", "validation"),
    ]
