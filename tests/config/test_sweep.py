from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from workbench.config import json_schema, loading, sweep, yaml_reading
from workbench.config.combinations import Combination, combinations
from workbench.config.loading import ConfigError
from workbench.errors import WorkbenchError

BASE = "name: small\nlora:\n  rank: 8\n"


def load(tmp_path: Path, text: str, *settings: str) -> sweep.Swept:
    path = tmp_path / "swept.yaml"
    path.write_text(BASE + text)
    return sweep.load(path, settings)


def planned(tmp_path: Path, text: str, *settings: str) -> list[Combination]:
    return combinations(load(tmp_path, text, *settings), "swept.yaml")


def values(made: list[Combination], path: str) -> list[Any]:
    return [one.values[path] for one in made]


def test_a_grid_is_every_combination_the_last_field_fastest(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        """sweep:
  fields:
    training.learning_rate: [1e-4, 2e-4]
    lora.rank: {values: [8, 16]}
    lora.alpha: {times: 2, of: lora.rank}
  budget: 4
""",
    )
    assert [list(one.values.values()) for one in made] == [
        [1e-4, 8, 16],
        [1e-4, 16, 32],
        [2e-4, 8, 16],
        [2e-4, 16, 32],
    ]
    assert made[3].config.lora.alpha == 32
    assert made[3].config.training.learning_rate == 2e-4
    assert made[3].config.name == "small"


def test_equal_configs_are_made_once(tmp_path: Path) -> None:
    text = "sweep: {fields: {lora.rank: [8, 8, '8', 16]}, budget: 4}"
    assert values(planned(tmp_path, text), "lora.rank") == [8, 16]


def test_a_grid_over_its_budget_is_refused_with_the_count(tmp_path: Path) -> None:
    text = "sweep: {fields: {lora.rank: [1, 2, 3], training.epochs: [1, 2]}, budget: 5}"
    with pytest.raises(WorkbenchError, match=r"6 combinations, and sweep\.budget allows 5 runs"):
        planned(tmp_path, text)
    assert len(planned(tmp_path, text, "sweep.budget=6")) == 6
    some = planned(tmp_path, text, "sweep.method=random")
    assert len(some) == len({one.config.model_dump_json() for one in some}) == 5


def test_draws_stay_in_their_ranges_and_come_again_with_the_seed(tmp_path: Path) -> None:
    text = """sweep:
  method: random
  fields:
    training.weight_decay: {min: 1e-4, max: 1e-1, scale: log}
    training.warmup_ratio: {min: 0.0, max: 0.1}
    lora.rank: {min: 4, max: 6}
    training.schedule: [cosine, linear]
  budget: 200
"""
    made = planned(tmp_path, text)
    assert len(made) == 200
    assert [one.values for one in made] == [one.values for one in planned(tmp_path, text)]
    other = planned(tmp_path, text, "sweep.seed=1")
    assert [one.values for one in made] != [one.values for one in other]
    decays = values(made, "training.weight_decay")
    assert min(decays) >= 1e-4 and max(decays) <= 1e-1
    # On a log scale half of them are below the geometric mean.
    below = sum(decay < math.sqrt(1e-4 * 1e-1) for decay in decays)
    assert 70 <= below <= 130
    assert all(0 <= ratio <= 0.1 for ratio in values(made, "training.warmup_ratio"))
    assert set(values(made, "lora.rank")) == {4, 5, 6}
    assert set(values(made, "training.schedule")) == {"cosine", "linear"}


def test_draws_end_when_nothing_new_is_left(tmp_path: Path) -> None:
    text = "sweep: {method: random, fields: {lora.rank: {min: 1, max: 3}}, budget: 50}"
    assert sorted(values(planned(tmp_path, text), "lora.rank")) == [1, 2, 3]


def test_a_field_may_follow_one_that_is_not_swept(tmp_path: Path) -> None:
    text = """sweep:
  fields: {training.epochs: [1, 2], lora.alpha: {times: 0.5, of: lora.rank}}
  budget: 2
"""
    assert values(planned(tmp_path, text), "lora.alpha") == [4, 4]


def test_lists_words_and_nothing_are_choices_too(tmp_path: Path) -> None:
    text = """sweep:
  fields:
    lora.target_modules: [all-linear, [q_proj, v_proj]]
    training.warmup_steps: [null, 3]
    training.packing: [on, off]
  budget: 8
"""
    made = planned(tmp_path, text)
    assert len(made) == 8
    assert made[7].config.lora.target_modules == ["q_proj", "v_proj"]
    assert made[7].config.training.warmup_steps == 3
    assert made[7].config.training.packing is False


