from __future__ import annotations

import json
from typing import Any

import pytest

from workbench.data.example import Example
from workbench.data.formats import END_MARKERS, RowError, to_examples, without_end_markers

Row = dict[str, Any]
HI, YES = ("user", "Hi"), ("assistant", "Yes")


def turns_of(row: Row) -> list[tuple[str, str]]:
    (example,) = to_examples(row)
    return [(message.role, message.content) for message in example.messages]


def turns(*pairs: tuple[str, Any], role: str = "role", text: str = "content") -> list[Row]:
    return [{role: who, text: what} for who, what in pairs]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Hi", "output": "Yes"},
        {"instruction": "Hi", "input": "", "output": "Yes"},
        {"instruction": "Hi", "input": None, "output": "Yes"},
        {"instruction": "Hi", "context": "", "response": "Yes"},
        {"prompt": "Hi", "completion": "Yes"},
        {"prompt": "Hi", "response": "Yes"},
        {"question": "Hi", "answer": "Yes"},
        {"input": "Hi", "output": "Yes"},
        {"messages": turns(HI, YES)},
        {"messages": turns(("user", [{"type": "text", "text": "Hi"}]), YES)},
        {"messages": turns(("user", [{"type": "text", "text": t} for t in "Hi"]), YES)},
        {"conversations": turns(("human", "Hi"), ("gpt", "Yes"), role="from", text="value")},
        {"conversation": turns(("user", "Hi"), ("chatgpt", "Yes"), role="from", text="value")},
        {"instruction": "Hi", "instances": [{"input": "", "output": "Yes"}]},
        {"messages": [{**turns(HI)[0], "weight": 0}, {**turns(YES)[0], "weight": 1}]},
        {"messages": [*turns(HI), {**turns(YES)[0], "weight": None, "reasoning_content": ""}]},
        {"instruction": "Hi", "instances": [{"output": "Yes"}]},
    ],
)
def test_each_format_gives_the_same_conversation(row: Row) -> None:
    assert turns_of(row) == [HI, YES]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "Yes", "rejected": "No"},
        {"prompt": turns(HI), "chosen": turns(YES), "rejected": turns(("assistant", "No"))},
        {"prompt": "Hi", "chosen": turns(YES), "rejected": turns(("assistant", "No"))},
        {"chosen": turns(HI, YES), "rejected": turns(HI, ("assistant", "No"))},
        {"prompt": "Hi", "chosen": turns(HI, YES), "rejected": "No", "score": 0.5},
        {"prompt": json.dumps(turns(HI)), "chosen": json.dumps(turns(YES)), "rejected": "No"},
    ],
)
def test_the_chosen_answer_of_a_pair_is_the_response_and_nothing_else_is_lost(row: Row) -> None:
    (example,) = to_examples(row)
    assert turns_of(row) == [HI, YES]
    assert example.extra["rejected"] == row["rejected"]
    whole = isinstance(row["chosen"], list) and len(row["chosen"]) == 2
    assert set(example.extra) == set(row) - ({"chosen"} if whole else {"prompt", "chosen"})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"chosen": "Yes", "rejected": "No"}, "no `prompt` beside `chosen`"),
        ({"prompt": "Hi", "chosen": None, "rejected": "No"}, "`chosen` is null, not text"),
        ({"prompt": "Hi", "chosen": "", "rejected": "No"}, "`chosen`"),
        ({"prompt": "Hi", "chosen": "Yes"}, "no response beside `prompt`"),
    ],
)
def test_a_pair_that_is_none_is_refused_with_its_field(row: Row, told: str) -> None:
    with pytest.raises(RowError, match=told):
        to_examples(row)


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Sum up", "input": "A text", "output": "Yes"},
        {"instruction": "Sum up", "context": "A text", "response": "Yes"},
        {"question": "Sum up", "context": "A text", "answer": "Yes"},
        {"instruction": "Sum up", "instances": [{"input": "A text", "output": "Yes"}]},
    ],
)
def test_what_a_prompt_is_about_follows_it_after_an_empty_line(row: Row) -> None:
    assert turns_of(row) == [("user", "Sum up\n\nA text"), YES]


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Be brief", "prompt": "Hi", "completion": "Yes"},
        {"system": "Be brief", "instruction": "Hi", "instances": [{"output": "Yes"}]},
        {"system": "Be brief", "messages": turns(HI, YES)},
        {"system": "Be brief", "messages": turns(("system", "Be brief"), HI, YES)},
        {"messages": turns(("developer", "Be brief"), HI, YES)},
        {
            "system": "Be brief",
            "conversations": turns(("human", "Hi"), ("gpt", "Yes"), role="from"),
        },
    ],
)
def test_a_system_field_or_turn_is_the_system_turn(row: Row) -> None:
    assert turns_of(row) == [("system", "Be brief"), HI, YES]


