"""After the judging: disagreements, the lock, exports, metrics, the page, older sessions."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workbench.errors import WorkbenchError
from workbench.review import comparing, database, exporting, making, reporting, sessions
from workbench.review.items import Item
from workbench.review.session import Session
from workbench.workspace import Workspace

Make = Callable[..., Session]


def prefer(session: Session, annotator: str, system: str, *, but: str = "-") -> None:
    """Prefer the outputs of a system (A… or B…), but where the prompt has `but` the other."""
    while (shown := session.next(annotator)) is not None:
        wanted = shown.left.startswith(system) != (but in shown.prompt)
        session.judge(annotator, shown, "left" if wanted else "right")


def test_what_two_disagree_on_a_third_decides(make: Make) -> None:
    session = make(6)
    prefer(session, "ann", "A")
    prefer(session, "bob", "A", but="3")
    assert session.disputes() == (1, 0)
    assert session.next_dispute("ann") is None
    shown = session.next_dispute("cat")
    assert shown is not None
    assert (shown.prompt, shown.index, shown.total) == ("Question 3?", 1, 1)
    assert session.comparison("cat", shown.item) == shown
    session.judge("cat", shown, "right" if shown.left.startswith("A") else "left")
    assert session.disputes() == (1, 1)
    assert session.next_dispute("dan") is None
    assert session.report().complete
    result = session.lock().result
    assert result is not None
    assert (result.tally.wins, result.tally.ties, result.tally.losses) == (5, 0, 1)
    assert [a.annotator for a in session.assessments() if a.item == "row-3"] == ["cat"]
    assert len(session.assessments(resolved=False)) == 12
    found = reporting.of_session(session, session.report(unblind=True))
    assert found["analysis"]["agreement"][0]["units"] == 6
    assert "there the decision alone counts" in " ".join(found["page"].split())


def test_an_adjudication_can_be_taken_back(make: Make) -> None:
    session = make(2)
    prefer(session, "ann", "A")
    prefer(session, "bob", "B")
    shown = session.next_dispute("cat")
    assert shown is not None
    session.judge("cat", shown, "tie")
    assert [decision.item for decision in session.recent("cat")] == [shown.item]
    assert session.undo("cat") == shown
    assert session.disputes() == (2, 0)


def test_a_locked_session_takes_no_verdict_but_adjudications(make: Make) -> None:
    session = make(3)
    with pytest.raises(WorkbenchError, match="not begun"):
        session.lock()
    prefer(session, "ann", "A")
    prefer(session, "bob", "B")
    session.lock()
    locked = session.locked
    session.lock()
    assert session.locked == locked
    with pytest.raises(WorkbenchError, match="is locked"):
        session.judge("ann", session.comparison("ann", "1"), "tie")
    with pytest.raises(WorkbenchError, match="is locked"):
        session.undo("ann")
    shown = session.next_dispute("cat")
    assert shown is not None
    session.judge("cat", shown, "tie")
    assert session.report(unblind=True).late == 0


def test_hidden_repeats_say_who_is_consistent_and_count_once(make: Make) -> None:
    session = make(20, sharing=making.Sharing(repeats=0.25))
    assert session.progress("ann").total == 25
    prefer(session, "ann", "A")
    while (shown := session.next("bob")) is not None:
        session.judge("bob", shown, "left")
    report = session.report()
    assert report.consistency["ann"] == (5, 5)
    assert report.consistency["bob"][1] == 5
    assert len(session.assessments()) == 40
    result = session.lock().result
    assert result is not None
    assert sum((result.tally.wins, result.tally.ties, result.tally.losses)) == 20


def test_an_export_has_every_verdict(make: Make, tmp_path: Path) -> None:
    session = make(4)
    prefer(session, "ann", "A")
    prefer(session, "bob", "B")
    assert exporting.export(session, tmp_path / "blind.csv")["rows"] == 8
    exporting.export(session, tmp_path / "ann.jsonl", annotator="ann")
    own = [json.loads(line) for line in (tmp_path / "ann.jsonl").read_text().splitlines()]
    assert {row["annotator"] for row in own} == {"ann"}
    assert "winner" not in own[0]
    session.lock()
    exporting.export(session, tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["annotator"], row["winner"]) for row in rows} == {
        ("ann", "adapter"),
        ("bob", "base"),
    }
    assert {row["left"][0] for row in rows if row["left_system"] == "adapter"} == {"A"}
    with pytest.raises(WorkbenchError, match="exists already"):
        exporting.export(session, tmp_path / "all.csv")
    with pytest.raises(WorkbenchError, match="neither"):
        exporting.export(session, tmp_path / "all.txt")


def test_preference_pairs_are_what_people_chose(make: Make, tmp_path: Path) -> None:
    session = make(4)
    prefer(session, "ann", "A", but="2")
    with pytest.raises(WorkbenchError, match="still blind"):
        exporting.export(session, tmp_path / "pairs.jsonl", "pairs")
    session.lock()
    exporting.export(session, tmp_path / "pairs.jsonl", "pairs")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert {(r["prompt"], r["chosen"], r["rejected"]) for r in rows} == {
        ("Question 0?", "A0", "B0"),
        ("Question 1?", "A1", "B1"),
        ("Question 2?", "B2", "A2"),
        ("Question 3?", "A3", "B3"),
    }


def test_pairs_of_conversations_are_messages(workspace: Workspace) -> None:
    turns = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"})
    item = Item("k", "", "", {"base": "B", "adapter": "A"}, turns)
    session = making.create(workspace, "one", [item], seed=1, source={})
    prefer(session, "ann", "A")
    assert list(exporting.pairs(session)) == [
        {
            "prompt": list(turns),
            "chosen": [{"role": "assistant", "content": "A"}],
            "rejected": [{"role": "assistant", "content": "B"}],
        }
    ]


def test_metrics_are_ranked_by_their_agreement_with_people(workspace: Workspace) -> None:
    """`good` always gives more to what people prefer, `bad` never, `blunt` can't tell."""
    items = [
        Item(
            f"k{n}",
            f"{n}?",
            f"the answer {n}",
            {"base": f"B {n} and a lot more", "adapter": f"A the answer {n}"},
            scores={
                "base": {"good": 0.1, "bad": 0.9, "blunt": 0.5},
                "adapter": {"good": 0.8, "bad": 0.2, "blunt": 0.5},
            },
        )
        for n in range(10)
    ]
    session = making.create(workspace, "one", items, seed=1, source={})
    prefer(session, "ann", "A")
    ranked = {each.metric: each for each in comparing.rank(session)}
    assert ranked["good"].agreement.value == ranked["rouge_l"].agreement.value == 1
    assert ranked["bad"].agreement.value == ranked[comparing.LENGTH].agreement.value == 0
    assert (ranked["blunt"].agreement.value, ranked["blunt"].same) == (0.5, 10)
    session.lock()
    found = reporting.of_session(session, session.report(unblind=True), form="markdown")
    assert found["metrics"][0]["agreement"]["value"] == 1
    assert "## Metrics, by their agreement with people" in found["page"]


