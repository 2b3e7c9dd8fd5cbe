from __future__ import annotations

import dataclasses
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.review import database, habits, making, sessions
from workbench.review.items import Item, conversation_text, read_evaluation
from workbench.review.making import Sharing
from workbench.review.session import Comparison, Session
from workbench.workspace import Workspace

Make = Callable[..., Session]


def shown(session: Session, annotator: str = "ann") -> Comparison:
    comparison = session.next(annotator)
    assert comparison is not None
    return comparison


def lefts(session: Session) -> dict[str, str]:
    """What stands on the left, by prompt."""
    shown = [session.comparison("ann", str(n + 1)) for n in range(len(session.units))]
    return {each.prompt: each.left for each in shown}


def prefer(session: Session, annotator: str, system: str) -> None:
    """Judge every item left for the annotator in favour of one system (A… or B… texts)."""
    while (comparison := session.next(annotator)) is not None:
        wanted = "left" if comparison.left.startswith(system) else "right"
        session.judge(annotator, comparison, wanted)


def test_every_item_is_shown_once_in_the_annotators_own_order(make: Make) -> None:
    session = make(20)
    seen: dict[str, list[str]] = {"ann": [], "bob": []}
    for annotator, keys in seen.items():
        while (comparison := session.next(annotator)) is not None:
            assert (comparison.index, comparison.total) == (len(keys) + 1, 20)
            keys.append(comparison.prompt)
            session.judge(annotator, comparison, "tie")
    assert sorted(seen["ann"]) == sorted(seen["bob"]) == sorted(f"Question {i}?" for i in range(20))
    assert seen["ann"] != seen["bob"]


def test_a_comparison_shows_the_texts_and_nothing_of_the_systems(make: Make) -> None:
    session = make(24)
    sides: Counter[str] = Counter()
    for place in range(1, 25):
        comparison = session.comparison("ann", str(place))
        number = comparison.prompt.split()[1].rstrip("?")
        assert {comparison.left, comparison.right} == {f"A{number}", f"B{number}"}
        assert (comparison.prompt, comparison.reference) == (
            f"Question {number}?",
            f"Wanted {number}",
        )
        sides[comparison.left[0]] += 1
        shown_text = json.dumps(dataclasses.asdict(comparison))
        for secret in ("base", "adapter", "eval-7", str(session.path)):
            assert secret not in shown_text
    assert sides["A"] == sides["B"] == 12
    fields = {field.name for field in dataclasses.fields(Comparison)}
    assert fields == {"item", "index", "total", "prompt", "reference", "left", "right", "skipped"}


def test_an_item_looks_the_same_each_time_it_is_shown(make: Make, workspace: Workspace) -> None:
    first = shown(make())
    assert shown(sessions.open(workspace, "first")) == first


def test_sessions_on_the_same_rows_have_sides_of_their_own(make: Make) -> None:
    one, two = make(24, name="one"), make(24, name="two")
    assert lefts(one) != lefts(two)


def test_verdicts_are_resolved_to_the_system_that_was_shown(make: Make) -> None:
    session = make(10)
    prefer(session, "ann", "A")
    result = session.report(unblind=True).result
    assert result is not None
    assert (result.tally.wins, result.tally.ties, result.tally.losses) == (10, 0, 0)
    assert result.verdict == "adapter"
    with sqlite3.connect(session.path) as connection:
        rows = connection.execute("SELECT choice, shown FROM judgements").fetchall()
    assert {(choice, *json.loads(shown)) for choice, shown in rows} == {
        ("left", "adapter", "base"),
        ("right", "base", "adapter"),
    }


def test_judging_again_replaces_and_the_history_keeps_both(make: Make) -> None:
    session = make()
    comparison = shown(session)
    session.judge("ann", comparison, "left", note="first thought")
    session.judge("ann", comparison, "tie", note="second thought", seconds=3.5)
    assert session.progress("ann").judged == 1
    assert [(d.index, d.choice, d.note) for d in session.recent("ann")] == [
        (1, "tie", "second thought")
    ]
    with sqlite3.connect(session.path) as connection:
        notes = connection.execute("SELECT note, seconds FROM judgements ORDER BY id").fetchall()
    assert notes == [("first thought", None), ("second thought", 3.5)]


def test_undo_goes_back_as_far_as_wanted_and_the_history_keeps_it(make: Make) -> None:
    session = make()
    judged = []
    for choice in ("left", "right", "skip"):
        judged.append(shown(session))
        session.judge("ann", judged[-1], choice)
    session.judge("bob", shown(session, "bob"), "left")
    assert [session.undo("ann") for _ in range(4)] == [*judged[::-1], None]
    assert shown(session) == judged[0]
    assert session.progress("bob").judged == 1
    with sqlite3.connect(session.path) as connection:
        assert connection.execute("SELECT count(*) FROM judgements").fetchone() == (4,)


