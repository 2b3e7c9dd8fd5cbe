from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.conftest import Cli
from workbench.cli import main
from workbench.data import mix, mixing, revising, versions
from workbench.data.curate import checks, looking
from workbench.data.example import Example, Message
from workbench.data.importing import Options, import_files
from workbench.data.mix import Mixture, Part
from workbench.data.recipe import Drop, Edit, Mix, Recipe, Remove, parse
from workbench.data.replay import make
from workbench.data.versions import Step, Version
from workbench.errors import WorkbenchError
from workbench.jobs.progress import untold
from workbench.workspace import Workspace

WORDS = [f"word{n}" for n in range(3000)]
WriteRows = Callable[..., Path]


def rows(task: str, count: int, *, held_out: int = 0, seed: int = 0) -> list[Example]:
    rng = random.Random(f"{task}/{seed}")
    return [
        Example(
            (Message("user", " ".join(rng.sample(WORDS, 20))), Message("assistant", f"{task} {n}")),
            task=task,
            split="validation" if n < held_out else "train",
            source=f"{task}:{n}",
        )
        for n in range(count)
    ]


def version(workspace: Workspace, name: str, examples: Sequence[Example]) -> Version:
    return versions.create(
        workspace, name, examples, sources=[], steps=[Step("read", len(examples), 0, {})]
    )


def taken(sizes: dict[str, int], **how: object) -> dict[str, int]:
    return {part.name: part.taken for part in mix.plan(sizes, Mix.model_validate(how))}


def mixed(examples: Sequence[Example], **how: object) -> Mixture:
    names = (example.task for example in examples)
    return mix.mixture(examples, names, Mix.model_validate(how), untold)


def times(examples: Sequence[Example], **how: object) -> dict[str, int]:
    return dict(zip((e.id for e in examples), mixed(examples, **how).times, strict=True))


def by_task(made: Version, split: str = "train") -> Counter[str]:
    return Counter(example.task for example in versions.read(made, split))


def test_shares_are_in_proportion_by_a_temperature_under_a_cap_or_by_weight() -> None:
    sizes = {"a": 1000, "b": 100, "c": 10}
    assert taken(sizes) == sizes
    assert taken(sizes, rows=111) == {"a": 100, "b": 10, "c": 1}
    # 1000^½ : 100^½ : 10^½ is 31.6 : 10 : 3.16 of 1,110 rows.
    assert taken(sizes, temperature=2) == {"a": 784, "b": 248, "c": 78}
    assert taken(sizes, temperature=1e6) == {"a": 370, "b": 370, "c": 370}
    assert taken(sizes, cap=50) == {"a": 50, "b": 50, "c": 10}
    assert taken(sizes, cap=50, rows=220) == {"a": 100, "b": 100, "c": 20}
    assert taken(sizes, weights={"a": 1, "b": 2, "c": 1}, rows=400) == {
        "a": 100,
        "b": 200,
        "c": 100,
    }


def test_the_rows_add_up_and_no_part_is_left_out() -> None:
    rng = random.Random(0)
    for _ in range(300):
        sizes = {f"t{n}": rng.randint(1, 10 ** rng.randint(0, 6)) for n in range(rng.randint(1, 9))}
        total = rng.randint(len(sizes), 2000)
        counts = taken(sizes, rows=total, temperature=rng.choice([0.01, 0.5, 1, 3]))
        assert sum(counts.values()) == total
        assert min(counts.values()) >= 1


def test_a_part_says_how_often_its_rows_are_seen() -> None:
    part = Part("qa", rows=200, used=50, taken=300)
    assert (part.epochs, part.repeats) == (1.5, 6)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"weights": {"a": 1}}, "The task b has no weight"),
        ({"weights": {"a": 1, "b": 1, "x": 1}}, "There is no task x with rows to train on"),
        ({"rows": 1}, "1 rows are too few for 2 tasks"),
    ],
)
def test_a_mixture_that_can_t_be_says_why(how: dict[str, object], words: str) -> None:
    with pytest.raises(WorkbenchError, match=words):
        taken({"a": 5, "b": 5}, **how)
    with pytest.raises(WorkbenchError, match="no row to train on"):
        taken({"a": 0}, **how)


