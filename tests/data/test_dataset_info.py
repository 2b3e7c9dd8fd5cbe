from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data import revising, versions
from workbench.data.importing import Options, import_files, recipe_of
from workbench.data.recipe import HubSource
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

ENTRIES: dict[str, Any] = {
    "plain": {"file_name": "alpaca.json"},
    "named": {
        "file_name": "named.json",
        "columns": {"prompt": "q", "query": "about", "response": "a", "history": "old"},
    },
    "docs": {"file_name": "docs.jsonl", "columns": {"prompt": "body"}},
    "talk": {
        "file_name": "talk.json",
        "formatting": "sharegpt",
        "columns": {"messages": "turns", "system": "sys", "tools": "tools"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "U"},
    },
    "hub": {"hf_hub_url": "owner/name", "subset": "main", "split": "test"},
    "preferences": {"file_name": "alpaca.json", "ranking": True},
    "kto": {"file_name": "alpaca.json", "columns": {"kto_tag": "label"}},
    "pictures": {"file_name": "alpaca.json", "columns": {"images": "images"}},
    "sampled": {"file_name": "alpaca.json", "num_samples": 5},
    "scripted": {"script_url": "x"},
    "gone": {"file_name": "gone.json"},
    "odd": {"file_name": "alpaca.json", "formatting": "xml"},
}
FILES = {
    "alpaca.json": [{"instruction": "Hi", "input": "there", "output": "Yes"}],
    "named.json": [{"q": "C", "about": "c", "a": "D", "old": [["A", "B"]]}],
    "docs.jsonl": {"body": "A text"},
    "talk.json": [
        {
            "turns": [
                {"role": "U", "content": "Hi"},
                {"role": "function_call", "content": '{"name": "look", "arguments": {"at": 1}}'},
                {"role": "observation", "content": "2"},
                {"role": "gpt", "content": "Two"},
            ],
            "sys": "Be",
            "tools": '[{"name": "look", "parameters": {}}]',
        }
    ],
}


@pytest.fixture
def info(tmp_path: Path) -> Path:
    for name, body in FILES.items():
        (tmp_path / name).write_text(json.dumps(body))
    path = tmp_path / "dataset_info.json"
    path.write_text(json.dumps(ENTRIES))
    return path


def turns(workspace: Workspace, origin: str) -> list[tuple[str, str]]:
    version = import_files(workspace, [origin], "made", Options(validation_share=0))
    (example,) = versions.read(version)
    return [(m.role, m.content) for m in example.messages] or [("text", example.text)]


def test_entries_say_which_file_and_which_fields(workspace: Workspace, info: Path) -> None:
    assert turns(workspace, f"{info}:plain") == [("user", "Hi\n\nthere"), ("assistant", "Yes")]
    assert turns(workspace, f"{info}:docs") == [("text", "A text")]
    assert [text for _, text in turns(workspace, f"{info}:named")] == ["A", "B", "C\n\nc", "D"]
    version = import_files(workspace, [f"{info}:talk"], "made", Options(validation_share=0))
    (example,) = versions.read(version)
    assert [m.role for m in example.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert example.messages[2].calls[0].function == {"name": "look", "arguments": {"at": 1}}
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    assert json.loads(example.tools) == [tool]
    (source,) = revising.recipe_of(version).to_json()["sources"]
    assert source["path"] == str(info.parent / "talk.json")
    assert source["mapping"]["roles"]["U"] == "user"


def test_an_entry_may_be_a_data_set_of_the_hub(info: Path) -> None:
    (source,) = recipe_of([f"{info}:hub"], "made", Options()).sources
    assert isinstance(source, HubSource)
    assert (source.hub, source.config, source.part) == ("owner/name", "main", "test")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "holds several data sets: it has plain, named, docs"),
        ("other", "has no data set other: it has plain"),
        ("preferences", "holds preferences"),
        ("kto", "holds preferences"),
        ("pictures", "has images: workbench trains on text alone"),
        ("sampled", "takes a sample of its rows at random"),
        ("scripted", "names its data by script_url"),
        ("gone", "There is no file"),
        ("odd", "has the formatting 'xml'"),
    ],
)
def test_what_can_t_be_trained_on_is_refused_in_words(info: Path, name: str, words: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        recipe_of([f"{info}:{name}" if name else info], "made", Options())
    assert words in caught.value.message
