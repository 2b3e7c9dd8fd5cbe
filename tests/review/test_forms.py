from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.review import forms, making
from workbench.review.forms import Form
from workbench.review.items import Item
from workbench.review.session import Session
from workbench.workspace import Workspace

RUBRIC = """\
[criteria.helpful]
question = "Does it help?"
anchors = {1 = "no", 5 = "yes"}
[criteria.true]
"""


def outputs(count: int = 4) -> list[Item]:
    return [Item(f"k{n}", f"{n}?", "", {"base": f"B{n}", "new": f"N{n}"}) for n in range(count)]


def made(workspace: Workspace, form: Form, **more: object) -> Session:
    return making.create(
        workspace, "one", outputs(), systems=("base", "new"), seed=1, source={}, form=form, **more
    )  # type: ignore[arg-type]


def test_a_form_is_the_same_in_yaml_and_toml(tmp_path: Path) -> None:
    (tmp_path / "form.toml").write_text(RUBRIC)
    (tmp_path / "form.yaml").write_text(
        "criteria:\n  helpful:\n    question: Does it help?\n"
        "    anchors: {1: 'no', 5: 'yes'}\n  'true':\n"
    )
    form = forms.read(tmp_path / "form.toml")
    assert form == forms.read(tmp_path / "form.yaml")
    assert [criterion.name for criterion in form.criteria] == ["helpful", "true"]
    assert form.criteria[0].anchors == {1: "no", 5: "yes"}
    assert Form.from_json(form.to_json()) == form
    (tmp_path / "example.yaml").write_text(forms.EXAMPLE)
    assert len(forms.read(tmp_path / "example.yaml").criteria) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("criteria: []", "`criteria` must be"),
        ("kind: best", "`kind` must be one of"),
        ("kind: rubric", "a rubric needs them"),
        ("scale: 7", "there is no field scale"),
        ("criteria: {a: {anchors: {6: x}}}", "for the points 1 to 5"),
        ("criteria: {a: {anchors: {low: x}}}", "for the points 1 to 5"),
        ("criteria: {a: {weight: 3}}", "criteria.a"),
        ("kind: accept\nreasons: wrong", "`reasons` must be a list"),
        ("reasons: [x]", "of the kind `accept`"),
    ],
)
def test_a_form_that_is_none_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "form.yaml").write_text(text)
    with pytest.raises(WorkbenchError, match=said) as refusal:
        forms.read(tmp_path / "form.yaml")
    assert "form.yaml" in str(refusal.value)


def test_a_rubric_rates_each_output_alone(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "form.toml").write_text(RUBRIC)
    session = made(workspace, forms.read(tmp_path / "form.toml"))
    assert len(session.units) == 8
    while (shown := session.next("ann")) is not None:
        assert shown.right is None
        good = 5 if shown.left.startswith("N") else 2
        session.judge("ann", shown, "rated", ratings={"helpful": good, "true": 3})
    with pytest.raises(WorkbenchError, match="from 1 to 5"):
        session.judge(
            "ann", session.comparison("ann", "1"), "rated", ratings={"helpful": 6, "true": 1}
        )
    with pytest.raises(WorkbenchError, match="of these criteria: helpful, true"):
        session.judge("ann", session.comparison("ann", "1"), "rated", ratings={"helpful": 1})
    with pytest.raises(WorkbenchError, match="'left' is no verdict"):
        session.judge("ann", session.comparison("ann", "1"), "left")
    session.lock()
    rated = {(each.systems, each.ratings["helpful"]) for each in session.assessments()}
    assert rated == {(("base",), (2.0,)), (("new",), (5.0,))}


def test_accept_or_reject_has_reasons(workspace: Workspace) -> None:
    session = made(workspace, forms.of_kind("accept"))
    shown = session.next("ann")
    assert shown is not None
    with pytest.raises(WorkbenchError, match="no reason of this review"):
        session.judge("ann", shown, "reject", reason="ugly")
    session.judge("ann", shown, "reject", reason="wrong", flag=True)
    (decision,) = session.recent("ann")
    assert (decision.choice, decision.reason, decision.flag) == ("reject", "wrong", True)
    assert [a.ratings for a in session.assessments()] == [{"accepted": (0.0,)}]


def test_work_is_shared_among_those_who_are_named(make: Callable[..., Session]) -> None:
    session = make(30, sharing=making.Sharing(3, ("ann", "bob", "cat"), 2))
    assert [session.progress(name).total for name in ("ann", "bob", "cat")] == [20] * 3
    with pytest.raises(WorkbenchError, match="it is for ann, bob, cat"):
        session.next("dan")


def test_places_are_taken_by_who_comes_first(make: Callable[..., Session]) -> None:
    session = make(30, sharing=making.Sharing(2, (), 1, 0.2))
    assert session.progress("zoe").total == session.progress("yan").total == 18
    assert session.progress("zoe").total == 18
    with pytest.raises(WorkbenchError, match="it is for yan, zoe"):
        session.progress("xi")


def test_sharing_that_can_not_be_is_refused(make: Callable[..., Session]) -> None:
    for sharing, said in (
        (making.Sharing(2, (), 3), "3 of 2 annotators"),
        (making.Sharing(2, ("a", "a")), "one name"),
        (making.Sharing(repeats=0.9), "0.9 can't be repeated"),
    ):
        with pytest.raises(WorkbenchError, match=said):
            make(4, sharing=sharing)


def test_several_systems_meet_in_pairs_that_are_the_file_s(workspace: Workspace) -> None:
    item = Item(
        "k", "?", "", {"a1": "1", "b2": "2", "c3": "3"}, groups=(("a1", "b2"), ("b2", "c3"))
    )
    session = making.create(workspace, "one", [item], systems=("a1", "b2", "c3"), seed=1, source={})
    assert len(session.units) == 2
    while (shown := session.next("ann")) is not None:
        assert "2" in (shown.left, shown.right)
        session.judge("ann", shown, "tie")