def test_a_recipe_says_what_no_mixture_can_be() -> None:
    body = {"v": 1, "name": "x", "sources": [{"dataset": "y"}]}
    for how, words in (
        ({"weights": {"a": 1}, "cap": 5}, "weights are the shares themselves"),
        ({"weights": {"a": -1}}, "greater than 0"),
        ({"temperature": 0}, "greater than 0"),
        ({"cap": 0}, "greater than or equal to 1"),
        ({"cap": 10**12}, "less than or equal to 2147483647"),
        ({"rows": 10**12}, "less than or equal to 2147483647"),
        ({"by": "colour"}, "'task' or 'source'"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            parse({**body, "steps": [{"step": "mix", **how}]}, "it")


def test_repeats_are_whole_and_even_and_validation_rows_stay() -> None:
    examples = [*rows("a", 40, held_out=10), *rows("b", 10, held_out=3)]
    counts = times(examples, weights={"a": 1, "b": 1}, rows=40)
    of = {example.id: example for example in examples}
    train = {id: n for id, n in counts.items() if of[id].split == "train"}
    assert {n for id, n in counts.items() if of[id].split == "validation"} == {1}
    assert Counter(n for id, n in train.items() if of[id].task == "a") == {1: 20, 0: 10}
    assert Counter(n for id, n in train.items() if of[id].task == "b") == {3: 6, 2: 1}


def test_the_order_of_the_rows_decides_nothing() -> None:
    examples = [*rows("a", 60), *rows("b", 20)]
    shuffled = random.Random(1).sample(examples, len(examples))
    how = {"temperature": 3, "cap": 30}
    assert times(examples, **how) == times(shuffled, **how)
    assert times(examples, **how) != times(examples, **how, seed=1)


def test_rows_that_are_added_take_the_place_of_few() -> None:
    examples = rows("a", 400)
    before = times(examples, cap=100)
    after = times([*examples, *rows("a", 40, seed=1)], cap=100)
    lost = [id for id, n in before.items() if n and not after[id]]
    # Of 100 places 40 rows of 440 take about 9.
    assert 0 < len(lost) < 25
    assert all(before[id] for id, n in after.items() if n and id in before)


def mixture(workspace: Workspace, step: Mix, *found: Version, name: str = "mixed") -> Version:
    return make(workspace, mixing.recipe_of(name, found, step))


def test_a_mixture_is_a_version_whose_recipe_makes_it_again(workspace: Workspace) -> None:
    first = version(workspace, "first", rows("a", 50, held_out=5))
    second = version(workspace, "second", [*rows("b", 12, held_out=2), *rows("c", 4)])
    step = Mix(by="source", weights={"first": 1, second.reference: 1}, rows=60)
    made = mixture(workspace, step, first, second)
    assert made.splits == {"train": 60, "validation": 7}
    assert by_task(made)["a"] == 30
    assert by_task(made, "validation") == {"a": 5, "b": 2}
    lines = Counter(made.data_path.read_text().splitlines())
    for line, count in lines.items():
        row = json.loads(line)
        assert count == (1 if row["split"] == "validation" or row["task"] == "a" else count)
    assert {lines[e.to_line()] for e in versions.read(second, "train")} == {2, 3}
    step_made = versions.describe(made)["steps"][-1]
    assert [part["name"] for part in step_made["parameters"]["parts"]] == [
        first.reference,
        second.reference,
    ]
    assert make(workspace, revising.recipe_of(made)).sha256 == made.sha256
    gone = [removed for removed in versions.read_removed(made) if removed.step == "mix"]
    assert len(gone) == 15
    assert gone[0].reason == f"30 of the 45 rows of {first.reference} are taken"


def test_what_one_holds_out_another_doesn_t_train_on(workspace: Workspace) -> None:
    asked = rows("a", 10, held_out=3)
    words = asked[0].instruction.split()
    alike = Message("user", " ".join([*words[:-1], "other"]))
    leak = Example((alike, asked[0].messages[1]), task="b", source="leak")
    same = Example(asked[5].messages, task="b", source="same")
    first = version(workspace, "first", asked)
    second = version(workspace, "second", [*rows("b", 10), leak, same])
    made = mixture(workspace, Mix(by="source", weights={"first": 1, "second": 1}), first, second)
    gone = {removed.source: removed.step for removed in versions.read_removed(made)}
    assert (gone["leak"], gone["same"]) == ("leakage", "exact duplicates")
    assert by_task(made).total() == 17


def test_steps_after_a_mixture_are_done_before_it(workspace: Workspace) -> None:
    """Its repeats are no duplicates, and one edit is of all of them."""
    first = version(workspace, "first", [*rows("a", 30), *rows("b", 5)])
    made = mixture(workspace, Mix(weights={"a": 1, "b": 1}, rows=40), first)
    again = next(e for e in versions.read(made, "train") if e.task == "b")
    dropped = make(workspace, revising.with_step(made, Drop(check="near-duplicates")))
    assert dropped.sha256 == made.sha256
    edit = Edit(rows={again.id: {"prompt": "Who?", "completion": "Me."}})
    edited = make(workspace, revising.with_step(made, edit))
    copies = [e for e in versions.read(edited) if e.instruction == "Who?"]
    assert len(copies) == 4 and {e.task for e in copies} == {"b"}
    removed = make(workspace, revising.with_step(made, Remove(rows=(again.id,))))
    assert again.id not in {e.id for e in versions.read(removed)}
    assert by_task(removed) == {"a": 20, "b": 20}
    steps = revising.recipe_of(edited).steps
    number = next(n for n, step in enumerate(steps, start=1) if isinstance(step, Mix))
    off = make(workspace, revising.switched(edited, number, off=True))
    assert by_task(off) == {"a": 30, "b": 5}


def test_findings_in_a_mixture_are_of_its_lines(workspace: Workspace) -> None:
    made = mixture(
        workspace,
        Mix(weights={"a": 1, "b": 1}, rows=12),
        version(workspace, "first", [*rows("a", 6), *rows("b", 3)]),
    )
    check = checks.get("near-duplicates")
    found = looking.look(workspace, made, check, check.Options(), untold)
    flagged = [finding.row for finding in found.read()]
    assert found.kinds == {"same-words": 3}
    read = list(versions.read(made))
    assert all(read[row].id == read[row - 1].id for row in flagged)


def test_files_are_mixed_by_their_names(workspace: Workspace, write_rows: WriteRows) -> None:
    for name, task, count in (("a.jsonl", "x", 20), ("b.jsonl", "y", 5)):
        write_rows(
            *({"prompt": e.instruction, "completion": e.response} for e in rows(task, count)),
            name=name,
        )
    folder = workspace.root.parent
    recipe = Recipe.model_validate(
        {
            "name": "made",
            "sources": [
                {"path": folder / "a.jsonl", "task": "x"},
                {"path": folder / "b.jsonl", "task": "y"},
            ],
            "steps": [
                {"step": "remove", "rows": [rows("x", 1)[0].id]},
                {"step": "mix", "by": "source", "weights": {"a.jsonl": 1, "b.jsonl": 1}},
            ],
        }
    )
    assert by_task(make(workspace, recipe)) == {"x": 12, "y": 12}


def imported(write_rows: WriteRows, name: str, count: int) -> None:
    examples = rows(name, count, seed=7)
    path = write_rows(
        *({"prompt": e.instruction, "completion": e.response} for e in examples),
        name=f"{name}.jsonl",
    )
    options = Options(validation_share=0.1, task=name)
    import_files(Workspace(path.parent / "ws"), [path], name, options)


def test_the_verb_tells_what_would_be_in_it_and_makes_it(
    cli: Cli,
    workspace: Workspace,
    write_rows: WriteRows,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = ("--workspace", str(workspace.root))
    imported(write_rows, "large", 100)
    imported(write_rows, "small", 10)
    there = {v.name: v.splits["train"] for v in versions.list_versions(workspace)}
    how = ("data", "mix", "both", "large=1", "small=1")
    done = cli(*how, "--preview", "--model", tiny_model, "--json")
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)["parts"]
    total = sum(there.values())
    assert [part["rows"] for part in parts] == [there["large"], there["small"]]
    assert sum(part["taken"] for part in parts) == total
    assert abs(parts[1]["epochs"] - total / 2 / there["small"]) < 0.1
    assert all(part["tokens"] > part["taken"] * 20 for part in parts)
    assert "both" not in {v.name for v in versions.list_versions(workspace)}
    assert main([*here, *how, "--preview"]) == 0
    assert "past 4 epochs repeats teach less and less" in capsys.readouterr().out
    made = cli(*how)
    assert made.returncode == 0, made.stderr
    both = versions.resolve(workspace, "both")
    assert by_task(both) == {part["name"].split("@")[0]: part["taken"] for part in parts}
    assert main([*here, "data", "check", "both"]) == 0
    assert "(a mixture repeats rows)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("here", "here"), "is named twice"),
        (("here=x",), "'x', is no number"),
        (("here=-1",), "greater than 0"),
        (("here=1", "--by", "task"), "REF=WEIGHT is the share of a source"),
        (("here", "--weight", "qa"), "is no TASK=WEIGHT"),
        (("here", "--weight", "qa=1"), "There is no task qa"),
        (("here", "--cap", "0"), "There is no such mixture: cap"),
        (("there",), "There is no dataset there"),
    ],
)
def test_the_verb_refuses_what_can_t_be(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], words: str
) -> None:
    version(workspace, "here", rows("a", 5))
    assert main(["--workspace", str(workspace.root), "data", "mix", "made", *arguments]) != 0
    assert words in capsys.readouterr().err
