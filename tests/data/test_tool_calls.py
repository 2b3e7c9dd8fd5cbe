from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests import tiny
from workbench.data import browse, split, versions
from workbench.data.curate.findings import Finding, Span, parts
from workbench.data.curate.redaction import redact
from workbench.data.example import Example, Message, ToolCall
from workbench.data.formats import RowError, to_examples
from workbench.data.importing import Options, import_files
from workbench.data.rows import open_rows
from workbench.data.template import ChatTemplate, MaskError
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'assistant' and m.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if m.content %}{{ '\\n' + m.content }}{% endif %}
        {%- for call in m.tool_calls %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif m.role == 'tool' %}
        {%- if messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}
        {{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
]
CALLS = [
    {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"unit": "C", "at": "Köln"}'},
    },
    {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": {"at": "Bonn"}}},
]
ROW: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "Is it warm?"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "content": "20", "tool_call_id": "c1"},
        {"role": "tool", "content": "21", "tool_call_id": "c2", "name": "weather"},
        {"role": "assistant", "content": "Yes"},
    ],
    "tools": TOOLS,
}


def example(row: dict[str, Any] = ROW) -> Example:
    (made,) = to_examples(row)
    return made


def test_calls_and_tools_are_kept_with_their_fields_in_order() -> None:
    made = example()
    assert made.messages[1].calls == (
        ToolCall("weather", '{"unit": "C", "at": "Köln"}', "c1"),
        ToolCall("weather", '{"at": "Bonn"}', "c2"),
    )
    assert made.messages[2] == Message("tool", "20", call_id="c1")
    assert json.loads(made.tools) == TOOLS and made.extra == {}
    assert Example.from_json(json.loads(made.to_line())) == made
    assert made.id != replace(made, tools="").id
    assert to_examples({**made.to_json(), "split": "x"})[0] == replace(made, extra={})


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                ROW["messages"][0],
                {"role": "assistant", "function_call": CALLS[0]["function"]},
                {"role": "function", "name": "weather", "content": "20"},
                ROW["messages"][-1],
            ],
            "functions": [TOOLS[0]["function"]],
        },
        {
            "conversations": [
                {"from": "human", "value": "Is it warm?"},
                {"from": "function_call", "value": json.dumps(CALLS[0]["function"])},
                {"from": "observation", "value": "20"},
                {"from": "gpt", "value": "Yes"},
            ],
            "tools": json.dumps([TOOLS[0]["function"]]),
        },
    ],
)
def test_older_forms_and_sharegpt_s_mean_the_same(row: dict[str, Any]) -> None:
    made = example(row)
    assert made.messages[1].calls == (ToolCall("weather", '{"unit": "C", "at": "Köln"}'),)
    assert json.loads(made.tools) == TOOLS


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({}, "`messages[1].tool_calls[0]` is no call of a tool"),
        ({"function": {"name": ""}}, "has no function with a name"),
        ({"function": {"name": "f", "arguments": "x"}}, "arguments` is not a JSON object"),
        ({"function": {"name": "f", "arguments": [1]}}, "arguments` is a list, not a JSON object"),
        ({"function": {"name": "f", "arguments": '{"a": "\\ud83d"}'}}, "what no JSON text can"),
        ({"function": {"name": "f", "arguments": '{"a": NaN}'}}, "what no JSON text can"),
    ],
)
def test_what_is_no_call_is_refused(call: dict[str, Any], reason: str) -> None:
    turns = [ROW["messages"][0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    with pytest.raises(RowError) as caught:
        to_examples({"messages": turns})
    assert reason in str(caught.value)


def test_a_row_without_calls_has_the_line_and_the_id_that_it_had() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    made = example({"messages": turns, "tools": []})
    assert made.extra == {"tools": []} and made.tools == ""
    assert json.loads(made.to_line())["messages"] == turns


def learnt(template: ChatTemplate, row: Example) -> str:
    encoded = template.encode(row)
    ids = [id for id, trained in zip(encoded.ids, encoded.trained, strict=True) if trained]
    return template.decode(ids, skip_special=False)


def test_the_turn_that_calls_is_learnt_and_what_the_tool_answers_is_not(tmp_path: Path) -> None:
    tiny.make_tokenizer(tmp_path, QWEN)
    template = ChatTemplate.load(tmp_path)
    call = (
        '<tool_call>\n{"name": "weather", "arguments": {"unit": "C", "at": "Köln"}}\n</tool_call>'
    )
    second = '<tool_call>\n{"name": "weather", "arguments": {"at": "Bonn"}}\n</tool_call>'
    assert learnt(template, example()) == f"{call}\n{second}<|im_end|>Yes<|im_end|>"
    said = json.loads(json.dumps(ROW))
    said["messages"][1]["content"] = "Let me see"
    assert learnt(template, example(said)).startswith("Let me see\n<tool_call>")
    ends_with_it = example({**ROW, "messages": ROW["messages"][:2]})
    assert learnt(template, ends_with_it) == f"{call}\n{second}<|im_end|>"
    prompt = template.decode(template.prompt_of(ends_with_it), skip_special=False)
    assert prompt.startswith("<|im_start|>system\nTools:\n{") and prompt.endswith("assistant\n")
    assert '"weather"' in ends_with_it.response


def test_the_text_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    tiny.make_tokenizer(tmp_path, QWEN)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    as_objects = json.loads(json.dumps(ROW["messages"]))
    arguments = as_objects[1]["tool_calls"][0]["function"]
    arguments["arguments"] = json.loads(arguments["arguments"])
    text = theirs.apply_chat_template(as_objects, tools=TOOLS, tokenize=False)
    assert ChatTemplate.load(tmp_path).encode(example()).text == text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("{%- if tools %}", "{%- if false %}"), "leaves out the tools that the row offers"),
        (("m.tool_calls %}", "false %}"), "leaves out the name of a call of a tool"),
        (("call.function.arguments | tojson", "'{'"), "leaves out the arguments of a call"),
        (("{%- if m.content %}", "{%- if false %}"), "leaves out what is said before a call"),
        (("        {{- '<|im_end|>\\n' }}\n    {%- elif", "    {%- elif"), "no end marker after a"),
    ],
)
def test_a_template_that_can_t_write_calls_is_refused_in_words(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    assert change[0] in QWEN
    tiny.make_tokenizer(tmp_path, QWEN.replace(*change))
    row = json.loads(json.dumps(ROW))
    row["messages"][1]["content"] = "Let me see"
    with pytest.raises(MaskError) as caught:
        ChatTemplate.load(tmp_path).encode(example(row))
    assert reason in caught.value.message


def test_rows_with_calls_go_through_an_import_and_are_looked_at(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    other = json.loads(json.dumps(ROW))
    other["messages"][1]["tool_calls"][0]["function"]["arguments"] = '{"at": "Ulm"}'
    path = write_rows({**ROW, "n": 1}, ROW, other)
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    rows = list(versions.read(version))
    assert [row.id for row in rows] == [example().id, example(other).id], "no more is a duplicate"
    looked = browse.look(open_rows(version.data_path), 0)
    assert looked.examples == (rows[0],) and not looked.problem
    assert split.leaking([rows[0], replace(rows[1], split="validation")])


def test_what_a_tool_is_called_with_is_redacted(workspace: Workspace) -> None:
    made = example()
    where = "messages[1].tool_calls[0].arguments"
    text = next(part.text for part in parts(made) if part.where == where)
    start = text.index("Köln")
    finding = Finding(0, "place", "", None, (Span(where, start, start + 4, ""),))
    clean = redact(made, [finding])
    assert clean.messages[1].calls[0].function["arguments"]["at"] == "[PLACE_1]"
    assert clean.messages[1].calls[1] == made.messages[1].calls[1]
    too_far = Finding(0, "place", "", None, (Span(where, start, start + 5, ""),))
    with pytest.raises(WorkbenchError, match="can't be redacted"):
        redact(made, [too_far])
