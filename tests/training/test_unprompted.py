"""`without_prompt.jsonl`: what each row loses without its prompt, by the model as it begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training.harness import (
    CPU,
    configure,
    curve,
    encode,
    examples,
    run,
)
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.learning import unprompted as reader
from workbench.training import model
from workbench.training.encoding import encode as encode_all
from workbench.training.unprompted import NAME, Unprompted, empty_prompt

ROWS = 11


def measured(folder: Path) -> dict[int, float]:
    lines = map(json.loads, (folder / NAME).read_text().splitlines())
    return {line["row"]: line["loss"] for line in lines}


@pytest.mark.parametrize("packing", [True, False])
def test_it_is_the_loss_of_the_response_after_an_empty_prompt_by_the_untrained_model(
    tmp_path: Path, base: Path, packing: bool
) -> None:
    """By a plain computation of rows that were written without their prompts."""
    config = configure(base, training={"max_steps": 2, "packing": packing})
    run(tmp_path, config)
    template = ChatTemplate.load(base)
    bare = [Example((Message("user", ""), *example.messages[1:])) for example in examples(ROWS)]
    rows = encode_all(bare, template, config.data).rows
    untrained = model.load_to_train(base, config, CPU, template.new_ids).eval()
    found = measured(tmp_path)
    assert sorted(found) == list(range(1, ROWS + 1))
    for number, row in enumerate(rows, start=1):
        logits = untrained(input_ids=row.ids[None].long()).logits[0]
        learnt = row.trained[1:]
        plain = cross_entropy(logits[:-1][learnt], row.ids[1:][learnt].long())
        assert found[number] == pytest.approx(float(plain.detach()), abs=2e-4)
    known = reader.read(tmp_path, ROWS)
    assert known is not None
    assert list(known) == pytest.approx([found[n] for n in range(1, ROWS + 1)])


def test_of_several_turns_what_stands_before_the_first_response_is_left_out(base: Path) -> None:
    template = ChatTemplate.load(base)
    said = (
        Message("user", "Say one, and say it slowly"),
        Message("assistant", "one"),
        Message("user", "Say two"),
        Message("assistant", "two"),
    )
    config = configure(base)
    whole, bare = encode_all(
        [Example(said), Example((Message("user", ""), *said[1:]))], template, config.data
    ).rows
    (row,) = Unprompted([whole], empty_prompt(template))
    assert torch.equal(row.ids, bare.ids)
    assert torch.equal(row.trained, bare.trained)
    assert row.trained_tokens == whole.trained_tokens


def test_plain_text_has_no_prompt_to_leave_out(base: Path) -> None:
    template = ChatTemplate.load(base)
    config = configure(base)
    rows = encode_all([Example(text="It was a dark night. " * 4)], template, config.data).rows
    assert not len(Unprompted([*rows], empty_prompt(template)))
    mixed = Unprompted([*rows, *encode(base, 3)], empty_prompt(template))
    assert len(mixed) == 3
    assert mixed.lengths.tolist() == [len(row) for row in mixed]


def test_it_is_measured_once_and_not_where_it_is_not_wanted(tmp_path: Path, base: Path) -> None:
    config = configure(base, checkpoints={"every": 2}, training={"max_steps": 3})
    run(tmp_path / "with", config)
    path = tmp_path / "with" / NAME
    path.unlink()
    run(tmp_path / "with", config)
    assert not path.exists(), "the resumed one isn't the model that it began as"
    run(tmp_path / "without", replace_logging(config))
    assert not (tmp_path / "without" / NAME).exists()
    assert curve(tmp_path / "without") == curve(tmp_path / "with"), "and training is the same"


def replace_logging(config):  # type: ignore[no-untyped-def]
    return config.model_copy(
        update={"logging": config.logging.model_copy(update={"without_prompt": False})}
    )
