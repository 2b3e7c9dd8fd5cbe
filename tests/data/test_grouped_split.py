from __future__ import annotations

import errno
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.conftest import Cli
from workbench.data import grouped_split, leakage, revising, split, versions
from workbench.data.curate import alike
from workbench.data.curate.duplicates import jaccard, shingles, text_of
from workbench.data.example import Example, Message
from workbench.data.importing import Options, import_files, recipe_of
from workbench.data.making import Gone
from workbench.data.replay import make
from workbench.errors import WorkbenchError
from workbench.jobs.progress import untold
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
WORDS = [f"word{n}" for n in range(3000)]


def row(words: Sequence[str], task: str = "", **extra: str) -> Example:
    turns = (Message("user", " ".join(words)), Message("assistant", "Yes."))
    return Example(turns, task=task, extra=dict(extra))


def unlike(count: int, seed: int = 0, task: str = "") -> list[Example]:
    rng = random.Random(f"{seed}/{task}")
    return [row(rng.sample(WORDS, 30), task) for _ in range(count)]


def variant(example: Example, rng: random.Random) -> Example:
    """The row with one word changed, so with another prompt."""
    words = example.instruction.split()
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return replace(row(words, example.task), extra=example.extra)


def with_variants(rows: Sequence[Example], each: int) -> list[Example]:
    rng = random.Random(5)
    return [r for example in rows for r in (example, *(variant(example, rng) for _ in range(each)))]


def assign(
    rows: Sequence[Example],
    share: float = 0.2,
    *,
    by: str = "prompt",
    alike: float | None = 0.7,
    by_task: bool = False,
) -> list[Example]:
    after = list(rows)
    for place, changed in grouped_split.assign(
        rows,
        share=share,
        seed=0,
        key=split.key_by(by),
        near_duplicates=alike,
        by_task=by_task,
        tell=untold,
    ):
        assert not isinstance(changed, Gone)
        after[place] = changed
    return after


def sides(rows: Sequence[Example]) -> dict[str, str]:
    return {example.id: example.split for example in rows}


def straddling(rows: Sequence[Example]) -> int:
    held = [shingles(text_of(example)) for example in rows]
    return sum(
        a.split != b.split and jaccard(held[i], held[j]) >= 0.7
        for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2)
    )


def test_rows_that_are_alike_are_on_one_side() -> None:
    rows = with_variants(unlike(120), 2)
    apart = split.assign(rows, 0.2)
    assert straddling(apart) > 20
    divided = assign(rows)
    assert straddling(divided) == 0
    held = sum(example.split == "validation" for example in divided)
    assert abs(held / len(rows) - 0.2) < 0.08


def test_a_chain_of_small_changes_is_on_one_side() -> None:
    """Its ends have little in common; each link is a near-duplicate of the next."""
    rng = random.Random(1)
    chain = [unlike(1)[0]]
    while len(chain) < 12:
        chain.append(variant(chain[-1], rng))
    divided = assign([*chain, *unlike(200, seed=2)], 0.5)
    assert straddling(divided) == 0
    assert len({example.split for example in divided[:12]}) == 1


def test_the_order_of_the_rows_is_nothing_to_it() -> None:
    for by_task in (False, True):
        rows = [*with_variants(unlike(60, task="a"), 1), *unlike(30, task="b")]
        shuffled = random.Random(0).sample(rows, len(rows))
        divided = assign(rows, by_task=by_task)
        assert sides(divided) == sides(assign(shuffled, by_task=by_task))


def test_rows_without_near_duplicates_are_where_the_hash_alone_puts_them() -> None:
    rows = [*with_variants(unlike(50), 1), *unlike(100, seed=3)]
    assert sides(assign(rows)[100:]) == sides(split.assign(rows, 0.2)[100:])


def test_rows_that_are_added_move_only_those_that_they_are_alike_to() -> None:
    rng = random.Random(2)
    rows = with_variants(unlike(150), 1)
    before = sides(assign(rows))
    added = [*unlike(100, seed=9), *(variant(example, rng) for example in rows[:40])]
    after = sides(assign([*rows, *added]))
    touched = {example.id for example in rows[:42]}
    moved = {id for id, side in before.items() if after[id] != side}
    assert moved <= touched
    assert len(moved) < len(touched) / 2