def test_undoing_a_second_thought_brings_the_first_back(make: Make) -> None:
    session = make()
    comparison = shown(session)
    session.judge("ann", comparison, "left")
    session.judge("ann", comparison, "right")
    assert session.undo("ann") == comparison
    assert [decision.choice for decision in session.recent("ann")] == ["left"]


def test_progress_counts_skips_apart(make: Make) -> None:
    session = make(3)
    for choice in ("skip", "tie", "left"):
        assert not session.progress("ann").complete
        session.judge("ann", shown(session), choice)
    progress = session.progress("ann")
    assert progress.complete
    assert (progress.judged, progress.skipped, progress.waiting) == (2, 1, 1)


def test_what_was_skipped_comes_back_once_at_the_end(make: Make) -> None:
    session = make(4)
    first, second = shown(session), None
    session.judge("ann", first, "skip")
    session.judge("ann", second := shown(session), "skip")
    session.judge("ann", shown(session), "left")
    assert not shown(session).skipped
    session.judge("ann", shown(session), "tie")
    back = shown(session)
    assert (back.item, back.left, back.skipped) == (first.item, first.left, True)
    session.judge("ann", back, "right")
    assert shown(session).item == second.item
    session.judge("ann", shown(session), "skip")
    assert session.next("ann") is None
    progress = session.progress("ann")
    assert (progress.judged, progress.skipped, progress.waiting) == (3, 1, 0)
    # Taken back: it comes back again, and so does what was judged after it had come back.
    session.undo("ann")
    assert shown(session).item == second.item
    session.undo("ann")
    assert (shown(session).item, session.progress("ann").waiting) == (first.item, 2)
    assert session.next("bob") is not None and not shown(session, "bob").skipped


def test_identical_outputs_are_ties_that_nobody_is_asked_about(make: Make) -> None:
    session = make(4, identical=3)
    assert len(session.units) == 4
    prefer(session, "ann", "B")
    report = session.report(unblind=True)
    assert report.identical == 3
    assert report.result is not None
    assert (report.result.tally.losses, report.result.tally.ties) == (4, 3)


def test_a_session_of_identical_outputs_alone_is_complete(make: Make) -> None:
    session = make(0, identical=2)
    assert session.next("ann") is None
    result = session.report(unblind=True).result
    assert result is not None
    assert result.tally.ties == 2


def test_a_judgement_outlives_a_process_that_is_killed(make: Make) -> None:
    session = make()
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from workbench.review.session import Session;"
        "session = Session(Path(sys.argv[1]));"
        "session.judge('ann', session.next('ann'), 'left', note='kept');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(session.path)])
    assert ended.returncode == -signal.SIGKILL
    assert [decision.note for decision in session.recent("ann")] == ["kept"]


def test_several_processes_write_at_once_and_no_judgement_is_lost(make: Make) -> None:
    session = make(15)
    script = (
        "import sys; from pathlib import Path;"
        "from workbench.review.session import Session;"
        "session = Session(Path(sys.argv[1]));\n"
        "while (c := session.next(sys.argv[2])) is not None:\n"
        "    session.judge(sys.argv[2], c, 'left')\n"
    )
    names = ["ann", "bob", "cat", "dan"]
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(session.path), name]) for name in names
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    report = session.report()
    assert [progress.judged for progress in report.annotators] == [15] * 4
    assert report.choices["left"] == 60


def test_names_and_files_that_can_not_be_used_are_explained(
    make: Make, workspace: Workspace
) -> None:
    make(name="taken")
    with pytest.raises(WorkbenchError, match="a review session taken already"):
        make(name="taken")
    with pytest.raises(WorkbenchError, match="can't be the name"):
        make(name="../up")
    with pytest.raises(WorkbenchError, match="There are: taken"):
        sessions.open(workspace, "other")
    (workspace.reviews / "noise.sqlite").write_bytes(b"not a database at all, but long enough" * 40)
    with pytest.raises(WorkbenchError, match="not a database"):
        sessions.open(workspace, "noise")
    with sqlite3.connect(workspace.reviews / "newer.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(WorkbenchError, match=f"version 99, not {database.VERSION}"):
        sessions.open(workspace, "newer")
    problems = {listed.name: listed.problem for listed in sessions.list_sessions(workspace)}
    assert set(problems) == {"taken", "noise", "newer"}
    assert problems["taken"] == ""
    assert "99" in problems["newer"]


def test_items_that_can_not_be_reviewed_leave_nothing_behind(workspace: Workspace) -> None:
    item = Item("k", "p", "", {"base": "x", "adapter": "y"})
    for items, said in (
        ([], "no items"),
        ([item, item], "'k' comes twice"),
        ([Item("k", "p", "", {"base": "x"})], "'k' has no output of 'adapter'"),
    ):
        with pytest.raises(WorkbenchError, match=said):
            making.create(workspace, "bad", items, seed=1, source={})
    assert sessions.list_sessions(workspace) == []


def test_a_workspace_that_can_not_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "ws").write_text("a file where the workspace should be")
    item = Item("k", "p", "", {"base": "x", "adapter": "y"})
    with pytest.raises(WorkbenchError, match="Could not write"):
        making.create(Workspace(tmp_path / "ws"), "s", [item], seed=1, source={})


