"""What lm-evaluation-harness has written elsewhere: read, scored, imported; without lm_eval."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

import pytest

from tests.trained import Trained
from workbench.errors import WorkbenchError
from workbench.evaluation import telling
from workbench.harness import results, scoring
from workbench.harness.results import Key
from workbench.statistics.proportions import mcnemar, wilson

STAMP = "2026-01-02T03-04-05.678901"
Z = NormalDist().inv_cdf(0.975)


def write(
    folder: Path,
    right: dict[str, list[float]],
    *,
    logged: bool = True,
    metric: str = "acc",
    group: str = "",
    texts: list[tuple[float, float]] | None = None,
    **more: Any,
) -> Path:
    """A file of results and its samples, as lm_eval 0.4.13 writes them: `right` has by task what
    each document was given; with a `group` they are a group's tasks, weighted by size. `texts` are
    log-likelihoods and words of a task `pile`."""
    folder.mkdir(parents=True)
    given: dict[str, dict[str, Any]] = {}
    for task, values in right.items():
        error = stdev(values) / math.sqrt(len(values))
        given[task] = {
            "alias": task,
            "sample_len": len(values),
            f"{metric},none": fmean(values),
            f"{metric}_stderr,none": error,
        }
    if group:
        values = [value for of in right.values() for value in of]
        given[group] = {
            "alias": group,
            f"{metric},none": fmean(values),
            f"{metric}_stderr,none": 0.1,
        }
    if texts:
        loglikelihood, words = (sum(column) for column in zip(*texts, strict=True))
        given["pile"] = {
            "word_perplexity,none": math.exp(-loglikelihood / words),
            "word_perplexity_stderr,none": "N/A",
        }
    body = {
        "results": given,
        "group_subtasks": {group: list(right)} if group else {},
        "higher_is_better": {
            **{task: {metric: True} for task in right},
            "pile": {"word_perplexity": False},
        },
        "n-shot": dict.fromkeys(right, 0),
        "n-samples": {t: {"original": 999, "effective": len(v)} for t, v in right.items()},
        "config": {"model": "hf", "model_args": "pretrained=somewhere"},
        "lm_eval_version": "0.4.13",
        **more,
    }
    path = folder / f"results_{STAMP}.json"
    path.write_text(json.dumps(body))
    samples: dict[str, list[dict[str, Any]]] = {
        task: [sample(n, metric, value) for n, value in enumerate(values)]
        for task, values in right.items()
    }
    if texts:
        samples["pile"] = [sample(n, "word_perplexity", list(t)) for n, t in enumerate(texts)]
    for task, rows in samples.items() if logged else ():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"samples_{task}_{STAMP}.jsonl").write_text(lines)
    return path


def sample(number: int, metric: str, value: Any, prompt: str = "p") -> dict[str, Any]:
    return {
        "doc_id": number,
        "doc": {"question": f"{number}?"},
        "target": "0",
        "arguments": {"gen_args_0": {"arg_0": f"{number}?", "arg_1": " a"}},
        "resps": [[["-1.5", "False"]]],
        "filtered_resps": [["-1.5", "False"]],
        "filter": "none",
        "metrics": [metric],
        "doc_hash": f"{number:064x}",
        "prompt_hash": f"{prompt}{number}",
        "target_hash": "0",
        metric: value,
    }


def scored(tmp_path: Path, base: Any, adapter: Any, **more: Any) -> dict[str, Any]:
    found = [
        results.read(write(tmp_path / name, right, **more), name)
        for name, right in (("adapter", adapter), ("base", base))
    ]
    return scoring.score(found)


BASE = [1.0] * 10 + [0.0] * 20
ADAPTER = [1.0] * 8 + [0.0] * 2 + [1.0] * 12 + [0.0] * 8


def test_logged_documents_are_compared_in_pairs_whichever_file_comes_first(tmp_path: Path) -> None:
    result = scored(tmp_path, {"quiz": BASE}, {"quiz": ADAPTER})
    assert (result["base"], list(result["systems"])) == ("base", ["base", "adapter"])
    figure = result["systems"]["base"]["quiz/acc"]
    assert (figure["value"], figure["n"]) == (pytest.approx(1 / 3), 30)
    assert (figure["low"], figure["high"]) == wilson(10, 30)
    (one,) = result["comparisons"]
    assert (one["from"], one["to"], one["test"]) == ("base", "adapter", "McNemar, mid-p")
    assert (one["only_from"], one["only_to"], one["value"]) == (2, 12, pytest.approx(1 / 3))
    assert one["p"] == one["p_holm"] == mcnemar(2, 12)[1]


def test_of_results_alone_the_standard_errors_make_the_intervals(tmp_path: Path) -> None:
    result = scored(tmp_path, {"quiz": BASE}, {"quiz": ADAPTER}, logged=False)
    errors = [stdev(values) / math.sqrt(30) for values in (BASE, ADAPTER)]
    figure = result["systems"]["base"]["quiz/acc"]
    assert figure["high"] - figure["value"] == pytest.approx(Z * errors[0])
    (one,) = result["comparisons"]
    error = math.hypot(*errors)
    assert (one["test"], one["high"] - one["value"]) == ("z, not paired", pytest.approx(Z * error))
    assert one["p"] == pytest.approx(2 * (1 - NormalDist().cdf(one["value"] / error)))
    told = telling.figures(result), telling.changes(result)
    assert told[0].notes[0].endswith("by lm_eval's standard error: all")
    assert told[1] is not None and told[1].notes[0].startswith("p: z, not paired")


def test_p_values_of_several_tasks_are_corrected_together(tmp_path: Path) -> None:
    result = scored(
        tmp_path,
        {"one": BASE, "two": BASE, "same": BASE},
        {"one": ADAPTER, "two": ADAPTER[:25] + [1.0] * 5, "same": BASE},
    )
    by_name = {one["measure"]: one for one in result["comparisons"]}
    assert by_name["one/acc"]["p_holm"] == by_name["one/acc"]["p"]
    assert by_name["two/acc"]["p_holm"] == pytest.approx(2 * by_name["two/acc"]["p"])
    assert (by_name["same/acc"]["differ"], by_name["same/acc"]["p"]) == (0, 1)


def test_a_group_is_of_the_documents_of_its_tasks(tmp_path: Path) -> None:
    result = scored(
        tmp_path,
        {"one": BASE, "two": BASE[:20]},
        {"one": ADAPTER, "two": BASE[:20]},
        group="both",
    )
    figure = result["systems"]["base"]["both/acc"]
    assert (figure["low"], figure["high"], figure["n"]) == (*wilson(20, 50), 50)
    (whole,) = [one for one in result["comparisons"] if one["measure"] == "both/acc"]
    assert (whole["test"], whole["only_from"], whole["only_to"]) == ("McNemar, mid-p", 2, 12)


def test_what_a_group_weighs_otherwise_has_its_standard_error(tmp_path: Path) -> None:
    files = {
        name: write(tmp_path / name, {"one": right, "two": BASE[:10]}, group="both")
        for name, right in (("base", BASE), ("adapter", ADAPTER))
    }
    for path in files.values():
        body = json.loads(path.read_text())
        body["results"]["both"]["acc,none"] = 0.5
        path.write_text(json.dumps(body))
    result = scoring.score([results.read(path, name) for name, path in files.items()])
    figure = result["systems"]["base"]["both/acc"]
    assert (figure["value"], figure["high"]) == (0.5, pytest.approx(0.5 + Z * 0.1))
    assert result["measures"]["both/acc"]["interval"] == "standard error of lm_eval"
    assert result["measures"]["one/acc"]["interval"] == "Wilson"


def test_perplexity_of_words_is_resampled_by_documents(tmp_path: Path) -> None:
    texts = [(-30.0 - n, 10.0 + n % 3) for n in range(40)]
    result = scored(tmp_path, {"quiz": BASE}, {"quiz": BASE}, texts=texts)
    figure = result["systems"]["adapter"]["pile/word_perplexity"]
    assert figure["low"] < figure["value"] < figure["high"] and figure["n"] == 40
    about = result["measures"]["pile/word_perplexity"]
    assert (about["better"], about["interval"]) == ("lower", "bootstrap of documents")


def test_samples_that_give_another_figure_are_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "base", {"quiz": BASE})
    samples = path.parent / f"samples_quiz_{STAMP}.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:12]))
    result = scoring.score([results.read(path, "base")])
    assert result["measures"]["quiz/acc"]["interval"] == "standard error of lm_eval"


def test_what_makes_two_results_hard_to_compare_is_said(tmp_path: Path) -> None:
    base = write(tmp_path / "base", {"quiz": BASE})
    other = write(tmp_path / "adapter", {"quiz": ADAPTER}, lm_eval_version="0.4.9")
    body = json.loads(other.read_text())
    other.write_text(json.dumps({**body, "n-shot": {"quiz": 5}}))
    samples = other.parent / f"samples_quiz_{STAMP}.jsonl"
    rows = [sample(n, "acc", value, prompt="other") for n, value in enumerate(ADAPTER)]
    samples.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    notes = scoring.score([results.read(base, "base"), results.read(other, "adapter")])["notes"]
    assert notes[0] == "quiz: base and adapter differ in shots, 0 and 5."
    assert "30 of 30 documents in other words" in notes[1]
    assert "0.4.13 and 0.4.9" in notes[2]


def test_filters_and_results_of_older_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    gsm8k = {"exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.01}
    old = {"acc": 0.5, "acc_stderr": 0.02}
    path.write_text(json.dumps({"results": {"gsm8k": gsm8k, "piqa": old}}))
    found = results.read(path, "base")
    assert [key.name for key in found.figures] == ["gsm8k/exact_match (strict-match)", "piqa/acc"]
    assert [figure.stderr for figure in found.figures.values()] == [0.01, 0.02]
    assert found.figures[Key("piqa", "acc")].value == 0.5 and not found.samples


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("results_1.json", "{}", r'results_1.json has no "results"'),
        ("results_1.json", '{"results": {"a": 1}}', 'results_1.json: "results" of a must be an'),
        ("results_1.json", '{"results": {"a": {"alias": "a"}}}', "has no figure"),
        ("samples_quiz_1.jsonl", '{"doc_id": 1}\n{', r"samples_quiz_1.jsonl:2 is not valid JSON"),
        ("samples_quiz_1.jsonl", '{"doc": 1}', r'samples_quiz_1.jsonl:1 has no "doc_id"'),
    ],
)
def test_what_is_no_result_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / "results_1.json"
    path.write_text(json.dumps({"results": {"quiz": {"acc,none": 1.0}}}))
    (tmp_path / name).write_text(text)
    with pytest.raises(WorkbenchError, match=told):
        results.read(path, "base")


# --- into a run --------------------------------------------------------------------------------


def test_imported_results_are_where_a_runs_figures_are(
    trained_copy: Trained, tmp_path: Path
) -> None:
    base = write(tmp_path / "base", {"quiz": BASE})
    peft = {"model": "hf", "model_args": "pretrained=somewhere,peft=adapter"}
    write(tmp_path / "new", {"quiz": ADAPTER}, config=peft)
    printed = trained_copy.cli("harness", "import", base, tmp_path / "new", "latest").stdout
    assert "quiz/acc  0.3333 [0.1923, 0.5122]  0.6667 [0.4878, 0.8077]" in printed
    assert "McNemar" in printed
    shown = trained_copy.json("runs", "show")["summary"]
    assert shown["harness"]["adapter"]["quiz/acc"] == pytest.approx(2 / 3)
    # The evaluation of its own is still the one that is scored, reviewed and compared.
    assert shown["scores"]["adapter"]["rouge_l"] == 1
    assert trained_copy.json("score")["systems"]["adapter"]["rouge_l"]["value"] == 1
    report = trained_copy.cli("runs", "report").stdout
    assert "### lm-evaluation-harness" in report and "| quiz/acc | 0.3333" in report
    trained_copy.cli("export", "adapter", "latest", "--to", tmp_path / "out")
    assert "| quiz/acc | adapter | +0.3333" in (tmp_path / "out" / "README.md").read_text()


def test_what_was_imported_is_kept_as_it_was(trained_copy: Trained, tmp_path: Path) -> None:
    path = write(tmp_path / "some=where", {"quiz": ADAPTER})
    body = trained_copy.json("harness", "import", path, "small", "--name", "theirs")
    assert list(body["systems"]) == ["adapter"] and not body["comparisons"]
    kept = trained_copy.run / "evaluations" / "theirs" / "lm_eval" / "adapter"
    assert {p.name for p in kept.iterdir()} == {p.name for p in path.parent.iterdir()}
    assert (kept / path.name).read_bytes() == path.read_bytes()


def test_two_results_of_one_system_are_not_taken(trained_copy: Trained, tmp_path: Path) -> None:
    files = [write(tmp_path / name, {"quiz": BASE}) for name in "ab"]
    refused = trained_copy.cli("harness", "import", *files, "latest", check=False)
    assert refused.returncode == 2 and "Name them: base=FILE adapter=FILE" in refused.stderr
    assert sorted(p.name for p in (trained_copy.run / "evaluations").iterdir()) == ["01"]
