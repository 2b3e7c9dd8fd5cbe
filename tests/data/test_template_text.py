"""Plain text: every token is learnt, and where a text begins and ends is the tokenizer's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, processors

from tests import tiny
from workbench.data.example import Example
from workbench.data.template import ChatTemplate, Encoded, MaskError

BOS, EOS = "<s>", "</s>"
TEXTS = ["Law", " § 1 ½\n\n", "日本 🎉 e\u0301\u200d", "def f():\n\treturn {'a': 1}\n", "x" * 500]


def make(folder: Path, *, puts: str = "", **settings: Any) -> ChatTemplate:
    """A tokenizer over bytes that puts a text where `puts` has `$A`."""
    tiny.make_tokenizer(folder)
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (BOS, EOS)])
    if puts:
        named = [(name, tokenizer.token_to_id(name)) for name in (BOS, EOS)]
        tokenizer.post_processor = processors.TemplateProcessing(puts, special_tokens=named)
    tokenizer.save(str(path))
    body = {"bos_token": BOS, "eos_token": EOS, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(body))
    return ChatTemplate.load(folder)


def learnt(template: ChatTemplate, encoded: Encoded) -> str:
    ids = [id for id, trained in zip(encoded.ids, encoded.trained, strict=True) if trained]
    return template.decode(ids, skip_special=False)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("puts", "settings"),
    [
        (f"{BOS} $A", {}),
        (f"{BOS} $A {EOS}", {}),
        (f"{BOS} $A", {"add_bos_token": False}),
        ("", {"add_bos_token": True}),
    ],
)
def test_a_text_is_learnt_whole_with_its_end_and_without_its_beginning(
    puts: str, settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    template = make(tmp_path, puts=puts, **settings)
    encoded = template.encode(Example(text=text))
    assert learnt(template, encoded) == text + EOS
    assert encoded.text == "".join(encoded.pieces) == BOS + text + EOS
    assert encoded.trained.count(False) == 1 and not encoded.trained[0]
    assert encoded.tokens[0].reason == "beginning"


@pytest.mark.parametrize("text", TEXTS)
def test_without_a_bos_of_the_tokenizer_the_first_token_is_not_learnt(
    text: str, tmp_path: Path
) -> None:
    template = make(tmp_path)
    encoded = template.encode(Example(text=text))
    assert template.decode(encoded.ids, skip_special=False) == encoded.text == text + EOS
    assert encoded.trained == [False] + [True] * (len(encoded.ids) - 1)


@pytest.mark.parametrize("text", [f"{BOS}Law", f"Law{EOS}", f"{BOS}Law{EOS}"])
def test_neither_end_is_put_there_twice(text: str, tmp_path: Path) -> None:
    encoded = make(tmp_path, puts=f"{BOS} $A").encode(Example(text=text))
    assert encoded.text == f"{BOS}Law{EOS}"


def test_the_tokens_are_those_of_the_tokenizer_itself(tmp_path: Path) -> None:
    template = make(tmp_path, puts=f"{BOS} $A {EOS}")
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        assert template.encode(Example(text=text)).ids == own.encode(text).ids


def test_a_tokenizer_without_an_end_token_can_t_teach_where_a_text_ends(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="no eos_token"):
        make(tmp_path, eos_token=None).encode(Example(text="Law"))
