from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from workbench.config import loading, saving, yaml_reading
from workbench.config.fields import ConfigField, fields
from workbench.config.rewriting import rewrite
from workbench.config.schema import RunConfig
from workbench.config.yaml_places import Text
from workbench.errors import WorkbenchError

HAND = """\
# my run
name:   "first"     # aligned

lora:
    rank: 8         # four spaces here
    alpha:   16     # aligned
    target_modules: [q_proj,v_proj]  # tight

training:
  learning_rate: 1e-4
  epochs: 3.
  seed: 0x10
  batch_size:   &b 4
  # packing: no
model:
  new_tokens:
  - "<a>"
  - '<b>'   # b
evaluation: {batch_size: *b,   every: 5}
data:
  dataset: sft@0123456789ab
  max_length: 1_024
  train_rows:      # all of them
  validation_rows: ~
accept:
    - responses-lost
checkpoints:

    every: 100
"""
BLOCKS = """\
%YAML 1.1
---
# yaml-language-server: $schema=.schema.json
lora:            # adapter

  # above
  target_modules:   # which
    # q and v
    - q_proj  # q
    # between
    - "v_proj"  # v

    - k_proj
  # rank: 8
  modules_to_save:
  - lm_head   # head
  alpha: 2.0   # odd
model:
  base: >-   # folded
    /models/a
    b
  new_tokens:
  - |
    multi
    line
data:     # empty
  # dataset: x
name: |-
  first
# last
...
"""
ANCHORS = """\
checkpoints: &e   # anchored
  every: 10  # ten
logging: *e   # the same
training:
    batch_size: &b !!int "8"  # b
    accumulation: 2
    max_steps: &n
    micro_batch: *b
evaluation:
    batch_size: *b
    against: &l [a, b]
    <<: &m {every: 5, patience: 3}
accept: []
model:
  new_tokens: *l
sweep:
  parameters: {training.batch_size: [*b, 16], x: *e, y: *l}  # grid
"""
BRACES = """\
{name: x,  # first
 lora: {rank: 8, # r
   target_modules: [q_proj,  # q
     v_proj   # v
   ]
 },
 training: {epochs: 2, max_steps: },  # t
}
"""
QUESTIONS = """\
? name
: x   # n
? lora
:
  ? rank
  : 8  # r
  ? modules_to_save
  : - a  # a
    - b
training: ~   # none
evaluation: {}   # e
"""
JSON = '{"name": "x", "lora": {"rank": 8, "target_modules": ["q_proj"]}, "training": {}}'
TEXTS = {
    "hand": HAND,
    "blocks": BLOCKS,
    "anchors": ANCHORS,
    "braces": BRACES,
    "questions": QUESTIONS,
    "json": JSON,
    "windows": HAND.replace("\n", "\r\n"),
    "bom": "\ufeff" + HAND,
    "indented": "  name: x\n  lora:\n      rank: 8",
    "comments": "# only comments\n# lora:\n",
    "nothing": "",
    "null": "null # x\n",
    "dumped": loading.dump(RunConfig()),
}
NAMES = ["q_proj", "v_proj", "lm_head", "a, b: #1", "<tool>", "Größe", "1e5", "yes", "it's", "{x}"]
NAMES += ["- y", "a\nb", "null", "0o17", " x", "x:", "#c", "017", "2024-10-01", "1:30", "=", "~"]


def meaning(text: str) -> RunConfig:
    body, keys = yaml_reading.read(text, origin="The config")
    return loading.parse(
        {key: value for key, value in body.items() if key != "sweep"}, origin="", keys=keys
    )


def comments(text: str) -> Counter[str]:
    return Counter(text[start:end] for start, end in Text(text).comments)


def changed(text: str, *settings: str) -> str:
    return rewrite(text, loading.parse(meaning(text).model_dump(), settings, origin=""))


