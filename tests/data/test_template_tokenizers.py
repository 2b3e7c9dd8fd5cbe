"""The mask with tokenizers that don't keep each character where it stood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests import tiny
from tests.data.stretches import trained_stretches
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate, MaskError

PHI = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
LLAMA_2 = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
SENTENCE_PIECE_DECODER = decoders.Sequence(
    [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ]
)


def talk(*turns: str) -> Example:
    roles = ("user", "assistant") * len(turns)
    return Example(tuple(Message(role, text) for role, text in zip(roles, turns, strict=False)))


def sentence_piece(folder: Path, template: str, *, legacy: bool) -> ChatTemplate:
    """A tokenizer as Llama 2 and Mistral have it: `▁` for a space, and one put before a text."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    signs = [f"<0x{byte:02X}>" for byte in range(256)]
    signs += [*"▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ[]/.,!?<|>"]
    merges = [("▁", "h"), ("▁h", "i"), ("y", "e"), ("ye", "s"), ("▁", "yes")]
    for token in [*signs, *(a + b for a, b in merges)]:
        vocabulary[token] = len(vocabulary)
    unknown = {"unk_token": "<unk>"}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, **unknown))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    tokenizer.decoder = SENTENCE_PIECE_DECODER
    names = ("<unk>", "<s>", "</s>")
    tokenizer.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    tiny.make_tokenizer(folder, template)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return ChatTemplate.load(folder)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(("style", "form"), [(LLAMA_2, "{} </s>"), (ZEPHYR, "{}</s>")])
def test_a_tokenizer_of_the_sentencepiece_family_can_be_masked(
    style: str, form: str, legacy: bool, tmp_path: Path
) -> None:
    template = sentence_piece(tmp_path, style, legacy=legacy)
    for turns in (("hi", "yes"), ("hi", "yes hi", "so", "é yes"), ("hi?", "日本\n\n x🎉")):
        encoded = template.encode(talk(*turns))
        found = [text.lstrip(" ") for text in trained_stretches(template, encoded)]
        assert found == [form.format(text) for text in turns[1::2]]
        prompt = template.prompt_ids(talk(*turns).messages[:1])
        assert encoded.ids[: len(prompt)] == prompt
        assert not any(encoded.trained[: len(prompt)])


def test_a_token_over_the_border_is_split_as_generation_splits_it(tmp_path: Path) -> None:
    """With a token for two line ends, a response that begins with one would fuse with the
    prompt's: the model never sees that when it answers."""
    tiny.make_tokenizer(tmp_path)
    body = json.loads((tmp_path / "tokenizer.json").read_text())
    body["model"]["vocab"]["ĊĊ"] = 300
    body["model"]["merges"] = [["Ċ", "Ċ"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    template = ChatTemplate.load(tmp_path)
    assert 300 in template.encode(talk("a\n\nb", "c")).ids
    encoded = template.encode(talk("Hi", "\nYes", "a\n\nb", "No"))
    assert trained_stretches(template, encoded) == ["\nYes<|im_end|>", "No<|im_end|>"]


def test_special_tokens_that_eat_white_space_can_be_masked(tmp_path: Path) -> None:
    """As Phi-3's do: the line end after a marker is part of its token."""
    tiny.make_tokenizer(tmp_path, PHI)
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    names = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
    tokenizer.add_special_tokens([AddedToken(n, special=True, rstrip=True) for n in names])
    tokenizer.save(str(path))
    template = ChatTemplate.load(tmp_path)
    encoded = template.encode(talk("Hi", "Yes\nso", "And?", "No"))
    assert trained_stretches(template, encoded) == ["Yes\nso<|end|>", "No<|end|>"]


def test_a_tokenizer_that_composes_characters_can_be_masked(tmp_path: Path) -> None:
    """As Qwen's does: its tokens are those of the composed text."""
    tiny.make_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(path))
    template = ChatTemplate.load(tmp_path)
    encoded = template.encode(talk("e\u0301?", "cafe\u0301", "e\u0301", "u\u0308ber"))
    assert trained_stretches(template, encoded) == ["café<|im_end|>", "über<|im_end|>"]


def test_a_character_that_the_tokenizer_does_not_know_is_named_as_the_reason(
    tmp_path: Path,
) -> None:
    tiny.make_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.model = models.WordLevel({"known": 0, "?": 1}, "?")
    tokenizer.save(str(path))
    with pytest.raises(MaskError, match="tokens don't give its text back"):
        ChatTemplate.load(tmp_path).encode(talk("Hi", "Yes"))


def test_the_cut_and_padding_that_a_tokenizer_was_saved_with_are_undone(tmp_path: Path) -> None:
    tiny.make_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(path))
    template = ChatTemplate.load(tmp_path)
    assert trained_stretches(template, template.encode(talk("Hi", "Y" * 100))) == [
        "Y" * 100 + "<|im_end|>"
    ]
    assert trained_stretches(template, template.encode(talk("Hi", "Y"))) == ["Y<|im_end|>"]
