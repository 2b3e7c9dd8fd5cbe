from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.data import recipe as recipes
from workbench.data import revising, versions
from workbench.data.importing import Options, import_files
from workbench.data.recipe import Drop, Edit, Redact, Remove
from workbench.data.replay import make
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import sha256_folder
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
Cli = Callable[..., subprocess.CompletedProcess[str]]
WORDS = [f"word{n}" for n in range(400)]


def pair(prompt: str, completion: str = "Yes.") -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


@pytest.fixture
def version(workspace: Workspace, write_rows: WriteRows) -> Version:
    """Ten rows, of which the last says almost what the first says."""
    rows = [pair(" ".join(WORDS[30 * n : 30 * n + 30]), f"Answer {n}.") for n in range(9)]
    again = pair(" ".join([*WORDS[:29], "else"]), "Answer 0.")
    return import_files(workspace, [write_rows(*rows, again)], "made", Options(validation_share=0))


def ids(version: Version) -> list[str]:
    return [example.id for example in versions.read(version)]


def after(workspace: Workspace, version: Version, step: Any) -> Version:
    return make(workspace, revising.with_step(version, step))


def test_a_recipe_made_again_gives_the_very_version(
    workspace: Workspace, version: Version, tmp_path: Path
) -> None:
    dropped = after(workspace, version, Drop(check="near-duplicates"))
    removed = after(workspace, dropped, Remove(rows=(ids(dropped)[3],)))
    for made in (version, dropped, removed):
        path = tmp_path / "recipe.yaml"
        path.write_text(revising.recipe_of(made).to_yaml())
        assert make(workspace, recipes.load(path)).sha256 == made.sha256
    other = Workspace(tmp_path / "other")
    assert make(other, revising.recipe_of(version)).sha256 == version.sha256


def test_steps_after_an_import_are_one_recipe_that_begins_with_it(
    workspace: Workspace, version: Version
) -> None:
    dropped = after(workspace, version, Drop(check="near-duplicates"))
    removed = after(workspace, dropped, Remove(rows=(ids(dropped)[3],), reason="not ours"))
    recipe = revising.recipe_of(removed)
    assert [source.model_dump() for source in recipe.sources] == [{"dataset": version.reference}]
    steps = versions.describe(removed)["steps"]
    assert [(s["name"], s["before"], s["after"]) for s in steps] == [
        ("read", 10, 10),
        ("drop near-duplicates", 10, 9),
        ("remove", 9, 8),
    ]
    gone = list(versions.read_removed(removed))
    assert [(r.step, r.source) for r in gone] == [
        ("drop near-duplicates", "rows.jsonl:10"),
        ("remove", "rows.jsonl:4"),
    ]
    assert "of row 1" in gone[0].reason and gone[1].reason == "not ours"


def test_a_step_can_be_switched_off_and_on_and_the_last_taken_back(
    workspace: Workspace, version: Version
) -> None:
    dropped = after(workspace, version, Drop(check="near-duplicates"))
    off = make(workspace, revising.switched(dropped, 1, off=True))
    assert off.sha256 == version.sha256
    # What was made last is what the name stands for.
    assert versions.resolve(workspace, "made").sha256 == version.sha256
    assert revising.recipe_of(off) == revising.recipe_of(version)
    on = make(workspace, revising.switched(dropped, 1, off=False))
    assert on.sha256 == versions.resolve(workspace, "made").sha256 == dropped.sha256
    back = revising.without_last(dropped)
    assert make(workspace, back).sha256 == version.sha256
    assert versions.resolve(workspace, "made").sha256 == version.sha256
    with pytest.raises(WorkbenchError, match="has 1 steps; there is no step 2"):
        revising.switched(dropped, 2, off=True)


def test_a_removed_row_comes_back_and_stays_back(workspace: Workspace, version: Version) -> None:
    dropped = after(workspace, version, Drop(check="near-duplicates"))
    (gone,) = versions.read_removed(dropped)
    restored = make(workspace, revising.with_row_back(dropped, revising.removed_id(gone)))
    assert restored.sha256 == version.sha256
    first = ids(version)[0]
    removed = after(workspace, dropped, Remove(rows=(first, ids(version)[1])))
    again = make(workspace, revising.with_row_back(removed, first))
    assert again.rows == removed.rows + 1 and first in ids(again)
    with pytest.raises(WorkbenchError, match="No row 0000 was removed"):
        revising.with_row_back(removed, "0000")