def test_an_empty_system_field_is_no_turn() -> None:
    for empty in ("", None):
        assert turns_of({"system": empty, "prompt": "Hi", "completion": "Yes"}) == [HI, YES]


def test_each_instance_is_an_example() -> None:
    row = {"instruction": "Add", "instances": [{"input": "1 1", "output": "2"}, {"output": 0}]}
    found = [(e.instruction, e.response) for e in to_examples(row)]
    assert found == [("Add\n\n1 1", "2"), ("Add", "0")]


def test_a_conversation_keeps_all_its_turns_and_its_tools_answers() -> None:
    spoken = (HI, ("assistant", "Let me see"), ("tool", "42"), YES, HI, YES)
    assert turns_of({"messages": turns(*spoken)}) == list(spoken)


def test_numbers_are_text_as_they_are_written() -> None:
    assert turns_of({"question": "6 x 7", "answer": 42})[1] == ("assistant", "42")


def test_task_source_and_other_fields_have_their_place() -> None:
    row = {"prompt": "Hi", "completion": "Yes", "task": "chat", "split": "test", "id": 7}
    (example,) = to_examples(row, source="a.jsonl:3")
    assert (example.task, example.source, example.extra) == ("chat", "a.jsonl:3", {"id": 7})
    (example,) = to_examples(row, task="other")
    assert example.task == "other"
    (example,) = to_examples({"prompt": "Hi", "completion": "Yes", "task": 5})
    assert (example.task, example.extra) == ("", {"task": 5})


@pytest.mark.parametrize("history", [[["a", "b"]], '[["a", "b"]]', [], "", "[]", None])
def test_history_goes_before_the_pair_where_there_is_some(history: Any) -> None:
    earlier = [("user", "a"), ("assistant", "b")] if history and history != "[]" else []
    assert turns_of({**PAIR, "history": history}) == [*earlier, HI, YES]


