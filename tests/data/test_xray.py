from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from tests import tiny
from workbench import cli
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.data.xray import REASONS, Xray, XrayToken, xray
from workbench.workspace import Workspace

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture
def template(tmp_path: Path) -> ChatTemplate:
    tiny.make_tokenizer(tmp_path / "model")
    return ChatTemplate.load(tmp_path / "model")


def talk(*turns: tuple[str, str]) -> Example:
    return Example(tuple(Message(role, content) for role, content in turns))


def stretches(found: Xray) -> list[tuple[str, str]]:
    """What stands where: the reason, `trained` or `lost`, and the text."""

    def of(token: XrayToken) -> str:
        return "trained" if token.trained else "lost" if token.lost else token.reason

    return [(what, "".join(t.text for t in of_it)) for what, of_it in groupby(found.tokens, of)]


def test_each_token_says_where_it_stands(template: ChatTemplate) -> None:
    """Contents that the template's own words are part of are still told from them."""
    example = talk(
        ("system", "system"),
        ("user", "user"),
        ("assistant", "assistant é"),
        ("tool", "im"),
        ("user", " \n"),
        ("assistant", "end"),
    )
    found = xray(example, template)
    assert stretches(found) == [
        ("template", "<|im_start|>system\n"),
        ("system", "system"),
        ("template", "<|im_end|>\n<|im_start|>user\n"),
        ("user", "user"),
        ("template", "<|im_end|>\n"),
        ("header", "<|im_start|>assistant\n"),
        ("trained", "assistant é<|im_end|>"),
        ("template", "\n<|im_start|>tool\n"),
        ("tool", "im"),
        ("template", "<|im_end|>\n<|im_start|>user\n"),
        ("user", " \n"),
        ("template", "<|im_end|>\n"),
        ("header", "<|im_start|>assistant\n"),
        ("trained", "end<|im_end|>"),
        ("template", "\n"),
    ]
    assert "".join(token.text for token in found.tokens) == found.text
    assert (found.cut, found.response, found.lost_tokens) == (None, "whole", 0)
    assert {token.reason for token in found.tokens} <= {*REASONS, ""}


def test_the_cutoff_takes_what_is_after_it(template: ChatTemplate) -> None:
    example = talk(("user", "Why?"), ("assistant", "For that."))
    whole = xray(example, template)
    start = next(place for place, token in enumerate(whole.tokens) if token.trained)
    for limit, response, lost in (
        (len(whole.tokens), "whole", 0),
        (len(whole.tokens) - 1, "whole", 0),
        (start + 4, "partly lost", 6),
        (start, "lost", 10),
    ):
        found = xray(example, template, limit)
        assert (found.response, found.lost_tokens) == (response, lost)
        assert found.cut == (limit if limit < len(whole.tokens) else None)
        assert found.trained_tokens == 10 - lost
        assert all(token.reason == "cut" for token in found.tokens[limit:])


def test_a_closed_think_block_is_given_to_the_model_and_a_thought_is_learnt(
    tmp_path: Path,
) -> None:
    tiny.make_tokenizer(tmp_path / "model", THINKING)
    template = ChatTemplate.load(tmp_path / "model")
    closed = talk(("user", " a "), ("assistant", "<think>\n\n</think>\n\nb"))
    parts = stretches(xray(closed, template))
    assert ("user", "a") in parts, "where the template took its white space off"
    assert ("trained", "<think>\n\n</think>\n\nb<|im_end|>") in parts
    answered = xray(talk(("user", "a"), ("assistant", "b")), template)
    # The template writes no such block into the row, so what it asks for isn't kept.
    assert answered.kind == "prefix-not-kept" and not answered.trained_tokens


def test_a_row_that_is_refused_says_why_and_shows_its_tokens(template: ChatTemplate) -> None:
    found = xray(talk(("user", "Hi")), template)
    assert (found.kind, found.response) == ("nothing-trained", "refused")
    assert found.problem == "it has no response to learn"
    assert ("user", "Hi") in stretches(found) and not found.trained_tokens
    changing = "{% if messages|length > 2 %}x{% endif %}" + tiny.TEMPLATE
    other = ChatTemplate(changing, template._masker.tokenizer, {"eos_token": "<|im_end|>"})
    turns = ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")
    found = xray(talk(*turns), other)
    assert found.kind == "prefix-not-kept"
    assert ("refused", "d") in stretches(found)


def test_plain_text_is_trained_but_for_its_beginning(template: ChatTemplate) -> None:
    found = xray(Example(text="ab\x1b"), template, 3)
    assert [(t.text, t.reason) for t in found.tokens] == [
        ("a", "beginning"),
        ("b", ""),
        ("\x1b", ""),
        ("<|im_end|>", "cut"),
    ]


def test_the_verb_marks_tokens_and_shows_what_a_terminal_would_obey(
    tmp_path: Path,
    workspace: Workspace,
    write_rows: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def verb(*arguments: object) -> tuple[int, str, str]:
        root = ("--workspace", workspace.root, "data", "xray")
        try:
            status = cli.main([*map(str, (*root, *arguments))])
        except SystemExit as left:  # as argparse does
            status = int(left.code or 0)
        return status, *capsys.readouterr()

    tiny.make_tokenizer(tmp_path / "model")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_text('{"model_type": "llama"}')
    path = write_rows({"prompt": "A\x1b[31m\n", "completion": "Yes"}, "", {"prompt": "no"})
    args = (path, 1, "--model", tmp_path / "model")
    status, out, _ = verb(*args, "--max-length", 28)
    lines = [line.split() for line in out.splitlines()]
    assert status == 0 and lines[0] == ["id", "why", "not", "text"]
    assert "\x1b" not in out and any(line[-2:] == ["user", "\\x1b"] for line in lines)
    assert ["user", "⏎"] in [line[-2:] for line in lines]
    assert any(line[2:] == ["+", "Y"] for line in lines)
    assert "──── cut here, at 28 tokens ────" in out
    assert any(line[2:] == ["x", "cut", "s"] for line in lines)
    assert "the response is partly lost: 2 trained tokens gone (x)" in out
    _, out, _ = verb(*args, "--json")
    (example,) = json.loads(out)["examples"]
    assert (example["trained"], example["response"], example["cut"]) == (4, "whole", None)
    for wrong, words in (
        ((path, 9), "has 3 rows; there is no row 9"),
        ((path, 3), "Row 3 of"),
        ((path, 1, "--model", "./nowhere"), "nowhere doesn't exist"),
        (("unknown", 1), "There is no dataset unknown"),
        ((*args, "--max-length", "-1"), "give a number of tokens from 1 on"),
    ):
        status, _, told = verb(*wrong)
        assert status == 2 and words in told and "Traceback" not in told
