from __future__ import annotations

import json
from typing import Any, cast

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from tests.trained import ANSWER, Trained
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.evaluation import metrics
from workbench.evaluation.answers import Answer
from workbench.evaluation.generate import answer
from workbench.evaluation.request import read_scores
from workbench.evaluation.rows import Row as Scored
from workbench.evaluation.scoring import score
from workbench.jobs.events import Progress
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import read_all
from workbench.training import encoding
from workbench.training.batches import Layout, Row
from workbench.training.loss import TrainedTokenLoss, row_losses

FIGURES = {"loss", "perplexity", "rouge_l", "exact_match", "token_f1"}


@pytest.fixture(scope="module")
def scores(trained_run: Trained) -> dict[str, Any]:
    return read_scores(trained_run.evaluation)


@pytest.fixture(scope="module")
def plain(trained_run: Trained) -> PreTrainedModel:
    """The base model, as anybody would load it."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(trained_run.base)
    model.eval()
    return model


@pytest.fixture(scope="module")
def adapted(trained_run: Trained) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(trained_run.base)
    model: PeftModel = PeftModel.from_pretrained(base, trained_run.run / "adapter")
    return model.eval()


def held_out(trained_run: Trained) -> tuple[ChatTemplate, list[Example], list[Row]]:
    template = ChatTemplate.load(trained_run.base)
    version = versions.resolve(trained_run.workspace, "numbers")
    examples = list(versions.read(version, "validation"))
    return template, examples, encoding.encode(examples, template, RunConfig().data).rows


def loss_by_hand(network: Any, rows: list[Row]) -> tuple[float, int]:
    """Sum of the loss and its tokens, a row at a time, without anything of workbench's."""
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for row in rows:
            ids = row.ids.long().unsqueeze(0)
            labels = ids.masked_fill(~row.trained, -100)[0, 1:]
            logits = network(input_ids=ids).logits[0, :-1]
            total += float(cross_entropy(logits, labels, reduction="sum"))
            tokens += int((labels != -100).sum())
    return total, tokens


def test_every_figure_is_there_for_base_and_adapter_with_its_interval(
    scores: dict[str, Any], trained_run: Trained
) -> None:
    _, examples, _ = held_out(trained_run)
    assert set(scores["systems"]) == {"base", "adapter"}
    counts = scores["rows"]
    assert (counts["loss"], counts["answers"]) == (len(examples), 3) and len(examples) > 3
    for figures in scores["systems"].values():
        assert set(figures) == FIGURES
        for name, figure in figures.items():
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["n"] == (len(examples) if name in ("loss", "perplexity") else 3)
    asked = scores["request"]
    assert (asked["rows"], asked["max_new_tokens"]) == (3, 24)
    assert scores["dataset"].startswith("numbers@") and scores["environment"]["packages"]["torch"]


def test_scoring_tells_how_far_it_is(trained_run: Trained) -> None:
    events = (record.event for record in read_all(trained_run.evaluation / EVENTS))
    told = [event for event in events if isinstance(event, Progress)]
    ends = {event.phase: (event.done, event.total, event.unit) for event in told}
    # Five measures and two systems, each row with an answer or a loss.
    assert ends["scoring"] == (80, 80, "scores")
    assert ends["marking outputs of adapter"] == (3, 3, "outputs")
    assert ends["looking for copies of training rows"] == (32, 32, "rows")


def test_it_is_recorded_how_the_figures_were_made(scores: dict[str, Any]) -> None:
    assert scores["generation"] == {
        "do_sample": False,
        "num_beams": 1,
        "max_new_tokens": 24,
        "eos_token_id": [258],
        "pad_token_id": 256,
    }
    environment = scores["environment"]
    assert environment["dtype"] == "float32" and environment["threads"] >= 1
    assert environment["device"]


def test_the_adapter_has_learnt_what_the_base_does_not_know(scores: dict[str, Any]) -> None:
    base, adapter = scores["systems"]["base"], scores["systems"]["adapter"]
    assert adapter["loss"]["value"] < 0.1 < base["loss"]["value"]
    assert adapter["exact_match"]["value"] == adapter["rouge_l"]["value"] == 1
    assert base["exact_match"]["value"] == 0


