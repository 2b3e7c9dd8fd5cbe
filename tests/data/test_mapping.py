from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data import recipe as recipes
from workbench.data import repairs, revising, versions
from workbench.data.formats import RowError, convert, to_examples
from workbench.data.importing import Options, import_files
from workbench.data.mapping import from_texts
from workbench.data.replay import make
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]


def turns(row: dict[str, Any], *texts: str) -> list[tuple[str, str]]:
    (example,) = to_examples(row, mapping=from_texts(texts))
    return [(m.role, m.content) for m in example.messages]


def test_fields_are_what_the_mapping_says_wherever_they_stand() -> None:
    row = {"data": {"Q": "Hi", "A": 5, "n": 1}, "about.it": "A text", "sys": "Be", "kind": "qa"}
    texts = ["prompt=data.Q", "response=data.A", "context=about.it", "system=sys", "task=kind"]
    (example,) = to_examples(row, mapping=from_texts(texts))
    assert [(m.role, m.content) for m in example.messages] == [
        ("system", "Be"),
        ("user", "Hi\n\nA text"),
        ("assistant", "5"),
    ]
    assert (example.task, example.extra) == ("qa", {"data": {"n": 1}})
    plain = {"q": "Hi", "a": "Yes", "task": "qa", "system": "kept", "text": "kept"}
    (other,) = to_examples(plain, mapping=from_texts(["prompt=q", "response=a"]))
    assert (other.task, other.extra) == ("qa", {"system": "kept", "text": "kept"})
    assert row["data"] == {"Q": "Hi", "A": 5, "n": 1}, "the row itself stays"
    with_history = {"q": "C", "a": "D", "old": [["A", "B"]]}
    assert turns(with_history, "prompt=q", "response=a", "history=old") == [
        ("user", "A"),
        ("assistant", "B"),
        ("user", "C"),
        ("assistant", "D"),
    ]


def test_turns_may_have_keys_and_roles_of_their_own() -> None:
    talk = [{"who": "Kunde", "said": "Hi"}, {"who": "gpt", "said": "Yes"}]
    row = {"dialog": {"turns": talk}}
    texts = ["messages=dialog.turns", "role=who", "content=said", "role.user=Kunde"]
    assert turns(row, *texts) == [("user", "Hi"), ("assistant", "Yes")]
    with pytest.raises(RowError, match=r"`dialog.turns\[0\].who` is 'Kunde', which is no known"):
        turns(row, *texts[:3])
    (example,) = convert([*talk, talk[0]], mapping=from_texts(texts), kinds=repairs.NAMES).examples
    assert len(example.messages) == 2
    (example,) = to_examples({"body": "A text"}, mapping=from_texts(["text=body"]))
    assert example.text == "A text"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"A": "a"}, "there is no field `Q`, which the mapping names; it has A"),
        ({"Q": "", "A": "a"}, "`Q`: the prompt is empty"),
        ({"Q": "q", "A": None}, "`A` is null, not text"),
        ({"Q": ["q"], "A": "a"}, "`Q` is a list, not text"),
    ],
)
def test_a_row_that_doesn_t_fit_is_refused_by_its_own_field(
    row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RowError) as caught:
        turns(row, "prompt=Q", "response=A")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["prompt=Q"], "it takes prompt and response, or messages, or text"),
        (["text=T", "prompt=Q", "response=A"], "it takes prompt and response"),
        (["prompt"], "--map takes NAME=FIELD, not 'prompt'"),
        (["prompt=a", "prompt=b", "response=c"], "says twice what prompt is"),
        (["question=Q"], "question: Extra inputs"),
        (["messages=m", "role.boss=X"], "roles.X"),
        (["prompt=Q", "response=A", "role.user=X"], "are of the turns of messages"),
        (["text=T", "system=s"], "plain text has no system turn"),
    ],
)
def test_what_makes_no_mapping_is_refused(texts: list[str], reason: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        from_texts(texts)
    assert reason in caught.value.message
    assert "--map prompt=FIELD" in caught.value.hint


def test_the_recipe_keeps_the_mapping_for_replays_and_for_other_files(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*({"Q": f"Question {n}?", "A": "a", "n": n} for n in range(9)))
    with pytest.raises(WorkbenchError) as caught:
        import_files(workspace, [path], "made")
    assert "--map prompt=FIELD --map response=FIELD" in caught.value.hint
    mapping = from_texts(["prompt=Q", "response=A"])
    version = import_files(workspace, [path], "made", Options(mapping=mapping))
    assert next(versions.read(version)).extra == {"n": 0}
    body = revising.recipe_of(version).to_json()
    assert body["sources"][0]["mapping"] == {"prompt": "Q", "response": "A"}
    again = make(workspace, recipes.parse({**body, "name": "again"}, "it"))
    assert again.sha256 == version.sha256
    assert revising.mapping_of(version) == mapping
    other = import_files(workspace, [write_rows({"text": "x"}, name="t.jsonl")], "text")
    with pytest.raises(WorkbenchError, match="was imported without --map"):
        revising.mapping_of(other)