def test_the_same_key_and_the_likeness_hold_together() -> None:
    """What is alike across documents brings the documents to one side."""
    rows = [replace(e, extra={"doc": n // 4}) for n, e in enumerate(unlike(200))]
    rng = random.Random(3)
    bridges = [replace(variant(rows[0], rng), extra={"doc": 1}), rows[80], rows[84]]
    divided = assign([*rows, *bridges], 0.3, by="doc")
    documents = defaultdict(set)
    for example in divided:
        documents[example.extra["doc"]].add(example.split)
    assert all(len(where) == 1 for where in documents.values())
    assert documents[0] == documents[1]
    assert straddling(divided) == 0
    assert {example.split for example in divided} == {"train", "validation"}


def test_a_group_of_most_rows_is_trained_on() -> None:
    rng = random.Random(4)
    first = unlike(1)[0]
    for seed in range(5):
        rows = [*(variant(first, rng) for _ in range(60)), *unlike(20, seed=seed)]
        divided = assign(rows, 0.3)
        assert {example.split for example in divided[:60]} == {"train"}
        assert "validation" in {example.split for example in divided}


def test_few_rows_leave_no_side_empty_but_a_lone_group_is_trained_on() -> None:
    for share in (0.0001, 0.5, 0.9999):
        for by_task in (False, True):
            assert len({e.split for e in assign(unlike(2), share, by_task=by_task)}) == 2
            lone = with_variants(unlike(1), 3)
            assert {e.split for e in assign(lone, share, by_task=by_task)} == {"train"}
    assert assign([]) == []


def counts_by_task(rows: Sequence[Example]) -> Counter[tuple[str, str]]:
    return Counter((example.task, example.split) for example in rows)


def test_each_task_has_its_share() -> None:
    sizes = {"big": 500, "middle": 60, "small": 7, "two": 2, "one": 1}
    rows = [e for task, size in sizes.items() for e in unlike(size, task=task)]
    found = counts_by_task(assign(rows, 0.1, by_task=True))
    held = {task: found[task, "validation"] for task in sizes}
    assert held == {"big": 50, "middle": 6, "small": 1, "two": 1, "one": 0}
    by_hash = counts_by_task(assign(rows, 0.1))
    assert by_hash["big", "validation"] != 50


def test_the_share_of_a_task_holds_to_within_a_group() -> None:
    rows = [*with_variants(unlike(40, task="a"), 4), *with_variants(unlike(9, task="b"), 2)]
    found = counts_by_task(divided := assign(rows, 0.25, by_task=True))
    assert 50 - 5 < found["a", "validation"] <= 50
    assert 7 - 3 < found["b", "validation"] <= 7
    assert straddling(divided) == 0


def test_rows_added_to_one_task_leave_the_others_where_they_are() -> None:
    rows = [*unlike(100, task="a"), *unlike(50, task="b")]
    before = sides(assign(rows, by_task=True))
    after = sides(assign([*rows, *unlike(40, seed=1, task="a")], by_task=True))
    moved = [e.task for e in rows if before[e.id] != after[e.id]]
    assert "b" not in moved and len(moved) <= 8


def pair(example: Example, **more: str) -> dict[str, str]:
    return {"prompt": example.instruction, "completion": "Yes.", **more}


def test_an_import_puts_them_together_and_its_recipe_says_so(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*(pair(example) for example in with_variants(unlike(60), 2)))
    made = import_files(workspace, [path], "together")
    assert straddling(list(versions.read(made))) == 0
    assert make(workspace, revising.recipe_of(made)).sha256 == made.sha256
    step = versions.describe(made)["steps"][3]
    assert (step["name"], step["parameters"]["near_duplicates"]) == ("split", 0.7)
    apart = import_files(workspace, [path], "apart", Options(near_duplicates_together=False))
    assert straddling(list(versions.read(apart))) > 0


def test_a_recipe_of_before_gives_the_rows_that_it_gave(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    """Without the field rows go by the hash of their prompt alone."""
    path = write_rows(*(pair(example) for example in with_variants(unlike(40), 1)))
    options = Options(near_duplicates_together=False)
    body = recipe_of([path], "old", options).to_json()
    assert body["steps"][2:] == [{"step": "split"}, {"step": "leakage"}]
    made = list(versions.read(import_files(workspace, [path], "old", options)))
    assert sides(made) == sides(split.assign(made, 0.1))


def test_what_is_alike_to_a_validation_file_is_left_out(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    rng = random.Random(6)
    asked, others = unlike(10), unlike(30, seed=1)
    planted = [variant(example, rng) for example in asked[:4]]
    train = write_rows(*map(pair, [*others, *planted]), name="train.jsonl")
    held_out = write_rows(*map(pair, asked), name="held_out.jsonl")
    made = import_files(workspace, [train], "made", Options(validation_files=(held_out,)))
    assert made.splits == {"train": 30, "validation": 10}
    gone = list(versions.read_removed(made))
    assert [(r.step, r.source) for r in gone] == [
        ("leakage", f"train.jsonl:{line}") for line in range(31, 35)
    ]
    assert "of its threes of words are those of the validation row held_out.jsonl:1" in (
        gone[0].reason
    )
    options = Options(validation_files=(held_out,), near_duplicates_together=False)
    assert import_files(workspace, [train], "apart", options).splits["train"] == 34


def test_a_field_that_no_row_has_is_no_key(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(*(pair(example, document="x") for example in unlike(5)))
    with pytest.raises(WorkbenchError, match="No row has the field doc that the split") as caught:
        import_files(workspace, [path], "made", Options(split_by="doc"))
    assert caught.value.hint == "The rows' other fields are document."
    with pytest.raises(WorkbenchError, match="nothing to split"):
        import_files(workspace, [path], "made", Options(stratify="task", validation_files=(path,)))


def test_the_verb_splits_by_field_and_by_task(cli: Cli, write_rows: WriteRows) -> None:
    rows = [
        pair(example, task=task, doc=f"{task}{n // 3}")
        for task, count in (("qa", 60), ("sum", 12))
        for n, example in enumerate(unlike(count, task=task))
    ]
    path = write_rows(*rows)
    done = cli("data", "import", path, "--split-by", "doc", "--stratify", "task")
    assert done.returncode == 0, done.stderr
    (made,) = versions.list_versions(Workspace(path.parent / "ws"))
    found = counts_by_task(read := list(versions.read(made)))
    assert found == {
        ("qa", "train"): 54,
        ("qa", "validation"): 6,
        ("sum", "train"): 9,
        ("sum", "validation"): 3,
    }
    documents = {(e.extra["doc"], e.split) for e in read}
    assert len(documents) == 24


def test_the_verb_splits_a_version_anew(
    cli: Cli, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = [
        replace(e, split="validation") for e in with_variants(unlike(20, task="a"), 1)
    ] + unlike(10, task="b")
    versions.create(workspace, "made", examples, sources=[], steps=[])
    done = cli("data", "split", "made", "--validation", "0.2", "--stratify", "task")
    assert done.returncode == 0, done.stderr
    after = list(versions.read(versions.list_versions(workspace)[0]))
    found = counts_by_task(after)
    assert (found["a", "validation"], found["b", "validation"]) == (8, 2)
    assert straddling(after) == 0
    assert (
        "must be at least 0 and below 1" in cli("data", "split", "made", "--validation", "1").stderr
    )


def test_very_many_rows_that_are_all_alike_take_no_pair_each() -> None:
    """6,000 rows of one template: 18 million pairs, of which each row's first is enough."""
    template = " ".join(f"say{n}" for n in range(60))
    rows = [row([template, f"name{n}"]) for n in range(6000)]
    begun = time.process_time()
    divided = assign([*rows, *unlike(2)], 0.3)
    assert {example.split for example in divided[:6000]} == {"train"}
    assert time.process_time() - begun < 15
    asked = replace(row([template, "other"]), split="validation")
    assert len(leakage.alike_across([*rows, asked], 0.7, untold)) == 6000


def unnamed_files(folder: Path) -> set[str]:
    """The files below a folder that this process has open and that never had a name there."""
    links = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    gone = (link for link in links if link.endswith("(deleted)") and ".jsonl" not in link)
    return {link for link in gone if link.startswith(str(folder))}


@pytest.mark.parametrize("held_out", [False, True])
def test_the_join_is_on_the_disk_of_the_workspace_and_leaves_nothing_there(
    workspace: Workspace, write_rows: WriteRows, held_out: bool
) -> None:
    """Even when it is killed: its files have no name."""
    path = write_rows(*(pair(example) for example in with_variants(unlike(60), 2)))
    files = (write_rows(*map(pair, unlike(9, seed=1)), name="held_out.jsonl"),) if held_out else ()
    unnamed: set[str] = set()
    named: set[str] = set()

    def tell(phase: str, done: int, total: int, unit: str) -> None:
        if phase == "comparing":
            unnamed.update(unnamed_files(workspace.datasets))
            named.update(p.name for p in workspace.datasets.rglob("*") if p.is_file())

    import_files(workspace, [path], "made", Options(validation_files=files), tell)
    assert len(unnamed) == 2
    assert named == {"data.jsonl", "removed.jsonl"}
    assert not unnamed_files(workspace.datasets)


def test_a_full_disk_ends_an_import_with_nothing_left(
    workspace: Workspace, write_rows: WriteRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(dir: Path | None) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(alike, "TemporaryFile", full)
    path = write_rows(*map(pair, unlike(20)))
    with pytest.raises(WorkbenchError, match="the disk is full"):
        import_files(workspace, [path], "made")
    assert not list(workspace.datasets.glob("*"))