def test_every_problem_of_config_and_sweep_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """  rnk: 4
sweep:
  method: gird
  fields:
    training.learning_rat: [1e-4]
    lora.rank: []
    lora.alpha: {times: 2, of: lora.rnk}
    lora.dropout: 0.1
    lora.dora: {min: 0, max: 1}
    training.weight_decay: {min: 0, max: 0.1, scale: log}
    training.warmup_ratio: {min: 0.3, max: 0.1}
    training.epochs: {min: 1, max: x, scle: log}
    training.accumulation: {min: 1.5, max: 4}
    name: [a, b]
    training: {seed: [1, 2]}
  metric: bleu
  parallell: 2
"""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    told = {(p.line, p.path.removeprefix("sweep.fields.")): p.text for p in caught.value.problems}
    assert told[4, "lora.rnk"] == "there is no such field. Did you mean lora.rank?"
    assert "how many runs" in told[5, "sweep.budget"]
    assert "'grid', 'random' or 'optuna'" in told[6, "sweep.method"]
    assert "training.learning_rate?" in told[8, "training.learning_rat"]
    assert "nothing to choose from" in told[9, "lora.rank.values"]
    assert "there is no field lora.rnk" in told[10, "lora.alpha"]
    assert "give choices such as" in told[11, "lora.dropout"]
    assert "it is no number" in told[12, "lora.dora"]
    assert "above 0" in told[13, "training.weight_decay"]
    assert "min must be below max" in told[14, "training.warmup_ratio"]
    assert "number" in told[15, "training.epochs.max"]
    assert "Did you mean scale?" in told[15, "training.epochs.scle"]
    assert "whole numbers" in told[16, "training.accumulation"]
    assert "can't be swept" in told[17, "name"]
    assert "training" in {path for _, path in told}
    assert "validation_loss" in told[19, "sweep.metric"]
    assert "Did you mean parallel?" in told[20, "sweep.parallell"]


def test_a_range_in_a_grid_and_a_score_for_optuna_are_refused(tmp_path: Path) -> None:
    ranged = "{training.warmup_ratio: {min: 0.0, max: 0.1}}"
    with pytest.raises(ConfigError, match="a grid needs choices"):
        load(tmp_path, f"sweep: {{fields: {ranged}, budget: 2}}")
    with pytest.raises(ConfigError, match="rouge_l is measured later"):
        load(tmp_path, f"sweep: {{method: optuna, metric: rouge_l, fields: {ranged}, budget: 2}}")


@pytest.mark.parametrize("text", ["sweep:", "sweep: 3", "sweep: [1]", "sweep: {fields: 3}"])
def test_what_is_no_sweep_is_told_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="line 4, sweep"):
        load(tmp_path, text)


def test_combinations_that_are_no_config_are_named_by_what_they_share(tmp_path: Path) -> None:
    text = """sweep:
  fields:
    training.method: [lora, full]
    model.quantization: [none, nf4]
    lora.rank: [4, -1]
  budget: 8
"""
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, text)
    told = {p.path: p.text for p in caught.value.problems}
    assert {p.path: p.line for p in caught.value.problems} == {"lora.rank": 8, "training.method": 6}
    assert told["lora.rank"].endswith("(with lora.rank=-1).")
    assert told["training.method"].endswith(
        "(with training.method=full, model.quantization=nf4, lora.rank=4)."
    )


def test_what_optuna_may_choose_is_tried_before_it_begins(tmp_path: Path) -> None:
    text = """sweep:
  method: optuna
  fields: {training.learning_rate: {min: 0.1, max: 3}, lora.rank: [4, 8]}
  budget: 8
"""
    with pytest.raises(ConfigError, match=r"training.learning_rate=3\.0"):
        planned(tmp_path, text)


def test_a_setting_of_a_swept_field_is_refused(tmp_path: Path) -> None:
    text = "sweep: {fields: {lora.rank: [4, 8]}, budget: 2}"
    with pytest.raises(ConfigError, match="the sweep varies it"):
        load(tmp_path, text, "lora.rank=16")
    made = planned(tmp_path, text, "sweep.fields.lora.rank=[2]", "training.epochs=3")
    assert values(made, "lora.rank") == [2]
    assert made[0].config.training.epochs == 3


def test_a_config_is_loaded_only_without_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "swept.yaml"
    path.write_text(f"{BASE}sweep: {{fields: {{lora.rank: [4, 8]}}, budget: 2}}\n")
    with pytest.raises(WorkbenchError, match="line 4: it holds a sweep") as caught:
        loading.load(path)
    assert "workbench sweep start" in caught.value.hint
    path.write_text(BASE)
    with pytest.raises(WorkbenchError, match="holds no sweep"):
        sweep.load(path)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("{fields: {lora.rank: [4, 8]}, budget: 2}", True),
        ("{fields: {lora.rank: {values: [4]}}, budget: 2, seed: 1}", True),
        ("{method: random, fields: {lora.rank: {min: 4, max: 8}}, budget: 2}", True),
        ("{fields: {lora.rank: [4], lora.alpha: {times: 2, of: lora.rank}}, budget: 2}", True),
        ("{fields: {lora.rank: [4, 8]}}", False),
        ("{fields: {lora.rank: []}, budget: 2}", False),
        ("{fields: {lora.rnk: [4]}, budget: 2}", False),
        ("{fields: {lora.rank: 4}, budget: 2}", False),
        ("{method: random, fields: {lora.rank: {min: 4}}, budget: 2}", False),
        ("{fields: {lora.rank: [4]}, budget: 0}", False),
        ("{fields: {lora.rank: [4]}, budget: 2, metric: bleu}", False),
    ],
)
def test_an_editor_is_told_the_same(tmp_path: Path, text: str, good: bool) -> None:
    check = Draft202012Validator(json_schema.json_schema())
    assert check.is_valid({"sweep": yaml_reading.value(text)}) == good
    if good:
        load(tmp_path, f"sweep: {text}")
    else:
        with pytest.raises(ConfigError):
            load(tmp_path, f"sweep: {text}")