def test_choices_annotators_and_keys_are_checked(make: Make) -> None:
    session = make()
    comparison = shown(session)
    with pytest.raises(WorkbenchError, match="'better' is no verdict"):
        session.judge("ann", comparison, "better")
    with pytest.raises(WorkbenchError, match="annotator's name"):
        session.next(" ")
    for item in ("99", "0", "x1", "d99", "01", "", "9" * 5000):
        with pytest.raises(WorkbenchError, match="has no item"):
            session.comparison("ann", item)


def test_text_that_is_no_valid_unicode_is_kept_readable(workspace: Workspace) -> None:
    broken = json.loads('"half a \\ud83d pair"')
    item = Item("k", broken, "", {"base": broken, "adapter": "nul \x00 and escape \x1b[31m"})
    session = making.create(workspace, "s", [item], seed=1, source={})
    comparison = shown(session)
    assert comparison.prompt == "half a ? pair"
    assert "nul \x00 and escape \x1b[31m" in (comparison.left, comparison.right)


def test_the_list_says_how_far_everybody_is(make: Make, workspace: Workspace) -> None:
    assert sessions.list_sessions(workspace) == []
    make(name="old")
    session = make(2, identical=1, name="new")
    session.judge("ann", shown(session), "left")
    (new, old) = sessions.list_sessions(workspace)
    assert (new.name, new.items, new.identical) == ("new", 2, 1)
    assert [(p.annotator, p.judged) for p in new.annotators] == [("ann", 1)]
    assert (old.name, old.annotators) == ("old", ())


def test_a_conversation_is_shown_with_its_roles_when_it_has_several_turns() -> None:
    user = {"role": "user", "content": "Hi"}
    assert conversation_text([user]) == "Hi"
    assert (
        conversation_text([{"role": "system", "content": "Be kind."}, user])
        == "[system]\nBe kind.\n\n[user]\nHi"
    )


def test_an_evaluation_folder_becomes_items(tmp_path: Path) -> None:
    row = {
        "key": "r1",
        "prompt": [{"role": "user", "content": "Hi"}],
        "reference": "Hello",
        "task": "chat",
        "outputs": {"base": "Hey", "adapter": "Hello"},
    }
    (tmp_path / "outputs.jsonl").write_text(json.dumps(row) + "\n\n")
    assert read_evaluation(tmp_path) == [
        Item(
            "r1",
            "Hi",
            "Hello",
            {"base": "Hey", "adapter": "Hello"},
            ({"role": "user", "content": "Hi"},),
        )
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "outputs.jsonl:1 is not valid JSON"),
        ("[]", "outputs.jsonl:1 is not a JSON object"),
        ('{"prompt": [{"role": "user"}], "outputs": {}}', 'outputs.jsonl:1: "prompt" must be'),
        ('{"prompt": "p", "outputs": {"base": 1}}', 'outputs.jsonl:1: "outputs" must be'),
        ('{"prompt": "p", "outputs": {"a": ""}, "key": []}', 'outputs.jsonl:1: "key" must be a'),
    ],
)
def test_a_bad_row_of_an_evaluation_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "outputs.jsonl").write_text(line)
    with pytest.raises(WorkbenchError, match=said):
        read_evaluation(tmp_path)


def test_a_folder_that_is_no_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"has no outputs\.jsonl"):
        read_evaluation(tmp_path)


def test_habits_are_of_one_annotator_and_tell_no_repeat_at_once(make: Make) -> None:
    session = make(24, sharing=Sharing(repeats=0.5))
    shares = []
    while (comparison := session.next("ann")) is not None:
        session.judge("ann", comparison, "left", seconds=4.0, flag=comparison.item == "1")
        shares.append(habits.of(session, "ann"))
    session.judge("bob", shown(session, "bob"), "right")
    last, count = habits.of(session, "ann"), len(shares)
    assert (last.choices, last.flagged, last.progress.seconds) == ({"left": count}, 1, 4.0)
    assert last.left_share is not None and last.left_share.excludes_half
    # A repeat's verdict counts ten verdicts later.
    exact = session.report().consistency["ann"][1]
    assert 0 < last.repeats < exact
    assert all(each.repeats == 0 for each in shares[:20])
    told = "\n".join(habits.lines(last))
    assert (
        f"{count} of {count} judged, 0 to go  ·  4 s each" in told and "a habit, not chance" in told
    )
    assert f"Of {last.repeats} shown twice" in told