def test_an_edit_changes_a_row_and_keeps_what_it_is(workspace: Workspace, version: Version) -> None:
    step = revising.edit_step(version, 2, {"prompt": "Who?", "completion": "Me."})
    edited = after(workspace, version, step)
    rows = list(versions.read(edited))
    assert (rows[1].instruction, rows[1].response) == ("Who?", "Me.")
    assert rows[1].source == "rows.jsonl:2"
    assert versions.describe(edited)["steps"][1]["changed"] == 1
    with pytest.raises(WorkbenchError, match="makes no row: there is no response"):
        revising.edit_step(version, 2, {"prompt": "Who?"})
    empty = Edit(rows={ids(version)[1]: {"prompt": "Who?", "completion": ""}})
    with pytest.raises(WorkbenchError, match="is no row: `completion`: the response is empty"):
        after(workspace, version, empty)


def test_personal_data_gives_way_to_placeholders_that_agree_over_all_rows(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    rows = [
        pair("Write to ann@example.org.", "I wrote to ann@example.org on 3 May 1999."),
        pair("Nothing here."),
        pair("[EMAIL_7] and bob@example.org and ANN@example.org", "Done."),
    ]
    made = import_files(workspace, [write_rows(*rows)], "mail", Options(validation_share=0))
    clean = after(workspace, made, Redact())
    said = [(e.instruction, e.response) for e in versions.read(clean)]
    assert said == [
        ("Write to [EMAIL_8].", "I wrote to [EMAIL_8] on 3 May 1999."),
        ("Nothing here.", "Yes."),
        ("[EMAIL_7] and [EMAIL_9] and [EMAIL_8]", "Done."),
    ]
    step = versions.describe(clean)["steps"][-1]
    assert (step["name"], step["before"], step["after"], step["changed"]) == ("redact", 3, 3, 2)
    for path in clean.folder.rglob("*"):
        assert path.is_dir() or b"ann@example" not in path.read_bytes().lower(), path
    assert make(workspace, revising.recipe_of(clean)).sha256 == clean.sha256


def test_a_row_that_is_not_there_can_t_be_changed(workspace: Workspace, version: Version) -> None:
    before = versions.list_versions(workspace)
    for step in (Remove(rows=("feed",)), Edit(rows={"feed": {"text": "x"}})):
        with pytest.raises(WorkbenchError, match="There is no row feed where the recipe wants"):
            after(workspace, version, step)
    assert versions.list_versions(workspace) == before


def test_sources_that_changed_are_refused(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(pair("A?"), pair("B?"))
    recipe = revising.recipe_of(import_files(workspace, [path], "made"))
    path.write_text(json.dumps(pair("C?")))
    with pytest.raises(
        WorkbenchError, match="is no longer what it was when the recipe was written"
    ):
        make(workspace, recipe)
    path.unlink()
    with pytest.raises(WorkbenchError, match="There is no file"):
        make(workspace, recipe)


def test_a_folder_that_changed_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    import datasets

    folder = tmp_path / "saved"
    datasets.Dataset.from_list([pair("A?"), pair("B?")]).save_to_disk(str(folder))
    first = import_files(workspace, [folder], "made")
    recipe = revising.recipe_of(first)
    assert make(workspace, recipe) == first
    shutil.rmtree(folder)
    datasets.Dataset.from_list([pair("A?"), pair("C?")]).save_to_disk(str(folder))
    with pytest.raises(WorkbenchError, match="saved is no longer what it was"):
        make(workspace, recipe)
    # Recipes of before say nothing of what a folder was.
    before = recipe.sources[0].model_copy(update={"sha256": None, "bytes": None})
    assert make(workspace, recipe.model_copy(update={"sources": (before,)})).rows == 2


def test_what_a_folder_was_is_its_names_and_contents(tmp_path: Path) -> None:
    def hashed(name: str, **files: str) -> str:
        for file, text in files.items():
            path = tmp_path / name / file.replace("_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sha256_folder(tmp_path / name)

    assert hashed("one", a="1", b_c="2") == hashed("two", b_c="2", a="1")
    others = [hashed("x", a="1"), hashed("y", a="1", b_d="2"), hashed("z", a="2", b_c="1")]
    assert len({hashed("one"), *others}) == 4


def test_a_name_that_is_no_utf8_is_named_at_replay(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(pair("A?"), pair("B?"), name=os.fsdecode(b"caf\xe9.jsonl"))
    recipe = revising.recipe_of(import_files(workspace, [path], "made"))
    with pytest.raises(WorkbenchError, match="its name isn't UTF-8") as caught:
        make(workspace, recipe)
    assert "Rename it" in str(caught.value.hint)
    path.rename(path.with_name("caf\ufffd.jsonl"))
    assert make(workspace, recipe).rows == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("- a\n", "is no recipe"),
        ("{v: 1, name: x}", "sources: Field required"),
        ("{v: 1, name: x, sources: []}", "sources: "),
        ("{v: 1, name: ../x, sources: [{dataset: y}]}", "can't be the name of a dataset"),
        ("{v: 1, name: x, sources: [{dataset: y}], steps: [{step: nope}]}", "steps[1]: "),
        ("{v: 1, name: x, sources: [{dataset: y}], steps: [{step: split, share: 2}]}", "share: "),
        (
            "{v: 1, name: x, sources: [{dataset: y}], steps: [{step: drop, check: z}]}",
            "no check z",
        ),
        (
            "{v: 1, name: x, sources: [{dataset: y}], "
            "steps: [{step: drop, check: near-duplicates, options: {threshold: 9}}]}",
            "The threshold must be from 0.5 to 1",
        ),
        (
            "{v: 1, name: x, sources: [{dataset: y}], "
            "steps: [{step: drop, check: quality, kinds: [echo, nokind]}]}",
            "There is no kind nokind of quality",
        ),
        (
            "{v: 1, name: x, sources: [{dataset: y}], steps: [{step: redact, kinds: [emial]}]}",
            "There is no kind emial of personal-data",
        ),
        ("{v: 1, name: x, sources: [{dataset: y}], extra: 1}", "extra: "),
        ("{", "is no YAML"),
        pytest.param("[" * 5000, "is nested too deep", id="deep"),
        ("{v: 1, name: x, sources: [{part: train}]}", "a `path`, a `hub` or a `dataset`"),
        ("{v: 1, name: x, sources: [y]}", "a `path`, a `hub` or a `dataset`"),
    ],
)
def test_a_recipe_that_is_none_says_where(tmp_path: Path, body: str, words: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(body)
    with pytest.raises(WorkbenchError) as caught:
        recipes.load(path)
    assert words in str(caught.value)


def test_a_source_is_told_what_is_wrong_with_one_of_its_kind() -> None:
    for source, field in (
        ({"path": "a.jsonl", "sha256": 5}, "sha256"),
        ({"hub": "a/b", "split": "test"}, "split"),
        ({"dataset": "a@1", "task": "qa"}, "task"),
    ):
        with pytest.raises(WorkbenchError) as caught:
            recipes.parse({"name": "x", "sources": [source]}, "it")
        (line,) = caught.value.message.splitlines()[1:]
        assert line.startswith(f"  sources[1].{field}: ")


def test_the_verbs(cli: Cli, workspace: Workspace, version: Version, tmp_path: Path) -> None:
    def made(*arguments: str) -> dict[str, Any]:
        ended = cli("data", *arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        body: dict[str, Any] = json.loads(ended.stdout)
        return body

    dropped = made("drop", "made", "near-duplicates", "--set", "threshold=0.6")
    assert (dropped["rows"], dropped["removed"]) == (9, 1)
    (gone,) = made("removed", dropped["reference"])
    assert len(gone["id"]) == 16
    assert made("restore", dropped["reference"], gone["id"])["rows"] == 10
    fewer = made("remove", dropped["reference"], "1", "2", "--reason", "dull")
    assert fewer["rows"] == 7
    assert made("undo", fewer["reference"])["reference"] == dropped["reference"]
    assert made("switch", fewer["reference"], "1", "off")["rows"] == 8
    text = cli("data", "recipe", fewer["reference"]).stdout
    steps = yaml.safe_load(text)["steps"]
    assert [step["step"] for step in steps] == ["drop", "remove"]
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    again = made("make", str(path), "--name", "again")
    assert (again["name"], again["sha256"]) == ("again", fewer["sha256"])
    (tmp_path / "row.json").write_text('{"prompt": "Who?", "completion": "Me."}')
    edited = made("edit", fewer["reference"], "1", str(tmp_path / "row.json"))
    found = made("diff", fewer["reference"], edited["reference"])
    assert (found["same"], found["changed"], found["added"], found["removed"]) == (6, 1, 0, 0)
    made("near-duplicates", version.reference)
    flagged = made("find", version.reference, "flag:near-duplicates split:train")
    assert [row["row"] for row in flagged["rows"]] == [10] and flagged["of"] == 10
    assert "1 of 10 rows" in cli("data", "find", version.reference, "answer 3").stdout
    before = sorted(workspace.tasks.iterdir())
    for bad in (
        "nosuch",
        "quality --set x=1",
        "near-duplicates --set threshold=abc",
        "quality --kind x",
    ):
        told = cli("data", "drop", version.reference, *bad.split())
        assert told.returncode == 2 and "Traceback" not in told.stderr
        assert sorted(workspace.tasks.iterdir()) == before, "told before a job is started"
    untold = cli("data", "find", version.reference, "tokens>5")
    assert untold.returncode == 2 and "--model" in untold.stderr
    refused = cli("data", "remove", version.reference, "11")
    assert refused.returncode == 2 and "has 10 rows; there is no 11" in refused.stderr


def test_rows_that_were_there_are_said_to_be_made_as_they_were_last(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    rows = [pair(f"Question {n}?", f"Answer {n}.") for n in range(9)]
    options = Options(validation_share=0, skip_bad=True)
    first = import_files(workspace, [write_rows(*rows)], "made", options)
    again = import_files(workspace, [write_rows(*rows, "no JSON", {"x": 1})], "made", options)
    assert again.sha256 == first.sha256 and again.removed == 2
    assert [row.source for row in versions.read_removed(again)] == [
        "rows.jsonl:10",
        "rows.jsonl:11",
    ]
    assert first.removed == 0
    (earlier,) = versions.describe(again)["earlier"]
    assert earlier["removed"] == 0 and earlier["steps"][0]["before"] == 9


def test_a_row_comes_back_whichever_of_two_steps_of_one_name_left_it_out(
    workspace: Workspace, version: Version
) -> None:
    options = {"threshold": 0.95}
    none = after(workspace, version, Drop(check="near-duplicates", options=options))
    assert none.sha256 == version.sha256
    recipe = revising.with_step(version, Drop(check="near-duplicates", options=options))
    both = recipe.model_copy(update={"steps": (*recipe.steps, Drop(check="near-duplicates"))})
    dropped = make(workspace, both)
    (gone,) = versions.read_removed(dropped)
    back = make(workspace, revising.with_row_back(dropped, revising.removed_id(gone)))
    assert back.sha256 == version.sha256


def test_a_duplicate_and_a_leak_come_back_too(workspace: Workspace, write_rows: WriteRows) -> None:
    same = pair("Once more?")
    held = write_rows(pair("Held?"), name="held.jsonl")
    path = write_rows(same, same, pair("Held?", "Other."), pair("Own?"))
    version = import_files(workspace, [path], "made", Options(validation_files=(held,)))
    gone = {row.step: revising.removed_id(row) for row in versions.read_removed(version)}
    assert set(gone) == {"exact duplicates", "leakage"}
    for id in gone.values():
        version = make(workspace, revising.with_row_back(version, id))
    assert version.rows == 5 and not list(versions.read_removed(version))


def test_the_whole_recipe_needs_no_other_version(
    workspace: Workspace, version: Version, cli: Cli, tmp_path: Path
) -> None:
    dropped = after(workspace, version, Drop(check="near-duplicates"))
    path = tmp_path / "whole.yaml"
    path.write_text(cli("data", "recipe", dropped.reference, "--whole").stdout)
    assert make(Workspace(tmp_path / "other"), recipes.load(path)).sha256 == dropped.sha256