def any_value(chance: random.Random, field: ConfigField) -> Any:
    values = [field.default, *field.choices]
    if field.kind == "bool":
        values = [True, False]
    elif field.minimum is not None and field.maximum is not None:
        few = [1, 2, 3, 8, 64, 100, 4_000_000]
        if field.kind == "float":
            few += [0.0001, 1e-05, 2e-4, 1e-7, 0.1 + 0.2, 1.5]
        values += [value for value in few if field.minimum < value < field.maximum]
    elif field.path == "name":
        values += ["a", "2024", "1e5", "true", "2024-10-01", "0o17", "null"]
    elif field.path == "accept":
        values += [["mask-refused"], ["responses-lost", "mask-refused"]]
    elif field.path == "data.mixture":
        values += [{"a": 1.0, "b": 0.3}, {"a": 2.0, "c@1": 0.3, "b": 1e-05}]
    elif isinstance(field.default, list):
        values += [chance.sample(NAMES, count) for count in (1, 2, 3)]
    elif field.path == "lora.target_modules":
        values += ["mlp", ["q_proj"], chance.sample(NAMES, 3), ".*_proj$"]
    elif field.kind == "text":
        values += NAMES
    return chance.choice(values)


def any_change(chance: random.Random, config: RunConfig) -> RunConfig:
    while True:
        body = config.model_dump()
        for field in chance.sample(fields(), chance.choice([1, 1, 2, 3, 8, 30])):
            section, _, name = field.path.rpartition(".")
            (body[section] if section else body)[name] = any_value(chance, field)
        try:
            return RunConfig.model_validate(body)
        except ValidationError:  # what can't be had together
            continue


@pytest.mark.parametrize("name", TEXTS)
def test_any_change_is_what_the_text_means_and_every_comment_stays(name: str) -> None:
    chance = random.Random(name)
    for _ in range(3):
        text = TEXTS[name]
        for _ in range(2):
            before = meaning(text)
            config = any_change(chance, before)
            after = rewrite(text, config)
            assert meaning(after) == config
            assert comments(after) == comments(text)
            assert rewrite(after, config) == after
            sweep = yaml_reading.value(text) or {}
            assert (yaml_reading.value(after) or {}).get("sweep") == sweep.get("sweep")
            if name == "json":
                json.loads(after)
            if name == "windows":
                assert "\n" not in after.replace("\r\n", "")
            text = after


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_changed_is_the_same_to_the_byte(name: str) -> None:
    assert rewrite(TEXTS[name], meaning(TEXTS[name])) == TEXTS[name]


def test_only_the_changed_values_change() -> None:
    after = changed(
        HAND, "lora.rank=32", "name=second", "training.learning_rate=2e-5", "data.train_rows=9"
    )
    assert after == (
        HAND.replace("rank: 8  ", "rank: 32  ")
        .replace('"first"', '"second"')
        .replace("1e-4", "2.0e-05")
        .replace("train_rows:  ", "train_rows: 9  ")
    )


def test_a_field_that_is_not_there_comes_to_its_section() -> None:
    after = changed(HAND, "lora.dropout=0.1", "evaluation.samples=0", "job.gpus=2")
    assert after == (
        HAND.replace("# tight\n", "# tight\n    dropout: 0.1\n").replace(
            "every: 5}", "every: 5, samples: 0}"
        )
        + "\njob:\n  gpus: 2\n"
    )
    assert changed("", "name=x", "lora.rank=8") == "name: x\nlora:\n  rank: 8\n"
    assert changed("lora:  # r\n  # rank: 4\n", "lora.rank=8", "name=x") == (
        "name: x\nlora:  # r\n  rank: 8\n  # rank: 4\n"
    )


def test_what_is_at_its_default_and_not_there_stays_away() -> None:
    assert changed("lora:\n  rank: 8\n", "lora.rank=16") == "lora:\n  rank: 16\n"


def test_the_lines_of_a_list_keep_their_comments() -> None:
    text = (
        "lora:\n  target_modules:\n    - q_proj  # queries\n    - k_proj  # keys\n    - v_proj\n"
        "  alpha: 3\n"
    )
    after = changed(text, "lora.target_modules=k_proj, v_proj, o_proj")
    assert after == (
        "lora:\n  target_modules:\n    # queries\n    - k_proj  # keys\n    - v_proj\n"
        "    - o_proj\n  alpha: 3\n"
    )
    assert changed(text, "lora.target_modules=mlp") == (
        "lora:\n  # queries\n  # keys\n  target_modules: mlp\n  alpha: 3\n"
    )


