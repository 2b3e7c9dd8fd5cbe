from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

Written = Callable[[str], Path]

OTHER_THAN_DEFAULT: dict[str, Any] = {
    "name": "2024-10",
    "accept": ["responses-lost", "mask-refused"],
    "model": {
        "base": "/models/a folder: #1/Größe",
        "dtype": "float32",
        "quantization": "nf4",
        "double_quantization": False,
        "compute_dtype": "bfloat16",
        "upcast": True,
        "new_tokens": ["<tool>", "a, b: #1"],
    },
    "data": {
        "dataset": "sft@0123456789ab",
        "max_length": 512,
        "too_long": "drop",
        "train_rows": 100,
        "validation_rows": 10,
    },
    "lora": {
        "rank": 8,
        "alpha": 64,
        "dropout": 0.05,
        "target_modules": ["q_proj", "v_proj"],
        "rslora": True,
        "dora": True,
        "plus_ratio": 16.0,
        "initialisation": "gaussian",
        "modules_to_save": ["lm_head", "embed_tokens"],
        "dtype": "bfloat16",
    },
    "training": {
        "epochs": 2.5,
        "max_steps": 7,
        "batch_size": 2,
        "accumulation": 3,
        "step_tokens": 4096,
        "micro_batch": 1,
        "packing": False,
        "learning_rate": 1e-5,
        "schedule": "linear",
        "warmup_ratio": 0.1,
        "warmup_steps": 4,
        "optimizer": "paged_lion_8bit",
        "weight_decay": 0.01,
        "max_gradient_norm": 0.3,
        "gradient_checkpointing": True,
        "neftune_alpha": 5.0,
        "skip_limit": 1,
        "rehearsal": False,
        "compile": True,
        "seed": 4_294_967_295,
    },
    "evaluation": {
        "every": 50,
        "patience": 3,
        "samples": 1,
        "sample_tokens": 20,
        "sample_prompts": ["Say hello, please", "Who are you?"],
        "generate_rows": 8,
        "max_new_tokens": 64,
        "batch_size": 2,
        "metrics": ["chrf", "qa=exact_match"],
        "labels": ["yes", "not at all"],
        "pattern": r"^\d+$",
        "against": ["held-out@0123456789ab", "other"],
    },
    "checkpoints": {"every": 100, "keep": 5, "result": "best"},
    "logging": {"every": 10, "tensorboard": False, "without_prompt": False},
    "job": {
        "processes": 2,
        "sharding": "fsdp",
        "restarts": 3,
        "restart_after": 30.5,
        "stall_after": 900.0,
        "on_stall": "dump",
        "gpus": 2,
        "gpu_memory": 40.5,
    },
}
OTHERS_STILL: dict[str, Any] = {
    "data": {"mixture": {"sft@0123456789ab": 0.7, "qa": 2.0}, "mixture_rows": 500},
    "training": {"method": "full", "micro_batch_tokens": 2048},
    "job": {"accelerate_config": "mine: 3.yaml"},
}
"""What can't stand beside the others."""


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems_of(path: Path, *settings: str) -> dict[str, tuple[int | None, str]]:
    with pytest.raises(loading.ConfigError) as caught:
        loading.load(path, settings)
    return {problem.path: (problem.line, problem.text) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("lr: 1.0e-4", "training.learning_rate"),
        ("lora:\n  rnak: 8", "lora.rank"),
        ("training:\n  rank: 8", "lora.rank"),
        ("trainning:\n  epochs: 1", "training"),
        ("load_in_4bit: true", "model.quantization"),
        ("data:\n  cutoff_len: 10", "data.max_length"),
    ],
)
def test_an_unknown_field_names_the_nearest_one(written: Written, given: str, nearest: str) -> None:
    ((_, text),) = problems_of(written(given)).values()
    assert text == f"there is no such field. Did you mean {nearest}?"