@pytest.mark.parametrize("system", ["base", "adapter"])
def test_the_loss_is_that_of_the_model_loaded_plainly(
    scores: dict[str, Any],
    trained_run: Trained,
    plain: PreTrainedModel,
    adapted: PeftModel,
    system: str,
) -> None:
    total, tokens = loss_by_hand(
        {"base": plain, "adapter": adapted}[system], held_out(trained_run)[2]
    )
    figures = scores["systems"][system]
    assert scores["trained_tokens"] == tokens
    assert figures["loss"]["value"] == pytest.approx(total / tokens, rel=1e-4)
    assert figures["perplexity"]["value"] == pytest.approx(
        metrics.perplexity(total / tokens), rel=1e-3
    )


def test_the_loss_is_the_one_that_training_ended_with(
    scores: dict[str, Any], trained_run: Trained
) -> None:
    status = trained_run.json("status")
    systems = scores["systems"]
    assert status["first_validation_loss"] == pytest.approx(systems["base"]["loss"]["value"])
    assert status["best_validation_loss"] == pytest.approx(systems["adapter"]["loss"]["value"])


def test_the_answers_are_kept_with_prompt_and_reference(trained_run: Trained) -> None:
    lines = (trained_run.evaluation / "outputs.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    _, examples, _ = held_out(trained_run)
    assert [row["key"] for row in rows] == ["validation-0", "validation-1", "validation-2"]
    for row, example in zip(rows, examples, strict=False):
        assert row["prompt"] == [m.to_json() for m in example.prompt]
        assert (row["reference"], row["source"]) == (ANSWER, example.source)
        assert set(row["outputs"]) == {"base", "adapter"}
        assert row["outputs"]["adapter"] == ANSWER


def test_the_bases_answers_are_greedy_ones_of_the_plain_model(
    trained_run: Trained, plain: PreTrainedModel
) -> None:
    template, examples, _ = held_out(trained_run)
    ids = template.prompt_ids(examples[0].prompt)
    prompt = len(ids)
    with torch.inference_mode():
        while len(ids) < prompt + 24 and ids[-1] not in template.stop_ids:
            ids.append(int(plain(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    first = json.loads((trained_run.evaluation / "outputs.jsonl").read_text().splitlines()[0])
    assert first["outputs"]["base"] == template.decode(ids[prompt:])


def test_the_bases_own_generation_settings_change_no_answer(
    trained_run: Trained, plain: PreTrainedModel
) -> None:
    template, examples, _ = held_out(trained_run)

    def answers() -> list[str]:
        said = answer(
            plain, template, examples, max_new_tokens=8, batch_size=4, on_rows=lambda n: None
        )
        return [one.text for one in said]

    greedy = answers()
    kept = plain.generation_config
    plain.generation_config = GenerationConfig(
        repetition_penalty=50.0, no_repeat_ngram_size=1, num_beams=3, min_new_tokens=8
    )
    try:
        own = plain.generation_config.to_dict()
        assert answers() == greedy
        assert plain.generation_config.to_dict() == own, "it has its own again"
    finally:
        plain.generation_config = kept


def test_an_answer_ends_at_the_end_marker_and_keeps_its_place(
    trained_run: Trained, adapted: PeftModel
) -> None:
    """Prompts of many lengths in batches of 2, and room for many more tokens."""
    template, _, _ = held_out(trained_run)
    asked = [
        Example((Message("user", f"Is {n} {'really ' * (7 * n % 5)}a number?"),)) for n in range(5)
    ]
    done: list[int] = []
    answers = answer(
        cast(PreTrainedModel, adapted.get_base_model()),
        template,
        asked,
        max_new_tokens=50,
        batch_size=2,
        on_rows=done.append,
    )
    assert answers == [Answer(ANSWER, len(ANSWER), stopped=True)] * 5, "a token is a byte"
    assert done == [1, 2, 3, 4, 5]


def test_an_answer_that_is_cut_says_so(trained_run: Trained, plain: PreTrainedModel) -> None:
    template, examples, _ = held_out(trained_run)
    (said,) = answer(
        plain, template, examples[:1], max_new_tokens=1, batch_size=1, on_rows=lambda n: None
    )
    assert (said.tokens, said.stopped) == (1, False)


def test_answers_in_a_batch_are_those_that_each_prompt_gets_alone(
    trained_run: Trained, plain: PreTrainedModel
) -> None:
    template, _, _ = held_out(trained_run)
    asked = [Example((Message("user", "x" * n),)) for n in (40, 1, 17, 3)]

    def answers(rows: list[Example], size: int) -> list[str]:
        said = answer(
            plain, template, rows, max_new_tokens=8, batch_size=size, on_rows=lambda n: None
        )
        return [one.text for one in said]

    together = answers(asked, 4)
    assert together == [text for row in asked for text in answers([row], 1)]
    assert all(together)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_row_losses_keep_the_order_of_the_rows(
    trained_run: Trained, plain: PreTrainedModel, batch_size: int
) -> None:
    _, _, rows = held_out(trained_run)
    rows = sorted(rows, key=lambda row: int(row.ids.sum()) % 7)
    layout = Layout(batch_size, max(map(len, rows)), 256, packed=False)
    losses = row_losses(TrainedTokenLoss(plain), rows, layout, on_rows=lambda n: None)
    assert losses == pytest.approx([loss_by_hand(plain, [row])[0] for row in rows], rel=1e-4)
    assert len(set(losses)) > 1


def lost(*rows: tuple[float, int]) -> list[Scored]:
    return [
        Scored(
            f"row-{n}",
            references=("a",),
            outputs={"base": "a"},
            losses={"base": loss},
            trained_tokens=tokens,
        )
        for n, (loss, tokens) in enumerate(rows)
    ]


def test_the_loss_is_a_mean_over_tokens_and_not_over_rows() -> None:
    figures = score(lost((1.0, 1), (9.0, 3))).result["systems"]["base"]
    assert figures["loss"]["value"] == pytest.approx(10 / 4)
    assert figures["exact_match"]["value"] == 1


@pytest.mark.parametrize("loss", [1e6, float("nan"), float("inf")])
def test_figures_that_are_no_numbers_are_null_in_the_file(loss: float) -> None:
    result = score(lost((loss, 1), (1.0, 1))).result
    assert result["systems"]["base"]["perplexity"]["value"] is None
    json.dumps(result, allow_nan=False)


def test_the_verb_prints_a_table_of_base_and_adapter(trained_run: Trained) -> None:
    lines = trained_run.evaluation_table.splitlines()
    assert lines[0].split() == ["figure", "base", "adapter"]
    assert {line.split("  ")[0] for line in lines[1:6]} == {n.replace("_", " ") for n in FIGURES}
    assert "answers to 3" in trained_run.evaluation_table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "01"), "evaluation 01 already"),
        (("--rows", "0"), "at least 1"),
        (("--max-new-tokens", "-3"), "at least 1"),
        (("--name", "../elsewhere"), "can't be the name"),
        (("--engine", "vllm"), "vLLM is not installed"),
        (("--temperature", "-1"), "temperature must be from 0 to 10"),
        (("--temperature", "nan"), "temperature must be from 0 to 10"),
        (("--model", "nowhere"), "doesn't exist"),
        (("small-0001", "small-0001"), "Two systems are called small-0001"),
        (("small-0001", "small-0009"), "There is no run small-0009"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    trained_run: Trained, arguments: tuple[str, ...], words: str
) -> None:
    before = sorted((trained_run.run / "evaluations").iterdir())
    result = trained_run.cli("eval", *arguments, check=False)
    assert result.returncode == 2 and words in result.stderr
    assert sorted((trained_run.run / "evaluations").iterdir()) == before


def test_neither_a_run_nor_its_evaluation_loads_torch_s_compiler(trained_run: Trained) -> None:
    """It would take a second of each start."""
    for folder in (trained_run.run, trained_run.evaluation):
        loaded = {
            line.rpartition("|")[2].strip()
            for line in (folder / "stderr.log").read_text().splitlines()
            if line.startswith("import time:")
        }
        assert {"bitsandbytes", "peft"} <= loaded
        assert "torch._inductor.compile_fx" not in loaded
