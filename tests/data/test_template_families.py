"""Each public family's template, proved row by row: a response and its end are learnt."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.data.families import DEEPSEEK_R1, FAMILIES, TODAY, Family
from tests.data.stretches import trained_stretches
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate, MaskError

RESPONSES = [
    "Hello, you",
    "日本 🎉 👩\u200d🚀 e\u0301 \u202e",
    "def f(x):\n\treturn {'a': x}  # <|no|> {{ x }}\n\n```py\nf(1)\n```",
    "1. one\n\n2. two\n\n- three",
    "  padded \n",
    "\n\nafter line ends",
    "before line ends\n\n",
    "user\nassistant\n[/INST",
]
PROMPTS = ["Hi", " padded \n", "日本?", "{{ bos_token }}{% endfor %}", "a\n\n\nb"]


def rows(family: Family) -> list[Example]:
    """Rows of every kind that the family has a form for, each response in each kind."""
    found = []
    for place, response in enumerate(RESPONSES):
        prompt, later = PROMPTS[place % len(PROMPTS)], RESPONSES[(place + 3) % len(RESPONSES)]
        turns = [("user", prompt), ("assistant", response)]
        more = [*turns, ("user", "And?"), ("assistant", later)]
        calls = [*turns, ("tool", f"{place} 度"), ("tool", '{"a": 1}'), ("assistant", later)]
        kinds = [turns]
        kinds += [more] if "turns" in family.takes else []
        kinds += [[*calls, ("user", "So?"), *turns[1:]]] if "tool" in family.takes else []
        systems = ["Be brief", "日\n"] if "system" in family.takes else []
        found += kinds + [[("system", system), *kind] for system in systems for kind in kinds]
    return [Example(tuple(Message(*turn) for turn in turns)) for turns in found]


@pytest.mark.parametrize("name", FAMILIES)
def test_of_each_row_the_responses_and_their_ends_are_learnt(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    template = family.load(tmp_path)
    for example in rows(family):
        encoded = template.encode(example)
        wanted = [
            family.lead + family.writes(m.content) + family.end
            for m in example.messages
            if m.role == "assistant"
        ]
        assert trained_stretches(template, encoded) == wanted, example
        assert template.decode(encoded.ids, skip_special=False) == encoded.text
        # What stands before the last response is, to the token, what a model is asked.
        asked = template.prompt_of(example)
        assert encoded.ids[: len(asked)] == asked
        assert encoded.trained[len(asked)]


@pytest.mark.parametrize("name", [n for n, f in FAMILIES.items() if "system" in f.takes])
def test_an_empty_system_turn_teaches_the_same(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    template = family.load(tmp_path)
    turns = (Message("user", "Hi"), Message("assistant", "Yes"))
    encoded = template.encode(Example((Message("system", ""), *turns)))
    assert trained_stretches(template, encoded) == [f"{family.lead}Yes{family.end}"]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_ends_where_a_response_was_learnt_to_end(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    template = family.load(tmp_path)
    ends = {template.decode([id], skip_special=False) for id in template.stop_ids}
    last = family.eos if family.end.endswith(family.eos) else family.end
    assert ends == {last, family.eos}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_date_decides_the_tokens_of_those_alone_that_write_it(
    name: str, tmp_path: Path
) -> None:
    family = FAMILIES[name]
    template = family.load(tmp_path)
    later = ChatTemplate.load(tmp_path, today=date(2025, 3, 10))
    example = Example((Message("user", "Hi"), Message("assistant", "Yes")))
    assert (later.encode(example) != template.encode(example)) == family.dated
    assert (later.encoding_key() != template.encoding_key()) == family.dated
    assert not family.dated or str(TODAY.year) in template.encode(example).text
    assert later.fingerprint() == template.fingerprint()


def talk(*turns: tuple[str, str]) -> Example:
    return Example(tuple(Message(*turn) for turn in turns))


THOUGHT = "<think>\nIs it?\n\nIt is.\n</think>\n\nYes"


@pytest.mark.parametrize("name", ["Qwen 3", "SmolLM3"])
def test_a_thought_is_learnt_with_its_response(name: str, tmp_path: Path) -> None:
    template = FAMILIES[name].load(tmp_path)
    example = talk(("user", "Is it?"), ("assistant", THOUGHT))
    encoded = template.encode(example)
    assert trained_stretches(template, encoded) == [f"{THOUGHT}<|im_end|>"]
    asked = template.prompt_of(example)
    assert encoded.ids[: len(asked)] == asked
    assert template.decode(asked, skip_special=False).endswith("<|im_start|>assistant\n")


def test_a_model_that_shall_not_think_is_asked_as_it_was_taught(tmp_path: Path) -> None:
    template = FAMILIES["Qwen 3"].load(tmp_path)
    example = talk(("user", "Is it?"), ("assistant", "Yes"))
    asked = template.decode(template.prompt_of(example), skip_special=False)
    assert asked.endswith("assistant\n<think>\n\n</think>\n\n")
    assert template.prompt_of(example) == template.prompt_ids(example.prompt)


HI, YES, TOOL = ("user", "Hi"), ("assistant", "Yes"), ("tool", "4")
REFUSED = [
    ("Qwen 3", [HI, ("assistant", THOUGHT), HI, YES], "changes a response once turns follow it"),
    ("Qwen 3", [HI, YES, HI, YES], "changes what stands before a response once turns follow"),
    ("Qwen 3", [HI, ("assistant", "<think>So</think>Yes")], "rewrites the response"),
    # It writes the system turn into a user's turn that is the last one, and nowhere else.
    ("Mistral v3", [("system", "S"), HI, YES], "does not keep what stands before a response"),
    ("Mistral v3", [HI, YES, TOOL, YES], "a tool turn needs the id of its call"),
    ("Gemma 3", [HI, YES, TOOL, YES], "user and assistant must take turns"),
    ("Phi-4", [HI, YES, TOOL, YES], "leaves out the tool turn"),
    ("OLMo 2", [HI, YES, TOOL, YES], "leaves out the tool turn"),
]


@pytest.mark.parametrize(("name", "turns", "reason"), REFUSED)
def test_what_a_family_has_no_form_for_is_refused_with_the_reason(
    name: str, turns: list[tuple[str, str]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(MaskError, match=reason):
        FAMILIES[name].load(tmp_path).encode(talk(*turns))


def test_a_family_that_is_asked_to_think_and_taught_not_to_is_refused(tmp_path: Path) -> None:
    family = Family(DEEPSEEK_R1, FAMILIES["DeepSeek V3"].special, "<｜end▁of▁sentence｜>", "")
    with pytest.raises(MaskError, match="does not keep what stands before a response"):
        family.load(tmp_path).encode(talk(HI, YES))