def test_a_field_like_no_other_is_refused_without_a_guess(written: Written) -> None:
    assert problems_of(written("zzzzzz: 1")) == {"zzzzzz": (1, "there is no such field.")}


def test_all_problems_come_at_once_in_the_order_of_their_lines(written: Written) -> None:
    path = written(
        "# a run\nname: has space\nlora:\n  rank: 0\n  rnak: 4\n\ntraining:\n"
        "  learning_rate: fast\n  schedule: cosin\n  epochs: 1\n  epochs: 2\n"
    )
    found = problems_of(path)
    assert {name: line for name, (line, _) in found.items()} == {
        "name": 2,
        "lora.rank": 4,
        "lora.rnak": 5,
        "training.learning_rate": 8,
        "training.schedule": 9,
        "training.epochs": 11,
    }
    assert [line for line, _ in found.values()] == [2, 4, 5, 8, 9, 11]
    assert "'cosine'" in found["training.schedule"][1]
    with pytest.raises(WorkbenchError, match=r"line 4, lora\.rank: .* not 0\.") as caught:
        loading.load(path)
    assert str(path) in caught.value.message


def test_a_key_that_stands_twice_is_an_error_with_both_lines(written: Written) -> None:
    found = problems_of(written("lora:\n  rank: 8\n  alpha: 16\n  rank: 9\n"))
    assert found == {"lora.rank": (4, "it stands on line 2 already.")}


