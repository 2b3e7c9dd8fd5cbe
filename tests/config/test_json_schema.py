from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from workbench.config import json_schema, loading, yaml_reading
from workbench.config.conflicts import Conflicts
from workbench.config.fields import fields
from workbench.config.schema import RunConfig
from workbench.config.sweep import load as load_sweep

CHECK = Draft202012Validator(json_schema.json_schema())

GOOD = [
    "",
    "name: a\n",
    "data: {dataset: mine}\n",
    "lora:\n  # rank: 8\ntraining:\n",
    "lora:\n  target_modules: q_proj, v_proj\n",
    "lora:\n  target_modules: [q_proj, v_proj]\n",
    "lora:\n  target_modules: mlp\n",
    "lora:\n  target_modules: .*_proj\n",
    "lora:\n  modules_to_save: lm_head, norm\n",
    "lora:\n  modules_to_save:\n",
    "lora:\n  modules_to_save: []\n",
    "accept: mask-refused, responses-lost\n",
    "accept: [mask-refused]\n",
    "accept: ''\n",
    "training:\n  micro_batch: auto\n",
    "training:\n  micro_batch: 8\n",
    "training:\n  micro_batch:\n  max_steps: null\n",
    "training:\n  learning_rate: 1e-4\n  epochs: 3\n",
    "training:\n  learning_rate: '1e-4'\n  batch_size: '8'\n  seed: ' +8.0 '\n",
    "training:\n  max_steps: 1e3\n  seed: 017\n  skip_limit: 1_000\n",
    "training:\n  packing: no\n  rehearsal: 'off'\n  compile: True\n",
    "checkpoints: &e {every: 10}\nlogging: *e\n",
    "data:\n  mixture:\n    chat: 0.7\n    qa@0123: 3\n",
    "data:\n  mixture: chat=0.7, qa=3\n",
    "data:\n  mixture:\n",
    "evaluation:\n  metrics: exact_match, qa=rouge_l\n",
    "evaluation:\n  metrics: [exact_match, 'a b=chrf']\n  labels: [a b, c]\n",
    "evaluation:\n  pattern: ^a\n",
]
BAD = [
    "nmae: a\n",
    "name: has space\n",
    "name: 2024\n",
    "name:\n",
    "lora:\n  rnak: 8\n",
    "lora: 8\n",
    "lora: [8]\n",
    "lora:\n  rank: 0\n",
    "lora:\n  rank: 1025\n",
    "lora:\n  rank: 8.5\n",
    "lora:\n  rank: true\n",
    "lora:\n  rank: many\n",
    "lora:\n  rank:\n",
    "lora:\n  rank: [8]\n",
    "lora:\n  dropout: 1\n",
    "lora:\n  target_modules: []\n",
    "lora:\n  target_modules: ['']\n",
    "lora:\n  target_modules: [1]\n",
    "lora:\n  target_modules: ' '\n",
    "lora:\n  modules_to_save: {a: b}\n",
    "lora:\n  modules_to_save: [1]\n",
    "accept: [nonsense]\n",
    "accept: mask-refused, nonsense\n",
    "model:\n  new_tokens: [a, a]\n",
    "model:\n  new_tokens: [' ']\n",
    "model:\n  base: ''\n",
    "model:\n  quantization: 4bit\n",
    "model:\n  quantization: no\n",
    "training:\n  micro_batch: automatic\n",
    "training:\n  micro_batch: 0\n",
    "training:\n  micro_batch: 2.5\n",
    "training:\n  learning_rate: 0\n",
    "training:\n  learning_rate: yes\n",
    "training:\n  epochs: 1,5\n",
    "training:\n  packing: 1\n",
    "training:\n  packing: maybe\n",
    "training:\n  seed: 4294967296\n",
    "evaluation:\n  metrics: [my.module:function]\n",
    "evaluation:\n  metrics: exactly\n",
    "data:\n  mixture: {chat: 1}\n",
    "data:\n  mixture: {chat: 1, qa: 0}\n",
    "data:\n  mixture: {chat: 1, qa: much}\n",
    "data:\n  mixture: chat and qa\n",
]
CANT_SAY = [
    "lora:\n  target_modules: '(q_proj'\n",
    "lora:\n  rank: '0'\n",
    "evaluation:\n  patience: 2\n",
    "model: {quantization: int8}\ntraining: {method: full}\n",
]


