"""Each rule on curves whose truth is known: real ones in curves/ (benchmarks/alarms.py recorded
them), and made ones where a real fault can't be had at will."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.alarms import healthy
from tests.alarms.healthy import GIB, sample, started
from workbench.alarms.engine import RULES, Alarms
from workbench.jobs.events import (
    Alarm,
    CheckpointSaved,
    Evaluated,
    Event,
    Progress,
    Record,
    Sampled,
    Spiked,
    Step,
)
from workbench.jobs.log import read_all

CURVES = Path(__file__).parent / "curves"


def records(events: Iterable[Event], every: float = 2.0, begin: float = 0.0) -> list[Record]:
    return [Record(n, begin + n * every, event) for n, event in enumerate(events)]


def step(number: int, loss: float = 1.0, **changes: Any) -> Step:
    usual: dict[str, Any] = {"gradient_norm": 0.5, "tokens": 2000, "seconds": 2.0}
    return Step(number, 0.1, loss, 1e-4, trained_tokens=1000, **{**usual, **changes})


def heard(*events: Event, every: float = 2.0) -> list[Alarm]:
    return Alarms("r-0001").feed(records(events, every))


def names(alarms: Iterable[Alarm]) -> list[str]:
    return [f"{'over ' if alarm.over else ''}{alarm.name}" for alarm in alarms]


def of_curve(name: str) -> list[Alarm]:
    return Alarms("r-0001").feed(read_all(CURVES / f"{name}.jsonl"))


@pytest.mark.parametrize("name", sorted(p.stem for p in CURVES.glob("healthy-*.jsonl")))
def test_a_real_healthy_run_has_no_alarm(name: str) -> None:
    assert names(of_curve(name)) == []


def test_a_real_run_that_learns_by_heart_is_told_after_its_best_step_and_once() -> None:
    (alarm,) = of_curve("overfitting-tiny")
    assert alarm.name == "overfitting" and 90 < alarm.since_step <= 165
    assert "its best, 3.0585 after step 90" in alarm.text
    assert "`workbench stop r-0001`" in alarm.next_step and "Prechelt" in alarm.source


def test_a_real_model_of_135m_parameters_on_16_rows_overfits_at_once() -> None:
    first = of_curve("overfitting-default")[0]
    assert (first.name, first.since_step) == ("overfitting", 18)
    assert "21.5% above its best, 2.1400 after step 12" in first.text


def test_a_real_run_at_a_rate_that_is_far_too_high_diverges() -> None:
    first = of_curve("diverging-default")[0]
    assert (first.name, first.severity) == ("divergence", "error")
    assert first.since_step <= 15 and "training.learning_rate=0.017" in first.next_step


def test_a_real_run_at_a_rate_that_teaches_nothing_is_on_a_plateau() -> None:
    (alarm,) = of_curve("flat-tiny")
    assert (alarm.name, alarm.severity) == ("plateau", "info")
    assert "training.learning_rate=1e-07" in alarm.next_step


def test_a_real_run_whose_base_is_damaged_is_told_at_its_first_loss_that_is_no_number() -> None:
    first = of_curve("nan-damaged")[0]
    assert (first.name, first.severity) == ("not-finite", "error")
    assert "is not a number; 1 step was skipped" in first.text


def test_of_healthy_made_curves_hardly_any_has_an_alarm() -> None:
    wrong = [names(Alarms("r").feed(healthy.run(seed))) for seed in range(1000, 1040)]
    assert sum(map(bool, wrong)) <= 1, wrong


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_overfitting() -> None:
    events: list[Event] = []
    for n in range(10):
        events += [step(20 * n + i, 1.0 + 0.05 * n) for i in range(1, 21)]
        events.append(Evaluated(20 * n + 20, 1.5 + 0.05 * n, 9, 99))
    assert "overfitting" not in names(heard(*events))


def test_overfitting_is_over_with_a_new_best_and_survives_a_resume() -> None:
    alarms = Alarms("r")
    events: list[Event] = [started(999)]
    for n, held_out in enumerate((2.0, 1.5, 1.6)):
        events += [step(20 * n + i, 2.0 - 0.3 * n) for i in range(1, 21)]
        events.append(Evaluated(20 * n + 20, held_out, 9, 99))
    assert names(alarms.feed(records(events))) == ["overfitting"]
    resumed: list[Event] = [started(999, 40), step(41, 1.3), Evaluated(60, 1.61, 9, 99)]
    assert names(alarms.feed(records(resumed))) == ["over overfitting", "overfitting"]
    assert names(alarms.feed(records([step(61, 1.2), Evaluated(80, 1.4, 9, 99)]))) == [
        "over overfitting"
    ]


def test_a_loss_that_leaves_where_it_was_diverges_and_may_come_back() -> None:
    healthy_steps = [step(n, 2.0 + 0.1 * (n % 3)) for n in range(1, 101)]
    away = [step(n, 6.0 + 0.5 * (n % 3)) for n in range(101, 141)]
    (alarm,) = heard(*healthy_steps, *away)
    assert (alarm.name, alarm.severity) == ("divergence", "error")
    assert 101 < alarm.since_step <= 120
    assert "training.learning_rate=3.3e-05" in alarm.next_step
    back = [step(n, 2.1) for n in range(141, 181)]
    assert names(heard(*healthy_steps, *away, *back)) == ["divergence", "over divergence"]


def test_one_spike_is_no_alarm_and_three_in_a_hundred_steps_are() -> None:
    rows: list[dict[str, float | int | None]] = [{"row": 17, "loss": 9.0}]
    one = [step(1), Spiked(1, 9.0, 1.0, rows), *(step(n) for n in range(2, 120))]
    assert heard(*one) == []
    three = [step(30), *(Spiked(n, 9.0, 1.0, rows) for n in (10, 30, 60))]
    begun, over = heard(*three, *(step(n) for n in range(61, 400)))
    assert begun.name == "loss-spikes" and "steps 10, 30, 60" in begun.text
    assert "line 17" in begun.text
    assert over.over


def test_gradients_that_explode_again_and_again_are_told_once_and_end() -> None:
    usual = [step(n, gradient_norm=0.5 + 0.1 * (n % 3)) for n in range(1, 60)]
    assert heard(*usual, step(60, gradient_norm=50.0), *(step(n) for n in range(61, 90))) == []
    wild = [step(n, gradient_norm=80.0 if n % 4 == 0 else 0.5) for n in range(60, 100)]
    calm = [step(n) for n in range(100, 160)]
    assert names(heard(*usual, *wild, *calm)) == ["exploding-gradients", "over exploding-gradients"]


def test_a_run_that_falls_below_its_own_best_pace_is_told_with_its_share() -> None:
    fast = [step(n) for n in range(1, 61)]
    slow = [step(n, seconds=4.0) for n in range(61, 121)]
    begun, over = heard(*fast, *slow, *(step(n) for n in range(121, 161)))
    assert begun.name == "throughput-fallen" and "50% of them" in begun.text
    assert over.over


def test_time_between_steps_that_none_accounts_for_is_waiting() -> None:
    (alarm,) = heard(*(step(n, seconds=1.0) for n in range(1, 40)))
    assert alarm.name == "waiting-for-data" and "50% of the" in alarm.text
    validations: list[Event] = []
    for n in range(1, 40):
        validations += [step(n, seconds=2.0), Progress("validation", 1, 9), Evaluated(n, 1, 1, 1)]
    assert "waiting-for-data" not in names(heard(*validations))


def test_a_gpu_that_idles_while_steps_are_taken_waits_and_one_in_a_validation_does_not() -> None:
    lazy = [sample(utilization=20) for _ in range(40)]
    (alarm,) = heard(step(1), *lazy)
    assert alarm.name == "waiting-for-data" and "busy 20 %" in alarm.text
    assert heard(step(1), Progress("validation", 1, 9), *lazy) == []
    assert heard(step(1), *(sample(utilization=None) for _ in range(40))) == []


def leak(grow: Callable[[int], float], samples: int = 900) -> list[Event]:
    return [step(1), *(sample(rss=int(4 * GIB + grow(n) * GIB)) for n in range(samples))]


def test_memory_that_creeps_is_told_with_the_time_it_lasts_and_a_cache_that_fills_is_not() -> None:
    (alarm,) = heard(*leak(lambda n: n / 100))
    assert alarm.name == "memory-creeping"
    # 20 GiB of 128 are used; a GiB goes in 200 s, so that 108 last 6 h.
    assert "full in 6.0 h" in alarm.text and "on the host" in alarm.text
    assert heard(*leak(lambda n: 4 * (1 - 0.99**n))) == []
    for jump in (300, 320, 340, 360):
        assert heard(*leak(lambda n, jump=jump: 4.0 if n > jump else 0.0)) == []


def test_memory_before_the_first_step_is_a_model_that_is_loaded() -> None:
    assert heard(*leak(lambda n: n / 100)[1:]) == []


def test_a_gpu_that_slows_down_for_heat_by_its_own_word_or_by_its_temperature() -> None:
    hot = [sample(throttled=("thermal_software",), temperature=70) for _ in range(30)]
    capped = [sample(throttled=("power_cap",), temperature=90) for _ in range(30)]
    begun, over = heard(*hot, *capped)
    assert begun.name == "thermal-throttling" and "GPU 0" in begun.text
    assert over.over
    assert heard(*capped) == []
    assert names(heard(*(sample(temperature=88) for _ in range(30)))) == ["thermal-throttling"]
    assert heard(*(sample(temperature=80) for _ in range(90))) == []


def test_a_disk_is_nearly_full_against_the_runs_own_checkpoints() -> None:
    free = sample(disk_free=5 * GIB)
    assert heard(CheckpointSaved(1, "step-1", "regular", 2 * GIB), free) == []
    begun, over = heard(
        CheckpointSaved(1, "step-1", "regular", 3 * GIB), free, free, sample(disk_free=50 * GIB)
    )
    assert (begun.name, begun.severity) == ("disk-nearly-full", "error")
    assert "room for 1" in begun.text
    assert over.over
    # Before the first: 10 million trained parameters, 12 bytes each.
    (expected,) = heard(started(9), sample(disk_free=GIB // 10))
    assert "is expected to take" in expected.text and "none fits" in expected.text


def test_a_stall_begins_and_ends_once() -> None:
    alarms = Alarms("r")
    told = [alarms.condition(word, "Not a word.", 9.0) for word in ("", "stalled", "stalled", "")]
    assert [names(changes) for changes in told] == [[], ["stalled"], [], ["over stalled"]]


def test_what_goes_on_is_not_told_again_by_a_supervisor_that_takes_over() -> None:
    curve = list(read_all(CURVES / "overfitting-tiny.jsonl"))
    first = Alarms("r")
    (alarm,) = first.feed(curve[:220])
    second = Alarms("r", [alarm])
    second.learn(curve[:220])
    assert second.feed(curve[220:]) == []
    assert second.standing == {"overfitting": alarm}


def test_what_is_kept_does_not_grow_with_the_run() -> None:
    def kept(count: int) -> int:
        alarms = Alarms("r")
        for n in range(count):
            events: list[Event] = [step(n, 1 + n % 7), sample(rss=GIB + n % 99)]
            if n % 50 == 0:
                events.append(Evaluated(n, 1.0, 9, 99))
            alarms.feed(records(events, 0.0, n * 2.0))
        return len(pickle.dumps([vars(rule) for rule in alarms._rules]))

    short, long = kept(4000), kept(12000)
    assert long < 1.1 * short


def test_samples_of_another_release_or_machine_harm_no_rule() -> None:
    bare = Sampled({}, [{"index": 0}], None)
    assert heard(started(9), step(1), *([bare] * 200)) == []


def test_each_rule_says_why_and_from_where() -> None:
    for rule in RULES:
        assert rule.why and rule.source and rule.severity in ("error", "warning", "info")
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_an_end_holds_what_the_beginning_said() -> None:
    begun, over = heard(
        CheckpointSaved(1, "s", "regular", GIB), sample(disk_free=GIB), sample(disk_free=9 * GIB)
    )
    assert over == replace(begun, over=True)


def test_the_docs_have_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text()
    for rule in RULES:
        assert f"| `{rule.name}` ({rule.severity}) |" in page, rule.name
