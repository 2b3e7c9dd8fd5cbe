"""A config in work: changes, undo, comparison, and files that others write, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.config import loading
from workbench.config.draft import Draft, Other, as_text, stepped
from workbench.config.loading import ConfigError

FIELDS = {field.path: field for field in loading.fields()}


def test_changes_are_taken_back_and_made_again_one_by_one() -> None:
    draft = Draft()
    assert draft.set(["lora.rank=8", "lora.alpha=16"])
    assert draft.set(["training.learning_rate=1e-4"])
    assert not draft.set(["training.learning_rate=0.0001"])
    assert draft.undo()
    assert (draft.config.lora.rank, draft.config.training.learning_rate) == (8, 2e-4)
    assert draft.undo() and draft.config.lora.alpha == 32
    assert not draft.undo()
    assert draft.redo() and draft.redo() and draft.config.training.learning_rate == 1e-4
    assert not draft.redo()
    draft.undo()
    draft.set(["lora.rank=4"])
    assert not draft.redo()


def test_settings_that_can_not_be_change_nothing_and_all_are_told() -> None:
    draft = Draft()
    before = draft.config
    with pytest.raises(ConfigError) as caught:
        draft.set(["lora.rank=8", "lora.alpha=none", "training.epochs=-1"])
    assert {problem.path for problem in caught.value.problems} == {"lora.alpha", "training.epochs"}
    assert draft.config is before and not draft.undo()


def test_comments_stay_when_it_is_saved_and_edits_of_others_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# why we do this\nname: mine\nlora:\n  rank: 8  # enough\n")
    draft = Draft()
    draft.open(path)
    assert draft.is_saved
    draft.set(["lora.rank=16", "training.epochs=2"])
    assert not draft.is_saved and not draft.changed_outside(path)
    draft.save(path)
    text = path.read_text()
    assert "# why we do this" in text and "rank: 16  # enough" in text
    assert loading.load(path) == draft.config and draft.is_saved
    path.write_text(text.replace("enough", "by another hand"))
    assert draft.changed_outside(path)
    assert draft.changed_outside(path.with_name("other.yaml")) is False


def test_an_edited_text_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    draft = Draft()
    draft.take("# mine\nlora: {rank: 4}\n")
    assert draft.config.lora.rank == 4 and draft.text.startswith("# mine")
    with pytest.raises(ConfigError):
        draft.take("lora: {rnak: 4}\n")
    assert draft.config.lora.rank == 4 and draft.text.startswith("# mine")


def test_what_differs_is_told_against_the_default_or_another_config() -> None:
    draft = Draft()
    draft.set(["lora.rank=8"])
    rank, alpha = FIELDS["lora.rank"], FIELDS["lora.alpha"]
    assert draft.differs(rank) and draft.compared(rank) == 16
    draft.other = Other("theirs", loading.default_config(["lora.rank=8", "lora.alpha=64"]))
    assert not draft.differs(rank)
    assert draft.differs(alpha) and draft.compared(alpha) == 64


@pytest.mark.parametrize(
    ("path", "value", "more", "less"),
    [
        ("lora.rank", 16, "32", "8"),
        ("lora.rank", 1, "2", "0"),
        ("evaluation.every", 0, "1", "0"),
        ("training.learning_rate", 2e-4, "0.0005", "0.0001"),
        ("training.learning_rate", 1e-5, "2e-05", "5e-06"),
        ("training.learning_rate", 3e-4, "0.0005", "0.0002"),
        ("training.epochs", 1.0, "2.0", "0.5"),
        ("lora.rslora", False, "true", "true"),
        ("model.quantization", "none", "nf4", "int8"),
        ("data.dataset", "chat", None, None),
    ],
)
def test_a_value_is_stepped_as_one_would(
    path: str, value: object, more: str | None, less: str | None
) -> None:
    assert stepped(FIELDS[path], value, 1) == more
    assert stepped(FIELDS[path], value, -1) == less


def test_values_are_written_as_settings_take_them() -> None:
    for path, value in (("lora.target_modules", ["q_proj", "v_proj"]), ("lora.dora", True)):
        config = loading.default_config([f"{path}={as_text(value)}"])
        assert loading.value_at(config, path) == value
    tokens = ["a,b", " c", "#d", "e"]
    config = loading.default_config([f"model.new_tokens={as_text(tokens)}"])
    assert config.model.new_tokens == tokens
    assert as_text(None) == ""


def test_undo_of_an_opened_file_goes_back_to_the_file_before(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("name: first\n")
    second.write_text("name: second\n")
    draft = Draft()
    draft.open(first)
    draft.set(["lora.rank=8"])
    draft.open(second)
    assert draft.path == second and draft.is_saved
    draft.undo()
    assert draft.path == first and draft.config.lora.rank == 8 and not draft.is_saved
    draft.redo()
    assert draft.path == second and draft.is_saved


def test_what_is_not_saved_is_kept_and_restored_with_its_file(tmp_path: Path) -> None:
    path, kept = tmp_path / "mine.yaml", tmp_path / ".draft.json"
    path.write_text("# why\nname: mine\n")
    draft = Draft()
    draft.keep(kept)
    assert not kept.exists()
    draft.open(path)
    draft.set(["lora.rank=8"])
    draft.keep(kept)
    again = Draft()
    assert again.restore(kept)
    assert again.path == path and again.config == draft.config and not again.is_saved
    assert again.text.startswith("# why")
    path.write_text("name: theirs\n")
    assert again.changed_outside(path)
    assert again.undo() and again.config.lora.rank == 16
    draft.save(path)
    draft.keep(kept)
    assert not kept.exists()
    kept.write_text("rubbish")
    assert not Draft().restore(kept)