def loads(body: dict[str, Any]) -> bool:
    """Whether each field is taken; what can't be had together is beside the point here."""
    try:
        loading.parse(body, origin="")
    except loading.ConfigError as error:
        assert isinstance(error.__cause__, ValidationError)
        causes = [item.get("ctx", {}).get("error") for item in error.__cause__.errors()]
        return all(isinstance(cause, Conflicts) for cause in causes)
    return True


def test_it_is_a_schema_of_its_draft() -> None:
    schema = json_schema.json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_default_config_is_in_order() -> None:
    body, _ = yaml_reading.read(loading.dump(RunConfig()), origin="")
    CHECK.validate(body)


@pytest.mark.parametrize("text", GOOD)
def test_it_takes_what_is_taken(text: str) -> None:
    body, _ = yaml_reading.read(text, origin="")
    assert loads(body)
    CHECK.validate(body)


@pytest.mark.parametrize("text", BAD)
def test_it_refuses_what_is_refused(text: str) -> None:
    body, _ = yaml_reading.read(text, origin="")
    assert not loads(body)
    assert not CHECK.is_valid(body)


@pytest.mark.parametrize("text", CANT_SAY)
def test_what_a_json_schema_can_t_say_is_said_by_the_reader(text: str) -> None:
    body, keys = yaml_reading.read(text, origin="")
    assert CHECK.is_valid(body)
    with pytest.raises(loading.ConfigError):
        loading.parse(body, origin="", keys=keys)


def test_schema_and_reader_agree_on_any_value_of_any_field() -> None:
    values: list[Any] = [None, True, False, 0, 1, -1, 2, 17, 5000, 2**40, 0.5, 1.5, 2.0, 1e-5, ""]
    values += ["a", "8", "1e-4", "x y", "true", "off", "auto", "none", "nf4", "a, b", "(", " ", "-"]
    values += [[], ["a"], ["a", "b"], ["a", 1], [None], {}, {"a": 1}]
    values += [
        {"a": 1, "b": 0.5},
        {"a": 1, "b": 0},
        "a=0.7, b: 3",
        "{a: 1e-5, c@1=2.}",
        "a=1",
        "a=",
    ]
    for field in fields():
        for value in [*values, field.default, *field.choices]:
            body = RunConfig().model_dump()
            section, _, name = field.path.rpartition(".")
            (body[section] if section else body)[name] = copy.deepcopy(value)
            patterns = ("lora.target_modules", "evaluation.pattern")
            beyond_words = field.path in patterns and value == "("
            beyond_words |= isinstance(value, str) and field.kind in ("int", "float")
            if not beyond_words:
                assert CHECK.is_valid(body) == loads(body), (field.path, value)


@pytest.mark.parametrize(
    ("sweep", "fits"),
    [
        ("{fields: {lora.rank: [8, 16]}, budget: 2}", True),
        ("{fields: {lora.rank: {values: [8]}, lora.alpha: {of: lora.rank}}, budget: 2}", True),
        ("{fields: {lora.dropout: {min: 0, max: 0.1}}, budget: '2', method: random}", True),
        ("{fields: {lora.rnak: [8]}, budget: 2}", False),
        ("{fields: {lora.rank: 8}, budget: 2}", False),
        ("{fields: {lora.rank: []}, budget: 2}", False),
        ("{fields: {lora.rank: [8]}, budget: 0}", False),
        ("{fields: {lora.rank: [8]}}", False),
        ("[8]", False),
    ],
)
def test_a_sweep_beside_the_fields_is_known(tmp_path: Path, sweep: str, fits: bool) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"name: a\nsweep: {sweep}\n", encoding="utf-8")
    assert CHECK.is_valid(loading.read(path).body) == fits
    with nullcontext() if fits else pytest.raises(loading.ConfigError):
        load_sweep(path)


def test_an_editor_shows_help_unit_default_and_source() -> None:
    schema = json_schema.json_schema()
    for field in fields():
        node = schema
        for name in field.path.split("."):
            node = node["properties"][name]
        for part in (field.help, field.unit, field.source, field.bounds):
            assert part in node["description"]
        assert node["default"] == field.default
    schedule = schema["properties"]["training"]["properties"]["schedule"]
    assert schedule["enum"] == ["cosine", "linear", "constant"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["lora"]["additionalProperties"] is False
