from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.cli import main
from workbench.data import recipe as recipes
from workbench.data import repairing, repairs, revising, versions
from workbench.data.formats import RowError, convert
from workbench.data.importing import Options, import_files
from workbench.data.replay import make
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}


def talk(turns: str) -> list[dict[str, str]]:
    """Turns by their first letters: `ua` is a user's and an assistant's."""
    return [{"role": ROLES[who], "content": f"{who}{n}"} for n, who in enumerate(turns)]


def row(turns: str) -> dict[str, Any]:
    return {"messages": talk(turns)}


def mended(value: Any, *kinds: str) -> tuple[list[str], tuple[str, ...]]:
    made = convert(value, kinds=kinds or repairs.NAMES)
    (example,) = made.examples
    return [f"{m.role[0]}:{m.content}" for m in example.messages], made.repairs


@pytest.mark.parametrize(
    ("value", "after", "used"),
    [
        (row("au"), ["u:a0", "a:u1"], ["swap-roles"]),
        (row("sauau"), ["s:s0", "u:a1", "a:u2", "u:a3", "a:u4"], ["swap-roles"]),
        (row("aua"), ["u:u1", "a:a2"], ["drop-opening"]),
        (row("saua"), ["s:s0", "u:u2", "a:a3"], ["drop-opening"]),
        (row("uua"), ["u:u0\n\nu1", "a:a2"], ["merge-turns"]),
        (row("uaaau"), ["u:u0", "a:a1\n\na2\n\na3"], ["drop-ending", "merge-turns"]),
        (row("usa"), ["s:s1", "u:u0", "a:a2"], ["system-first"]),
        (row("suasua"), ["s:s0\n\ns3", "u:u1", "a:a2", "u:u4", "a:a5"], ["system-first"]),
        (row("uasua"), ["s:s2", "u:u0", "a:a1", "u:u3", "a:a4"], ["system-first"]),
        (row("uat"), ["u:u0", "a:a1"], ["drop-ending"]),
        (row("uau"), ["u:u0", "a:a1"], ["drop-ending"]),
        (talk("ua"), ["u:u0", "a:a1"], ["wrap-list"]),
        (talk("uua"), ["u:u0\n\nu1", "a:a2"], ["wrap-list", "merge-turns"]),
    ],
)
def test_each_usual_fault_is_mended(value: Any, after: list[str], used: list[str]) -> None:
    with pytest.raises(RowError):
        convert(value)
    assert mended(value) == (after, tuple(used))


@pytest.mark.parametrize("value", [row("u"), row("uu"), row("a"), row("tu"), [1], [], "x", {}])
def test_what_no_repair_mends_keeps_its_reason(value: Any) -> None:
    with pytest.raises(RowError) as before:
        convert(value)
    with pytest.raises(RowError) as after:
        convert(value, kinds=repairs.NAMES)
    assert str(after.value) == str(before.value)


def test_what_is_said_after_a_call_of_a_tool_is_not_put_before_it() -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}
    with pytest.raises(RowError, match="two assistant turns follow each other"):
        convert({"messages": [talk("u")[0], call, talk("ua")[1]]}, kinds=repairs.NAMES)
    after = convert({"messages": [*talk("ua"), call]}, kinds=repairs.NAMES).examples[0].messages
    assert (after[1].content, len(after[1].calls)) == ("a1", 1)


def test_only_the_repairs_that_were_asked_for_are_done() -> None:
    assert mended(row("au"), "drop-opening", "swap-roles")[1] == ("swap-roles",)
    for kinds in (("merge-turns",), ("drop-opening",), ()):
        with pytest.raises(RowError, match="doesn't begin with the user"):
            convert(row("au"), kinds=kinds)
    assert mended(row("ua"))[1] == ()


ROWS = (row("ua"), row("au"), row("uua"), talk("ua"), row("u"), "garbage", row("ua"))


def test_an_import_says_which_repairs_would_mend_how_many_rows(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*(json.dumps(r) if not isinstance(r, str) else r for r in ROWS))
    with pytest.raises(WorkbenchError) as caught:
        import_files(workspace, [path], "made")
    hint = caught.value.hint
    assert "--repair would mend 3 of them: 1 by swap-roles; 1 by merge-turns" in hint
    assert "swaps user and assistant where" in hint and "--skip-bad" in hint
    with pytest.raises(WorkbenchError, match="2 of 7 rows"):
        import_files(workspace, [path], "made", Options(repairs=repairs.NAMES))


