from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from workbench.data import split, stdlib_docs, versions
from workbench.data.curate import across
from workbench.data.example import Example
from workbench.data.versions import Version
from workbench.workspace import Workspace


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return stdlib_docs.build(Workspace(tmp_path_factory.mktemp("stdlib")))


@pytest.fixture(scope="module")
def examples(built: Version) -> list[Example]:
    return list(versions.read(built))


def plain(texts: Iterable[str]) -> list[str]:
    return [" ".join(text.casefold().split()) for text in texts]


def of(examples: list[Example], part: str) -> list[Example]:
    return [example for example in examples if example.split == part]


def test_there_is_enough_to_learn_from_and_to_hold_out(
    built: Version, examples: list[Example]
) -> None:
    assert built.rows == len(examples) >= 1500
    assert 0.05 < built.splits["validation"] / built.rows < 0.15
    assert set(built.tasks) == {"describe", "module", "signature"}


def test_it_is_the_same_wherever_it_is_built(built: Version, tmp_path: Path) -> None:
    again = stdlib_docs.build(Workspace(tmp_path / "other"))
    assert again.reference == built.reference
    assert again.data_path.read_bytes() == built.data_path.read_bytes()
    versions.verify(again)


def test_train_and_validation_share_no_object_module_prompt_or_response(
    examples: list[Example],
) -> None:
    train, held_out = of(examples, "train"), of(examples, "validation")
    for field in ("object", "group", "module"):
        assert not {e.extra[field] for e in train} & {e.extra[field] for e in held_out}
    assert not set(plain(e.response for e in train)) & set(plain(e.response for e in held_out))
    assert split.leaking(examples) == []
    assert list(across.annotate(examples)) == [], "a run over them would be refused"


def test_no_prompt_and_no_response_comes_twice(examples: list[Example]) -> None:
    for texts in ([e.instruction for e in examples], [e.response for e in examples]):
        assert len(set(plain(texts))) == len(texts)


def test_every_row_is_short_text_about_the_object_that_it_names(examples: list[Example]) -> None:
    for example in examples:
        assert f"`{example.extra['object']}`" in example.instruction
        name, group = str(example.extra["object"]), str(example.extra["group"])
        assert name == group or name.startswith(f"{group}.")
        assert not any(part.startswith("_") for part in name.split("."))
        assert example.response == example.response.strip()
        assert 3 <= len(example.response) <= 400
        if example.task == "signature":
            assert example.response.startswith(f"`{name}(")
            assert example.response.endswith(")`")


def test_what_was_said_twice_is_kept_aside_with_the_reason(built: Version) -> None:
    removed = list(versions.read_removed(built))
    assert len(removed) == built.removed > 0
    assert {row.step for row in removed} == {"said twice"}
    assert all(row.reason.startswith("it says what ") for row in removed)
    steps = versions.describe(built)["steps"]
    assert steps[0]["after"] - steps[1]["after"] == built.removed


def test_well_known_objects_are_among_them(examples: list[Example]) -> None:
    by_prompt = {example.instruction: example.response for example in examples}
    assert "JSON" in by_prompt["What does the Python function `json.dumps` do?"]
    signature = by_prompt["What is the signature of the Python function `shutil.copy`?"]
    assert signature == "`shutil.copy(src, dst, *, follow_symlinks=True)`"