def test_a_section_that_stands_twice_is_an_error(written: Written) -> None:
    found = problems_of(written("lora:\n  rank: 8\ndata:\n  max_length: 99\nlora:\n  rank: 9\n"))
    assert found["lora"] == (5, "it stands on line 1 already.")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 2),
        ("a:\n\tb: 1\n", 2),
        ("\na: 'x\nb: y\n", 2),
        ("a: 1\nb: \x1b\n", 2),
    ],
)
def test_a_syntax_error_names_file_and_line(written: Written, given: str, line: int) -> None:
    path = written(given)
    with pytest.raises(WorkbenchError, match="not valid YAML") as caught:
        loading.load(path)
    assert caught.value.message.startswith(f"{path}, line {line}: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("- name: a\n", "top level must be"),
        ("just text\n", "top level must be"),
        (f"training:\n  seed: {10**4000}{10**4000}\n", "thousands of digits"),
        ("[" * 3000, "nested too deeply"),
        ("name: a\n---\nname: b\n", "not valid YAML"),
        ("!!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_what_is_no_config_is_refused(written: Written, given: str, reason: str) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        loading.load(written(given))


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("lora:\n\trank: 8\n", "Indent with spaces; YAML takes no tabs."),
        ("lora:\n  rank: 8\n alpha: 1\n", "Its indentation is that of nothing above it."),
        ("model:\n  base: C: d\n", "A text with a colon and a space in it needs quotes."),
        ("name: *a\n", "A text that begins with * needs quotes."),
        ("name: a\n---\nname: b\n", "Keep one of them: --- begins another."),
    ],
)
def test_a_usual_slip_of_syntax_says_what_to_do(written: Written, given: str, advice: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        loading.load(written(given))
    assert caught.value.hint == advice


@pytest.mark.parametrize(
    ("given", "path", "line", "text"),
    [
        ("name: 2024\n", "name", 1, "it must be text, not 2024. Put it in quotes."),
        ("lora:\n  rank:\n", "lora.rank", 2, "it has no value. Leave it out for the default, 16."),
        ("lora:\n  rank: {a: 1}\n", "lora.rank", 2, "a whole number, 1 to 1,024, not {'a': 1}."),
        ("lora:\n  rank:8\n", "lora", 1, "Is a space missing after the colon?"),
        ("lora:\n  - rank: 8\n", "lora", 1, "it has fields of its own, such as lora.rank"),
        ("lora.rank: 8\n", "lora.rank", 1, "write `rank:` on a line of its own under `lora:`."),
        ("LORA:\n  rank: 8\n", "LORA", 1, "Did you mean lora?"),
        ("yes: 1\n", "yes", 1, "there is no such field."),
        ("größe: 1\n", "größe", 1, "there is no such field."),
        ("accept:\n  - mask-refused\n  - nonsense\n", "accept", 3, "not 'nonsense'."),
        ("training:\n  micro_batch: all\n", "training.micro_batch", 2, "1 to 4,096, or auto, not"),
        ("training:\n  schedule: Cosine\n", "training.schedule", 2, "Did you mean cosine?"),
        ("training:\n  optimizer: adamw_torch\n", "training.optimizer", 2, "Did you mean adamw?"),
        ("training:\n  seed: 99999999999999999999\n", "training.seed", 2, "0 to 4,294,967,295"),
        ("training:\n  seed: 10:30\n", "training.seed", 2, "a whole number, 0 to"),
        ("model:\n  quantization: no\n", "model.quantization", 2, "YAML reads yes, no, on and off"),
        ("logging:\n  <<: &e {every: 0}\n", "logging.every", 2, "it must be a whole number, 1 to"),
        ("lora:\r\n  rank: 8\r\n  rnak: 9\r\n", "lora.rnak", 3, "Did you mean lora.rank?"),
    ],
)
def test_a_problem_says_where_it_is_and_what_is_wanted(
    written: Written, given: str, path: str, line: int, text: str
) -> None:
    ((found, (at, words)),) = problems_of(written(given)).items()
    assert (found, at) == (path, line)
    assert text in words


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ("training: {learning_rate: 2e-4}", "training.learning_rate", 0.0002),
        ("training: {learning_rate: 1.5E-5}", "training.learning_rate", 0.000015),
        ("training: {max_steps: 1e3}", "training.max_steps", 1000),
        ("training: {seed: 017}", "training.seed", 17),
        ("training: {seed: 0x1f}", "training.seed", 31),
        ("training: {seed: 1_000}", "training.seed", 1000),
        ("training: {packing: off}", "training.packing", False),
        ("training: {compile: yes}", "training.compile", True),
        ("name: 2024-10-01", "name", "2024-10-01"),
        ("\ufeffname: a", "name", "a"),
        ("<<: {name: a}", "name", "a"),
        ("---\nname: a\n...\n", "name", "a"),
        ("checkpoints: &e {every: 7}\nlogging: *e\n", "logging.every", 7),
    ],
)
def test_a_value_is_read_as_a_person_means_it(
    written: Written, given: str, path: str, value: Any
) -> None:
    found = loading.value_at(loading.load(written(given)), path)
    assert (found, type(found)) == (value, type(value))


