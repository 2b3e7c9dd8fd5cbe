from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from workbench.review import page
from workbench.review.analysis import Analysis, Contest, analyse
from workbench.review.assessments import Assessment
from workbench.review.limits import limits
from workbench.statistics.tally import Tally


def judged(
    item: str,
    preference: int,
    annotator: str = "ann",
    systems: tuple[str, ...] = ("new", "old"),
    lengths: tuple[int, ...] = (),
    ratings: Mapping[str, tuple[float | None, ...]] | None = None,
) -> Assessment:
    """One judgement: the preference is for the first of the systems."""
    return Assessment(annotator, item, systems, {"better": preference}, ratings or {}, lengths)


def contest(analysis: Analysis) -> Contest:
    (found,) = analysis.contests
    return found


def said(analysis: Analysis, piece: str) -> str:
    """The one limit that has the piece."""
    (found,) = [limit for limit in limits(analysis) if piece in limit]
    return found


def many(wins: int, losses: int, ties: int = 0) -> list[Assessment]:
    """A judgement an item, each system first in every other."""
    signs = [1] * wins + [-1] * losses + [0] * ties
    return [
        judged(str(i), sign) if i % 2 else judged(str(i), -sign, systems=("old", "new"))
        for i, sign in enumerate(signs)
    ]


def test_judgements_are_counted_and_items_once() -> None:
    """Item 1 is won 2 to 1, item 2 level, item 3 lost on the other side."""
    given = [
        judged("1", 1),
        judged("1", 2, "bob"),
        judged("1", -1, "cat"),
        judged("2", 1),
        judged("2", -2, "bob", ("new", "old")),
        judged("3", 1, systems=("old", "new")),
    ]
    found = contest(analyse(given))
    assert (found.candidate, found.baseline) == ("new", "old")
    assert found.tally == Tally(wins=3, ties=0, losses=3)
    assert found.by_item == Tally(wins=1, ties=1, losses=1)
    assert (found.mean.value, found.mean.n, found.mean.clusters) == (0.5, 6, 3)
    assert found.first_share == pytest.approx(5 / 6)


def test_the_baseline_is_held_against() -> None:
    given = many(30, 10)
    assert contest(analyse(given, baseline="new")).tally == Tally(wins=10, ties=0, losses=30)
    assert contest(analyse(given, baseline="old")).tally == Tally(wins=30, ties=0, losses=10)


def test_criteria_are_apart_and_corrected_together() -> None:
    given = [
        Assessment("ann", str(i), ("new", "old"), {"tone": 1, "facts": 1 if i % 3 else -1}, {})
        for i in range(30)
    ]
    analysis = analyse(given)
    facts, tone = analysis.contests
    assert (facts.criterion, tone.criterion) == ("facts", "tone")
    assert tone.p_holm == pytest.approx(2 * tone.p)
    assert facts.p_holm == facts.p == pytest.approx(0.0987, abs=1e-3)
    assert set(analysis.position) == {"facts", "tone"}


def test_a_habit_of_side_is_seen_and_makes_no_preference() -> None:
    """Everybody prefers what stands first; each system stood there half of the time."""
    given = [
        judged(str(i), 1, systems=("new", "old") if i % 2 else ("old", "new")) for i in range(40)
    ]
    analysis = analyse(given)
    habit = analysis.position["better"]
    assert (habit.rate.value, habit.rate.n) == (1, 40)
    assert habit.p < 1e-9
    assert contest(analysis).tally == Tally(wins=20, ties=0, losses=20)
    assert "the output shown first was preferred more often" in said(analysis, "shown first")
    unknown = analyse(given, shown_in_order=False)
    assert unknown.position == {}
    assert any("stood first isn't known" in each for each in limits(unknown, shown_in_order=False))


def test_a_preference_that_length_explains() -> None:
    given = []
    for i in range(200):
        longer = i % 4 != 0
        better = longer if i % 5 else not longer
        given.append(judged(str(i), 1 if better else -1, lengths=(400 if longer else 200, 300)))
    analysis = analyse(given)
    assert analysis.length["better"].rate.value == 0.8
    found = contest(analysis)
    assert found.tally.win_rate is not None and found.tally.win_rate.low > 0.5
    controlled = found.length_controlled
    assert controlled is not None
    assert controlled.low < 0.5 < controlled.high
    assert "length may explain it" in said(analysis, "length may")


def test_what_is_not_decided_says_how_many_more() -> None:
    """12 to 8: (1.96 / 0.2)² makes 97 decided, and the planned number for 80 % is 194."""
    text = said(analyse(many(12, 8)), "no preference is shown")
    assert "about 77 more items" in text
    assert "174 more without a tie for a chance of 80 %" in text
    level = said(analyse(many(10, 10)), "no preference is shown")
    assert "no number of more items can be named" in level