LONE = {"prompt": "Hi"}
PAIR = {"instruction": "Hi", "output": "Yes"}
REFUSED: list[tuple[Any, str]] = [
    (5, "it is a number, not an object"),
    ([], "it is a list, not an object"),
    (None, "it is null, not an object"),
    ("Hi", "it is text, not an object"),
    (True, "it is true or false, not an object"),
    ({}, "no known format: none"),
    ({"body": "Hi"}, "no known format: body; known are messages"),
    ({"text": " \n"}, "`text`: the text is empty"),
    ({"text": "</s>\n"}, "`text`: the text is empty"),
    ({"text": None}, "`text` is null, not text"),
    ({"text": "Hi", "system": "Be brief"}, "`system`: plain text has no system turn"),
    ({"text": "Hi", "answer": "Yes"}, "no prompt beside `answer`"),
    (LONE, "no response beside `prompt` (such as `completion`); it has prompt"),
    ({"question": "Hi", "answers": ["Yes"]}, "no response beside `question`"),
    ({"completion": "Yes"}, "no prompt beside `completion` (such as `prompt`)"),
    ({**LONE, "completion": None}, "`completion` is null, not text"),
    ({**LONE, "completion": ["Yes"]}, "`completion` is a list, not text"),
    ({**LONE, "completion": {"a": 1}}, "`completion` is an object, not text"),
    ({**LONE, "completion": True}, "`completion` is true or false, not text"),
    ({**LONE, "completion": " \n"}, "`completion`: the response is empty"),
    ({**LONE, "completion": "<|endoftext|>"}, "`completion`: the response is empty"),
    ({**LONE, "completion": "</s>\n</s> "}, "`completion`: the response is empty"),
    ({"prompt": " ", "completion": "Yes"}, "`prompt`: the prompt is empty"),
    ({**LONE, "completion": "Yes", "system": {}}, "`system` is an object, not text"),
    ({"instruction": "Hi", "input": {}, "output": "Yes"}, "`input` is an object, not text"),
    ({"instruction": "Hi", "instances": []}, "`instances` is not a list with something in it"),
    ({"instruction": "Hi", "instances": {}}, "`instances` is not a list with something in it"),
    ({"instruction": "Hi", "instances": [5]}, "`instances[0].output`: there is no response"),
    (
        {"instruction": "Hi", "instances": [{"output": "a"}, {"output": ""}]},
        "`instances[1].output`: the response is empty",
    ),
    (
        {"instruction": "Hi", "instances": [{"input": {}, "output": "a"}]},
        "`instances[0].input` is an object, not text",
    ),
    ({**PAIR, "history": "notalist"}, "`history` is text, not a list of pairs"),
    ({**PAIR, "history": [["a"]]}, "`history[0]` is not a pair of prompt and response"),
    ({**PAIR, "history": [["a", None]]}, "`history[0][1]` is null, not text"),
    ({"messages": []}, "`messages` is not a list of turns"),
    ({"messages": "Hi"}, "`messages` is not a list of turns"),
    ({"conversations": None}, "`conversations` is not a list of turns"),
    ({"messages": ["Hi"]}, "`messages[0]` is text, not a turn"),
    ({"messages": [{"content": "Hi"}]}, "`messages[0].role` is null, which is no known role"),
    ({"messages": turns(("bard", "Hi"))}, "`messages[0].role` is 'bard', which is no known role"),
    ({"messages": [{"role": ["user"], "content": "Hi"}]}, "`messages[0].role` is a list"),
    ({"messages": [{"role": "user"}]}, "`messages[0]` has no content"),
    (
        {"conversations": [{"from": "human", "value": 1}, {"from": "gpt", "value": None}]},
        "`conversations[1].value` is null, not text",
    ),
    (
        {"messages": [*turns(HI), {**turns(YES)[0], "weight": 0}, *turns(HI, YES)]},
        "`messages[1].weight` is 0, and every response is learnt from alike",
    ),
    (
        {"conversations": [*turns(HI), {"from": "function_call", "value": "{}", "weight": 0.0}]},
        "`conversations[1].weight` is 0.0",
    ),
    ({"messages": [*turns(HI), {**turns(YES)[0], "weight": False}]}, "`messages[1].weight` is f"),
    (
        {"messages": [*turns(HI), {**turns(YES)[0], "reasoning_content": "Hm"}]},
        "`messages[1].reasoning_content`: reasoning beside the text would be lost; put it",
    ),
    ({"messages": [*turns(HI), {**turns(YES)[0], "thinking": "Hm"}]}, "`messages[1].thinking`: "),
    ({"messages": turns(HI)}, "`messages[0].content`: there is no response"),
    ({"messages": turns(YES)}, "`messages[0].content`: the conversation doesn't begin with"),
    ({"messages": turns(("tool", "x"), HI, YES)}, "doesn't begin with the user"),
    ({"messages": turns(HI, YES, HI)}, "`messages[2].content`: the conversation ends without"),
    ({"messages": turns(HI, YES, ("tool", "x"))}, "the conversation ends without a response"),
    ({"messages": turns(HI, HI, YES)}, "`messages[1].content`: two user turns follow"),
    ({"messages": turns(HI, YES, YES)}, "`messages[2].content`: two assistant turns follow"),
    ({"messages": turns(HI, ("assistant", ""))}, "`messages[1].content`: the response is empty"),
    ({"messages": turns(("user", []), YES)}, "`messages[0].content`: the prompt is empty"),
    (
        {"messages": turns(HI, YES, ("system", "x"), HI, YES)},
        "`messages[2].content`: a system turn stands inside",
    ),
    (
        {"system": "One", "messages": turns(("system", "Other"), HI, YES)},
        "`system` says another thing than the system turn `messages[0]`",
    ),
    (
        {"messages": [*turns(HI), {"role": "assistant", "content": "", "tool_calls": [{}]}]},
        "`messages[1].tool_calls[0]` is no call of a tool",
    ),
    (
        {"messages": [*turns(HI), {"role": "assistant", "content": "See", "tool_calls": [{}]}]},
        "`messages[1].tool_calls[0]` is no call of a tool",
    ),
    (
        {
            "messages": [
                *turns(HI),
                {"role": "assistant", "content": None, "function_call": {"a": 1}},
            ]
        },
        "`messages[1].function_call`",
    ),
    (
        {"messages": turns(("user", [{"type": "image_url", "image_url": {}}]), YES)},
        "`messages[0].content` is a list, not text",
    ),
]