def test_repairs_are_a_step_that_is_replayed_to_the_same_rows(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*(json.dumps(r) if not isinstance(r, str) else r for r in ROWS))
    version = import_files(workspace, [path], "made", Options(skip_bad=True, validation_share=0))
    assert version.rows == 1
    looked = list(repairing.look(version))
    assert [(r.row.source, r.repairs) for r in looked] == [
        ("rows.jsonl:2", ("swap-roles",)),
        ("rows.jsonl:3", ("merge-turns",)),
        ("rows.jsonl:4", ("wrap-list",)),
        ("rows.jsonl:5", ()),
        ("rows.jsonl:6", ()),
    ]
    assert looked[0].row.row == row("au")
    assert looked[0].examples[0].instruction == "a0"

    some = make(workspace, repairing.with_repair(version, ("merge-turns",)))
    steps = versions.describe(some)["steps"]
    about = {"kinds": ["merge-turns"], "mended": {"merge-turns": 1}}
    assert steps[0] == {"name": "read", "before": 7, "after": 2, "parameters": {}, "changed": 0}
    assert steps[1] == {
        "name": "repair",
        "before": 2,
        "after": 3,
        "parameters": about,
        "changed": 1,
    }
    sources = [e.source for e in versions.read(some)]
    assert sources == ["rows.jsonl:1", "rows.jsonl:3"], "where they stood, and no duplicate left"

    recipe = repairing.with_repair(some, ("swap-roles", "wrap-list"))
    assert recipe.steps[0].parameters == {"kinds": ["wrap-list", "swap-roles", "merge-turns"]}
    everything = make(workspace, recipe)
    assert [e.source for e in versions.read(everything)][1] == "rows.jsonl:2"
    replayed = recipes.parse(revising.recipe_of(everything).to_json(), "it")
    assert (
        make(workspace, replayed.model_copy(update={"name": "again"})).sha256 == everything.sha256
    )
    off = make(workspace, revising.switched(everything, 1, off=True))
    assert off.sha256 == version.sha256


def test_what_can_t_be_repaired_is_said(workspace: Workspace, write_rows: WriteRows) -> None:
    path = write_rows(row("ua"), row("u"))
    version = import_files(workspace, [path], "made", Options(skip_bad=True, validation_share=0))
    with pytest.raises(WorkbenchError, match="None of the rows that made@"):
        repairing.with_repair(version, repairs.NAMES)
    step = recipes.Remove(rows=("0" * 16,))
    later = revising.with_step(version, step).model_copy(update={"steps": ()})
    second = make(workspace, later.model_copy(update={"name": "later"}))
    with pytest.raises(WorkbenchError) as caught:
        repairing.with_repair(second, repairs.NAMES)
    assert f"workbench data repair {version.reference}" in caught.value.hint
    body = {"name": "a", "sources": [{"path": "x"}], "steps": [{"step": "repair", "kinds": ["y"]}]}
    with pytest.raises(WorkbenchError, match="There is no repair 'y'"):
        recipes.parse(body, "it")
    body["steps"] = [{"step": "leakage"}, {"step": "repair", "kinds": ["swap-roles"]}]
    with pytest.raises(WorkbenchError, match="it repairs rows in step 2") as caught:
        recipes.parse(body, "it")


def test_the_verbs_show_repairs_and_do_them(
    workspace: Workspace, write_rows: WriteRows, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(*(json.dumps(r) if not isinstance(r, str) else r for r in ROWS))
    place = ["--workspace", str(workspace.root)]
    options = ["--repair", "--kinds", "merge-turns", "--skip-bad", "--json"]
    assert main([*place, "data", "import", str(path), *options]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["rows_in"], made["removed"]) == (7, 5)
    assert made["mendable"] == {"swap-roles": 1, "wrap-list": 1}
    reasons = {r["reason"]: (r["count"], r["first"]) for r in made["reasons"]}
    assert reasons["`messages[N].content`: there is no response"] == (1, "rows.jsonl:5")
    assert main([*place, "data", "repair", "rows", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "before" in shown and "(swap-roles)" in shown and "2 can be mended" in shown
    assert main([*place, "data", "repair", "rows", "--kinds", "x"]) == 2
    assert "There is no repair 'x'" in capsys.readouterr().err
    assert main([*place, "data", "repair", "rows", "--kinds", "swap-roles", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == made["rows"] + 1