def test_what_one_contest_would_show_and_three_do_not() -> None:
    """15 to 5 has an exact p of .041, which three contests make .124."""
    given = [
        judged(str(i), 1 if i < 15 else -1, systems=pair)
        for pair in (("a", "b"), ("b", "c"), ("c", "a"))
        for i in range(20)
    ]
    found = [each for each in limits(analyse(given)) if "no preference is shown" in each]
    assert len(found) == 3
    assert all("alone would show one (p = 0.041)" in each for each in found)


def test_what_is_decided_says_whether_it_bears_looking() -> None:
    text = said(analyse(many(60, 35)), "fixed beforehand")
    assert "more items would make it hold" in text
    assert not any("fixed beforehand" in each for each in limits(analyse(many(90, 10))))


def test_ratings_have_means_and_differences() -> None:
    rated = [
        judged(str(i), 0, ratings={"fluent": (4.0 + i % 2, 3.0), "ok": (1, i % 2)})
        for i in range(20)
    ]
    analysis = analyse(rated)
    fluent, _, new_ok, old_ok = analysis.rated
    assert (fluent.criterion, fluent.system, fluent.mean.value) == ("fluent", "new", 4.5)
    assert fluent.share is None
    assert new_ok.share is not None and old_ok.share is not None
    assert (new_ok.share.value, old_ok.share.value) == (1, 0.5)
    apart = {each.criterion: each for each in analysis.rated_apart}
    assert apart["fluent"].difference.value == 1.5
    assert apart["fluent"].difference.low > 1
    assert apart["ok"].p_holm == pytest.approx(2 * 2 / 2001)


def test_agreement_is_by_criterion_with_kappa_of_the_same_two() -> None:
    given = [
        judged(str(i), verdict, who)
        for i, pair in enumerate([(1, 1), (1, 1), (-1, -1), (1, -1), (0, 0), (2, 1)])
        for who, verdict in zip(("ann", "bob"), pair, strict=True)
    ]
    (found,) = analyse(given).agreement
    assert (found.kind, found.units) == ("preference", 6)
    assert found.raw is not None and found.kappa is not None
    # 5 of 6 agree on the side; by chance (4·3 + 1·2 + 1·1) / 36.
    assert found.raw.value == pytest.approx(5 / 6)
    assert found.kappa.value == pytest.approx((5 / 6 - 15 / 36) / (1 - 15 / 36))
    assert found.alpha_ordinal is not None
    third = analyse([*given, judged("0", 1, "cat")]).agreement[0]
    assert third.kappa is None


def test_nothing_judged_twice_has_no_agreement() -> None:
    analysis = analyse(many(3, 2))
    assert analysis.agreement[0].alpha is None
    assert "agreement isn't known" in said(analysis, "agreement")
    assert "too few" in said(analysis, "bootstrap")


def test_three_systems_are_ranked_and_the_unmet_named() -> None:
    given = [
        judged(f"{i}", sign, systems=pair)
        for pair in (("a", "b"), ("b", "c"))
        for i, sign in enumerate([1] * 15 + [-1] * 5 + [0] * 4)
    ]
    analysis = analyse(given)
    # 17 of 24 points for the better of each two: log(17 / 7) = 0.887 apart.
    ranking = analysis.rankings["better"]
    assert [each.system for each in ranking.strengths] == ["a", "b", "c"]
    assert "only the ranking relates them" in said(analysis, "a and c were never compared")
    assert "| a | +0.8873 |" in page.as_markdown(page.blocks(analysis, "T", [])).replace("\\", "")


def test_systems_that_can_not_be_ranked_say_why() -> None:
    given = [judged("1", 1, systems=("a", "b")), judged("2", 1, systems=("b", "c"))]
    analysis = analyse(given)
    assert analysis.rankings["better"].strengths == ()
    assert "can't be ranked" in said(analysis, "can't be ranked")


def test_names_are_shown_safely() -> None:
    given = [judged(str(i), 1, systems=("a|b\x1b[2J", "*c*")) for i in range(3)]
    blocks = page.blocks(analyse(given), "T", [])
    text, markdown = page.as_text(blocks), page.as_markdown(blocks)
    assert "\x1b" not in text + markdown
    assert r"a\|b" in markdown
    assert r"\*c\*" in markdown


def test_an_analysis_goes_through_json() -> None:
    given = [*many(7, 5, 2), judged("x", 1, lengths=(3, 5))]
    found = json.loads(json.dumps(analyse(given).to_json()))
    assert found["contests"][0]["win_rate"]["n"] == 15
    assert found["contests"][0]["decided"] is False
    assert found["contests"][0]["more_to_decide"] > 0
