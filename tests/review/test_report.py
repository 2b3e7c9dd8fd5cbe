from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from workbench.errors import WorkbenchError
from workbench.review.session import Session

Make = Callable[..., Session]


def in_order(session: Session) -> list[str]:
    """The prompts of what there is to judge, whatever order an annotator has."""
    numbers = range(1, len(session.units) + 1)
    return sorted(session.comparison("anybody", str(n)).prompt for n in numbers)


def judge(session: Session, annotator: str, prompt: str, verdict: str) -> None:
    """Give a verdict by system: A (adapter), B (base), tie or skip."""
    shown = (session.comparison(annotator, str(n + 1)) for n in range(len(session.units)))
    comparison = next(each for each in shown if each.prompt == prompt)
    choice = verdict
    if verdict in ("A", "B"):
        choice = "left" if comparison.left.startswith(verdict) else "right"
    session.judge(annotator, comparison, choice)


def judge_all(session: Session, annotator: str, verdicts: str) -> None:
    """A verdict per letter and item: A, B, = (tie) or - (skip)."""
    words = {"=": "tie", "-": "skip"}
    for unit, letter in zip(in_order(session), verdicts, strict=False):
        judge(session, annotator, unit, words.get(letter, letter))


def test_a_blind_report_is_the_same_whichever_system_wins(make: Make) -> None:
    """The only thing that the winner may change is the chance of left and right."""
    reports = []
    for name, verdicts in (("x", "AAAA=-"), ("x2", "BBBB=-")):
        session = make(6, identical=2, name=name)
        judge_all(session, "ann", verdicts)
        report = session.report().to_json()
        text = json.dumps(report)
        assert not any(word in text for word in ("base", "adapter", "eval-7", "seed"))
        assert report["choices"]["left"] + report["choices"]["right"] == 4
        for by_chance in ("name", "choices", "left_share"):
            report.pop(by_chance)
        reports.append(report)
    assert reports[0] == reports[1]
    assert reports[0]["result"] is None
    assert reports[0]["complete"] is True


def test_the_unblinded_report_gives_the_result_by_system(make: Make) -> None:
    session = make(10, identical=2)
    judge_all(session, "ann", "AAAAAAB==-")
    result = session.report(unblind=True).to_json()["result"]
    assert (result["candidate"], result["baseline"]) == ("adapter", "base")
    assert (result["wins"], result["ties"], result["losses"]) == (6, 4, 1)
    assert result["win_rate"]["value"] == pytest.approx(8 / 11)
    assert result["win_rate"]["n"] == 11
    assert result["decided_rate"]["value"] == pytest.approx(6 / 7)
    assert result["by_annotator"] == {"ann": {"wins": 6, "ties": 2, "losses": 1}}
    assert result["source"] == {"evaluation": "eval-7"}
    assert result["late"] == 0


def test_a_system_is_preferred_only_when_chance_is_excluded(make: Make) -> None:
    for name, verdicts, preferred in (
        ("few", "AAA", ""),
        ("even", "ABABABABAB", ""),
        ("worse", "BBBBBBBBBB", "base"),
    ):
        session = make(len(verdicts), name=name)
        judge_all(session, "ann", verdicts)
        assert session.report(unblind=True).to_json()["result"]["verdict"] == preferred


def test_position_bias_shows_a_habit_and_not_a_preference(make: Make) -> None:
    honest, habit = make(40, name="honest"), make(40, name="habit")
    judge_all(honest, "ann", "A" * 40)
    while (comparison := habit.next("ann")) is not None:
        habit.judge("ann", comparison, "left")
    fair, biased = honest.report().left_share, habit.report().left_share
    assert fair is not None and biased is not None
    assert fair.value == 0.5
    assert biased.value == 1
    assert biased.low > 0.5
    assert habit.report(unblind=True).to_json()["result"]["verdict"] == ""


def test_an_item_counts_once_however_many_judged_it(make: Make) -> None:
    session = make(4)
    judge_all(session, "ann", "AAB=")
    judge_all(session, "bob", "AB=-")
    judge_all(session, "cat", "B=BA")
    report = session.report(unblind=True).to_json()
    # By item: A, A, B | A, B, tie | B, tie, B | tie, skip, A.
    assert [report["result"][name] for name in ("wins", "ties", "losses")] == [2, 1, 1]
    # Pairs: 3 + 3 + 3 + 1; ann and bob agree on the first, ann and cat on the third.
    assert report["agreement"] == {"pairs": 10, "agreeing": 2, "share": 0.2}


def test_unblinding_waits_until_everybody_who_began_is_through(make: Make) -> None:
    session = make(3)
    with pytest.raises(WorkbenchError, match="not begun"):
        session.report(unblind=True)
    judge_all(session, "ann", "AAA")
    judge_all(session, "bob", "A")
    with pytest.raises(WorkbenchError, match="bob 1 of 3 judged"):
        session.report(unblind=True)
    assert session.report(unblind=True, anyway=True).result is not None


def test_verdicts_after_the_unblinding_are_counted(make: Make) -> None:
    session = make(3)
    judge_all(session, "ann", "A")
    session.report(unblind=True, anyway=True)
    judge_all(session, "bob", "BB")
    assert session.report(unblind=True, anyway=True).to_json()["result"]["late"] == 2
