from __future__ import annotations

import pytest

from tests.config.advice import (
    cases_adapter,
    cases_evaluation,
    cases_machine,
    cases_rows,
    cases_training,
)
from tests.config.advice.case import CPU, USUAL, Case
from tests.config.advice.made import LARGE, dataset, gpu, known
from workbench.config import advice, loading
from workbench.config.advice import Advice
from workbench.config.circumstances import Circumstances
from workbench.config.schema import RunConfig

OF_TOPICS = (cases_rows, cases_training, cases_adapter, cases_evaluation, cases_machine)
CASES = [case for topic in OF_TOPICS for case in topic.CASES]
IDS = [f"{case.name}: {case.speaks or 'default'}" for case in CASES]


def config(settings: str) -> RunConfig:
    return loading.default_config(["data.dataset=made", *settings.split()])


def by_name(settings: str, on: Circumstances) -> dict[str, Advice]:
    return {found.name: found for found in advice.advise(config(settings), on)}


def errors(found: list[Advice]) -> set[str]:
    return {one.name for one in found if one.severity == "error"}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_rule_speaks_where_it_should_and_with_this_configs_figures(case: Case) -> None:
    found = by_name(case.speaks, case.on)[case.name]
    assert found.severity == case.severity
    assert case.says in found.text
    assert found.source
    loading.value_at(RunConfig(), found.path)
    assert found.fix or found.do


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_rule_is_silent_elsewhere(case: Case) -> None:
    assert case.name not in by_name(case.silent, case.elsewhere or case.on)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_fix_is_a_config_without_that_advice_and_with_no_new_error(case: Case) -> None:
    before = config(case.speaks)
    found = advice.advise(before, case.on)
    (one,) = (a for a in found if a.name == case.name)
    if one.fix:
        after = advice.fixed(before, one)
        left = advice.advise(after, case.on)
        assert case.name not in {a.name for a in left}
        assert errors(left) <= errors(found)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_all_fixes_together_come_to_an_end_where_nothing_can_be_fixed(case: Case) -> None:
    after, _ = advice.all_fixed(config(case.speaks), case.on)
    left = advice.advise(after, case.on)
    assert not [one.name for one in left if one.fix]
    assert errors(left) <= errors(advice.advise(config(case.speaks), case.on))


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in advice.rules()} == {case.name for case in CASES}


def test_each_rule_has_a_name_of_its_own() -> None:
    names = [rule.name for rule in advice.rules()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "on",
    [USUAL, CPU, known(gpu(78, total=80)), known(rows=dataset(1200, 120)), known(base=None)],
    ids=["GPU", "processor", "large GPU", "few rows", "unknown base"],
)
@pytest.mark.parametrize(
    "settings",
    ["", "model.quantization=nf4 training.optimizer=paged_adamw_8bit"],
    ids=["LoRA", "QLoRA"],
)
def test_the_defaults_are_no_mistake(on: Circumstances, settings: str) -> None:
    found = by_name(settings, on).values()
    assert not [one for one in found if one.severity != "hint"]


def test_the_defaults_of_full_fine_tuning_are_no_mistake_but_for_the_rate() -> None:
    found = by_name("training.method=full training.learning_rate=1e-5", known(gpu(78, total=80)))
    assert not [one for one in found.values() if one.severity != "hint"]


def test_where_nothing_is_known_nothing_is_made_up() -> None:
    nothing = Circumstances(gpu(), None, None, None)
    assert set(by_name("training.seed=0", nothing)) == set()


def test_the_most_severe_comes_first() -> None:
    settings = "training.learning_rate=2e-5 lora.alpha=16 lora.target_modules=c_attn"
    found = [one.severity for one in advice.advise(config(settings), USUAL)]
    assert found == sorted(found, key=advice.SEVERITIES.index)
    assert set(found) == {"error", "warning", "hint"}


def test_a_fix_leaves_unnamed_what_the_config_doesnt_name() -> None:
    before = config("training.learning_rate=2e-5")
    after = advice.fixed(
        before, by_name("training.learning_rate=2e-5", USUAL)["learning-rate-of-full-fine-tuning"]
    )
    assert after.training.learning_rate == 2e-4
    assert after.training.model_fields_set == {"learning_rate"}


def test_what_would_fit_takes_the_least_costly_settings_first() -> None:
    """A base of 13B: on 40 GiB fewer rows at once are enough, on 15 it takes 4 bits."""
    rows = dataset(lengths={})
    roomy = by_name("", known(gpu(40, total=48), base=LARGE, rows=rows))["does-not-fit"]
    assert roomy.fix == ("training.micro_batch=1",)
    tight = by_name("", known(gpu(15), base=LARGE, rows=rows))["does-not-fit"]
    # With those fewer rows at once are not needed.
    assert tight.fix == ("training.gradient_checkpointing=true", "model.quantization=nf4")


def test_a_setting_that_a_later_one_makes_needless_is_no_part_of_a_fix() -> None:
    """Neither fewer rows at once nor checkpointing is enough for all of a base of 1.1B."""
    on = known(gpu(10))
    found = by_name("training.method=full training.learning_rate=2e-5", on)["does-not-fit"]
    assert found.fix == ("training.method=lora", "training.learning_rate=0.0002")


def test_a_config_copied_to_another_base_is_advised_anew() -> None:
    settings = "lora.target_modules=q_proj,v_proj,up_proj model.quantization=nf4"
    assert "learning-rate-for-large-base" not in by_name(settings, USUAL)
    assert "learning-rate-for-large-base" in by_name(settings, known(gpu(78), base=LARGE))