def test_the_html_page_needs_nothing_from_elsewhere(make: Make) -> None:
    session = make(25)
    prefer(session, "<script>ann", "A", but="2")
    session.lock()
    page = reporting.of_session(session, session.report(unblind=True), form="html")["page"]
    assert "<script" not in page and "&lt;script&gt;ann" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "What can&#x27;t be concluded" in page and "Methods" in page
    charts = page.split("<svg")[1:]
    assert len(charts) == 2
    for chart in charts:
        ElementTree.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>")  # noqa: S314 (ours)
    blind = make(3, name="two")
    assert "<svg" not in reporting.of_session(blind, blind.report(), form="html")["page"]


_V1 = """
CREATE TABLE meta (name TEXT NOT NULL, created REAL NOT NULL, seed TEXT NOT NULL,
    systems TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE items (key TEXT PRIMARY KEY, position INTEGER NOT NULL, prompt TEXT NOT NULL,
    reference TEXT NOT NULL, outputs TEXT NOT NULL, identical INTEGER NOT NULL);
CREATE TABLE judgements (id INTEGER PRIMARY KEY AUTOINCREMENT, annotator TEXT NOT NULL,
    item TEXT NOT NULL REFERENCES items (key), choice TEXT NOT NULL, left_system TEXT NOT NULL,
    winner TEXT, note TEXT NOT NULL, seconds REAL, made REAL NOT NULL, undone REAL);
CREATE TABLE unblindings (made REAL NOT NULL);
INSERT INTO meta VALUES ('old', 1.0, 'old/1', '["base", "adapter"]', '{"evaluation": "e"}');
INSERT INTO items VALUES ('x', 0, 'X?', 'r', '{"base": "B0", "adapter": "A0"}', 0),
    ('y', 1, 'Y?', '', '{"base": "B1", "adapter": "A1"}', 0),
    ('z', 2, 'Z?', '', '{"base": "S", "adapter": "S"}', 1);
INSERT INTO judgements VALUES (3, 'ann', 'x', 'right', 'base', 'adapter', 'why', 2.5, 9.0, NULL),
    (4, 'ann', 'y', 'left', 'base', 'base', '', NULL, 10.0, 11.0);
INSERT INTO unblindings VALUES (12.0);
PRAGMA user_version = 1;
"""


def test_a_session_of_the_first_schema_goes_on(workspace: Workspace) -> None:
    workspace.reviews.mkdir(parents=True)
    with sqlite3.connect(workspace.reviews / "old.sqlite") as connection:
        connection.executescript(_V1)
    session = sessions.open(workspace, "old")
    assert (session.systems, len(session.units)) == (("base", "adapter"), 2)
    assert [(d.choice, d.note) for d in session.recent("ann")] == [("right", "why")]
    shown = session.next("ann")
    assert shown is not None and shown.prompt == "Y?"
    session.judge("ann", shown, "left" if shown.left == "A1" else "right")
    result = session.report(unblind=True).to_json()["result"]
    assert (result["wins"], result["ties"], result["losses"]) == (2, 1, 0)
    assert result["late"] == 1
    with sqlite3.connect(session.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,)
        ids = [row[0] for row in connection.execute("SELECT id FROM judgements")]
    assert ids == [3, 4, 5]


def test_on_a_network_file_system_the_journal_is_rolled_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mode(session: Session) -> str:
        with closing(sqlite3.connect(session.path)) as connection:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    local = make(2, name="local")
    assert mode(local) == "wal"
    monkeypatch.setattr(database, "network_file_system", lambda folder: "nfs4")
    assert mode(make(2, name="remote")) == "delete"
    # A session that was copied there.
    local.report()
    assert mode(local) == "delete"