def test_a_file_that_is_no_utf8_or_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"\nname: caf\xe9\n")
    with pytest.raises(WorkbenchError, match=r"line 2: it is not UTF-8 text"):
        loading.load(path)
    with pytest.raises(WorkbenchError, match="it is a folder"):
        loading.load(tmp_path)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("name: run\n".encode("utf-16"), "UTF-16"),
        (b"name: \0\0\n", "binary file"),
        (b"#" * (5 << 20), "it is no config"),
    ],
)
def test_a_file_that_is_no_text_of_a_config_is_refused(
    tmp_path: Path, given: bytes, reason: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(given)
    with pytest.raises(WorkbenchError, match=reason):
        loading.load(path)


def test_aliases_that_grow_without_end_are_refused_at_once(written: Written) -> None:
    bomb = "a: &a {x: 1}\n" + "".join(
        f"{name}: &{name} {{{', '.join(f'k{i}: *{before}' for i in range(9))}}}\n"
        for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
    )
    assert problems_of(written(bomb))["m"][0] == 13
    assert "a" in problems_of(written("a: &a\n  b: *a\n"))


def test_an_empty_file_and_empty_sections_are_the_defaults(written: Written) -> None:
    assert loading.load(written("")) == RunConfig()
    assert loading.load(written("# nothing\nlora:\n  # rank: 8\ntraining:\n")) == RunConfig()


def test_a_section_that_is_no_section_says_what_it_holds(written: Written) -> None:
    found = problems_of(written("lora: 16\n"))
    assert found == {"lora": (1, "it has fields of its own, such as lora.rank; it can't be 16.")}


def test_yes_is_no_number(written: Written) -> None:
    found = problems_of(written("training:\n  learning_rate: yes\n  epochs: true\n"))
    assert set(found) == {"training.learning_rate", "training.epochs"}


def test_a_long_wrong_value_is_not_repeated_in_full(written: Written) -> None:
    ((_, text),) = problems_of(written(f"name: {'x ' * 5000}\n")).values()
    assert len(text) < 200
    ((_, text),) = problems_of(written(f"lora:\n  rank: {list(range(5000))}\n")).values()
    assert len(text) < 200


def test_all_conflicts_come_at_once_each_with_its_line(written: Written) -> None:
    path = written(
        "model:\n  quantization: nf4\nlora:\n  initialisation: pissa\ntraining:\n  method: full\n"
    )
    found = problems_of(path)
    assert {name: line for name, (line, _) in found.items()} == {
        "lora.initialisation": 4,
        "training.method": 6,
    }


def test_settings_go_over_the_file_and_the_later_over_the_earlier(written: Written) -> None:
    path = written("lora:\n  rank: 0\n  alpha: 16\n")
    config = loading.load(path, ["lora.rank=4", "lora.rank=8"])
    assert (config.lora.rank, config.lora.alpha) == (8, 16)


def test_a_wrong_setting_does_not_blame_a_line_of_the_file(written: Written) -> None:
    assert problems_of(written("lora:\n  rank: 8\n"), "lora.rank=0")["lora.rank"][0] is None


def test_a_config_with_every_field_changed_survives_the_file(tmp_path: Path) -> None:
    configs = [RunConfig.model_validate(body) for body in (OTHER_THAN_DEFAULT, OTHERS_STILL)]
    for field in loading.fields():
        values = [loading.value_at(config, field.path) for config in configs]
        assert any(value != field.default for value in values), field.path
    for config in configs:
        loading.save(config, tmp_path / "all.yaml")
        assert loading.load(tmp_path / "all.yaml") == config


def test_the_written_defaults_are_the_defaults_and_name_every_field(tmp_path: Path) -> None:
    loading.save(RunConfig(), tmp_path / "run.yaml")
    text = (tmp_path / "run.yaml").read_text(encoding="utf-8")
    assert loading.load(tmp_path / "run.yaml") == RunConfig()
    for field in loading.fields():
        assert field.help and field.help in text


def test_any_text_survives_the_file(tmp_path: Path) -> None:
    chance = random.Random(0)
    signs = "ab: #'\"\n\t\\-…é[]{},&*!|>%@`.0e~=\x85\u2028 "
    for _ in range(100):
        text = "x" + "".join(chance.choice(signs) for _ in range(chance.randint(1, 30)))
        body = {"model": {"base": text}, "lora": {"target_modules": [text, "x" * 2000]}}
        config = RunConfig.model_validate(body)
        loading.save(config, tmp_path / "run.yaml")
        assert loading.load(tmp_path / "run.yaml") == config


def test_a_config_is_found_by_file_or_by_name(workspace: Workspace, tmp_path: Path) -> None:
    loading.save(RunConfig(), workspace.configs / "first.yaml")
    loading.save(RunConfig(), tmp_path / "own.yaml")
    assert loading.config_path(workspace, "first") == workspace.configs / "first.yaml"
    assert loading.config_path(workspace, str(tmp_path / "own.yaml")) == tmp_path / "own.yaml"
    for reference in ("other", "~nobody-of-that-name/x", str(tmp_path)):
        with pytest.raises(WorkbenchError, match="There is no config") as caught:
            loading.config_path(workspace, reference)
        assert caught.value.hint == "There are: first."