@pytest.mark.parametrize(("row", "reason"), REFUSED)
def test_a_row_that_can_be_no_example_is_refused_by_field_and_reason(row: Any, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        to_examples(row)
    assert reason in str(caught.value)


@pytest.mark.parametrize("marker", END_MARKERS)
def test_another_template_s_end_marker_is_taken_off_responses_alone(marker: str) -> None:
    row = {"prompt": f"Hi{marker}", "completion": f"Yes, {marker} stays{marker}\n"}
    (example,) = to_examples(row, task="t", source="s")
    bare = without_end_markers(example)
    assert bare.instruction == f"Hi{marker}"
    assert bare.response == f"Yes, {marker} stays"
    assert (bare.task, bare.source) == ("t", "s")


def test_several_end_markers_are_all_taken_off() -> None:
    (example,) = to_examples({"prompt": "Hi", "completion": "Yes</s> <|endoftext|>\n</s>"})
    assert without_end_markers(example).response == "Yes"


def test_a_response_without_an_end_marker_stays_as_it_is() -> None:
    (example,) = to_examples({"prompt": "Hi", "completion": "Yes </s> no \n"})
    assert without_end_markers(example) is example


def test_an_example_survives_its_line() -> None:
    row = {"system": "S", "prompt": "é\u2028\n", "completion": '"日"', "id": [1, None]}
    (example,) = to_examples(row, task="t", source="a:1")
    assert "\n" not in example.to_line()
    assert Example.from_json(json.loads(example.to_line())) == example
    assert (example.system, example.response) == ("S", '"日"')
    assert [m.role for m in example.prompt] == ["system", "user"]


def test_a_row_of_text_alone_is_plain_text() -> None:
    row = {"text": " § 1 ½\n", "task": "law", "source": "code", "label": 1, "system": ""}
    (example,) = to_examples(row, source="law.jsonl:1")
    assert (example.text, example.messages, example.task) == (" § 1 ½\n", (), "law")
    assert example.extra == {"source": "code", "label": 1}
    assert (example.instruction, example.response, example.prompt) == ("", "", ())
    line = example.to_line()
    assert line.startswith('{"extra":') and "messages" not in line
    assert Example.from_json(json.loads(line)) == example


def test_text_beside_a_conversation_is_the_same_turns_once_more() -> None:
    """As in Alpaca, whose `text` is prompt and response pasted together."""
    row = {"instruction": "Hi", "input": "", "output": "Yes", "text": "### Hi ### Yes"}
    (example,) = to_examples(row)
    assert (example.response, example.text) == ("Yes", "")
    assert example.extra == {"text": "### Hi ### Yes"}


def test_an_end_marker_is_taken_off_plain_text() -> None:
    (example,) = to_examples({"text": "A law.<|endoftext|>\n", "id": 7})
    bare = without_end_markers(example)
    assert (bare.text, bare.extra) == ("A law.", {"id": 7})
    assert without_end_markers(bare) is bare
