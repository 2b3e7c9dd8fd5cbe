from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Journey
from workbench import cli
from workbench.jobs.log import read_all


def test_data_become_a_version_whose_trained_tokens_are_the_response(journey: Journey) -> None:
    said = journey.said
    assert said["import"]["rows"] == 120
    assert set(said["import"]["splits"]) == {"train", "validation"}
    assert said["check"]["leaking_rows"] == []
    (encoded,) = said["tokens"][0]["encoded"]
    trained = "".join(token["text"] for token in encoded["tokens"] if token["trained"])
    assert trained == said["tokens"][0]["examples"][0]["messages"][-1]["content"] + "<|im_end|>"


def test_training_leaves_a_folder_that_says_everything(journey: Journey) -> None:
    train = journey.said["train"]
    assert (train["status"], train["step"], train["total_steps"]) == ("finished", 60, 60)
    run = journey.workspace / "runs" / train["id"]
    for name in ("config.yaml", "manifest.json", "train.jsonl", "host.jsonl", "state.json"):
        assert (run / name).stat().st_size > 0
    assert (run / "checkpoints" / "step-60" / "trainer.json").exists()
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    kinds = [record.event.type for record in read_all(run / "train.jsonl")]
    assert kinds.count("step") == 60
    assert kinds.count("evaluated") == 3
    assert kinds[-1] == "finished"


def test_the_adapter_is_better_than_the_base_and_both_are_measured(journey: Journey) -> None:
    systems = journey.said["eval"]["systems"]
    figures = {"loss", "perplexity", "rouge_l", "exact_match", "token_f1"}
    assert figures <= set(systems["base"]) == set(systems["adapter"])
    assert systems["adapter"]["loss"]["value"] < systems["base"]["loss"]["value"]
    assert systems["adapter"]["perplexity"]["value"] < systems["base"]["perplexity"]["value"]
    first, best = (journey.said["train"][f"{name}_validation_loss"] for name in ("first", "best"))
    assert systems["base"]["loss"]["value"] == pytest.approx(first, abs=1e-3)
    assert systems["adapter"]["loss"]["value"] == pytest.approx(best, abs=1e-3)


def test_adapter_and_merged_model_are_whole_and_agree(journey: Journey) -> None:
    adapter, merged = (Path(journey.said[name]["path"]) for name in ("adapter", "merged"))
    assert (adapter / "adapter_config.json").exists()
    assert (adapter / "workbench-manifest.json").exists()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (merged / name).exists()
    assert journey.said["merged"]["merge"]["same_top_token"] > 0.99


def test_the_merged_model_is_a_base_model_like_any_other(journey: Journey) -> None:
    shown = journey.run("model", "show", journey.said["merged"]["path"])
    assert shown["type"] == "llama"


def test_the_report_names_what_was_trained_and_what_came_of_it(journey: Journey) -> None:
    text = journey.said["report"]["text"]
    for wanted in (
        journey.said["train"]["id"],
        journey.said["import"]["reference"],
        str(journey.base),
        "| training.learning_rate | 0.005 |",
        "| loss |",
        "rouge l",
        "60 of 60 steps",
    ):
        assert wanted in text


def test_a_person_can_judge_blind_from_the_shell(journey: Journey) -> None:
    journey.run("review", "create", "shell", "--from", journey.said["eval"]["folder"])
    while comparison := journey.run("review", "next", "shell", "--annotator", "ann")["comparison"]:
        journey.run("review", "judge", "shell", comparison["item"], "tie", "--annotator", "ann")
    result = journey.run("review", "report", "shell", "--unblind")["result"]
    assert result["ties"] == 6


def _leaves(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, Any]]:
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups and path:
        yield path, parser
    for group in groups:
        for name, inner in group.choices.items():
            yield from _leaves(inner, f"{path} {name}".strip())


def test_every_verb_has_json_and_help() -> None:
    found = dict(_leaves(cli._parser_of_verbs(), ""))
    wanted = ("demo", "train", "attach", "status", "stop", "eval", "doctor")
    assert set(wanted) <= set(found)
    assert {name.split()[0] for name in found} >= {"data", "config", "runs", "review", "export"}
    for name, parser in found.items():
        assert "--json" in parser.format_help(), name
        assert parser.description, name