def test_the_lines_of_a_mixture_keep_their_comments() -> None:
    text = "data:\n  mixture:\n    chat: 0.7  # talk\n    qa: 3   # questions\n  max_length: 99\n"
    assert changed(text, "data.mixture=chat=0.5, qa=3, law=1") == (
        text.replace("0.7", "0.5").replace("# questions\n", "# questions\n    law: 1.0\n")
    )
    assert changed(text, "data.mixture=qa=3, law=1") == (
        text.replace("chat: 0.7  #", "#").replace("# questions\n", "# questions\n    law: 1.0\n")
    )


def test_what_another_field_refers_to_keeps_its_value_there() -> None:
    after = HAND.replace("&b 4", "2").replace("*b,", "&b 4,")
    assert changed(HAND, "training.batch_size=2") == after
    after = changed(ANCHORS, "checkpoints.every=20", "training.batch_size=2")
    assert yaml_reading.value(after)["sweep"] == yaml_reading.value(ANCHORS)["sweep"]
    assert meaning(after).logging.every == 10
    assert meaning(after).evaluation.batch_size == 8
    assert comments(after) == comments(ANCHORS)


def test_a_sweep_stays_as_it_is() -> None:
    sweep = "sweep:  # over two\n  grid:\n    lora.rank: [8,   16]\n"
    text = f"name: x\n{sweep}lora: {{rank: 4}}\n"
    assert sweep in changed(text, "lora.rank=8", "lora.alpha=9", "name=y", "job.gpus=1")


def test_a_value_that_can_t_be_is_mended() -> None:
    text = "lora:\n  rank: 0  # too small\n  alpha: many\n"
    assert rewrite(text, loading.default_config(["lora.rank=8"])) == (
        "lora:\n  rank: 8  # too small\n  alpha: 32\n"
    )
    conflict = "model: {quantization: nf4}\ntraining: {method: full}\n"
    after = rewrite(conflict, loading.default_config(["training.method=full"]))
    assert after == "model: {quantization: none}\ntraining: {method: full}\n"


@pytest.mark.parametrize(
    "text", ["rnak: 8\n", "lora:\n  rank: 8\n  rank: 9\n", "lora: 8\n", "a: ["]
)
def test_what_other_values_don_t_mend_is_refused(text: str) -> None:
    with pytest.raises(WorkbenchError):
        rewrite(text, RunConfig())


@pytest.mark.parametrize("rate", [0.0001, 1e-05, 2e-4, 1e-7, 0.1 + 0.2, 1.0])
def test_a_number_is_written_so_that_both_yamls_read_it(rate: float) -> None:
    config = RunConfig.model_validate({"training": {"learning_rate": rate}})
    for text in (rewrite("training: {learning_rate: 0.5}", config), loading.dump(config)):
        assert yaml.safe_load(text)["training"]["learning_rate"] == rate
        assert meaning(text) == config


def test_saving_keeps_a_file_and_writes_a_new_one_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(b"# mine\r\nlora: {rank: 8}  # r\r\n")
    saving.save_over(path, loading.load(path, ["lora.rank=4"]))
    assert path.read_bytes() == b"# mine\r\nlora: {rank: 4}  # r\r\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.yaml"]

    new = tmp_path / "configs" / "new.yaml"
    config = loading.default_config(["lora.rank=4"])
    saving.save_over(new, config)
    text = new.read_text(encoding="utf-8")
    assert text == f"# yaml-language-server: $schema=.schema.json\n{loading.dump(config)}"
    schema = new.parent / ".schema.json"
    assert "$schema" in json.loads(schema.read_text(encoding="utf-8"))
    written = schema.stat().st_mtime_ns
    saving.save_over(new, loading.default_config(["lora.rank=5"]))
    assert schema.stat().st_mtime_ns == written
    assert new.read_text(encoding="utf-8") == text.replace("rank: 4 ", "rank: 5 ")

    new.write_text("rnak: 8\n", encoding="utf-8")
    saving.save_over(new, config)
    assert new.read_text(encoding="utf-8") == text
