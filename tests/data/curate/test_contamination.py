from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.data.curate.in_processes import said_by_any
from workbench.data import versions
from workbench.data.curate import checks, contamination, looking
from workbench.data.curate.contamination import RULES, Options, annotate
from workbench.data.curate.findings import Finding, Span
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

SHARED = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here")
SET = "held-out@0123456789ab"
W = [f"word{n}" for n in range(3000)]


def row(text: str, answer: str = "", system: str = "", split: str = "train") -> Example:
    turns = [("system", system), ("user", text), ("assistant", answer)]
    return Example(tuple(Message(role, turn) for role, turn in turns if turn), split=split)


def words(*ranges: range) -> str:
    return " ".join(W[n] for part in ranges for n in part)


def found(
    train: Iterable[str], evaluated: Iterable[str], options: Options | None = None
) -> list[Finding]:
    rows = [row(text, "Well.") for text in train]
    others = {SET: [row(text, "Yes.") for text in evaluated]}
    return list(annotate(rows, options or Options(), others=others))


def pairs(findings: Iterable[Finding]) -> list[tuple[int, int]]:
    """The training row and the evaluation row of each."""
    return [(f.row, f.other.row) for f in findings if f.other is not None]


def marked(example: Example, spans: Sequence[Span]) -> list[str]:
    texts = {f"messages[{n}].content": m.content for n, m in enumerate(example.messages)}
    texts["text"] = example.text
    return [texts[span.where][span.start : span.end] for span in spans]


def test_half_of_the_pairs_of_words_are_enough() -> None:
    """21 words have 20 pairs, which all weigh the same where none is common."""
    text = words(range(21))
    enough, few = words(range(11), range(100, 110)), words(range(10), range(100, 110))
    (finding,) = found([few, enough], [text])
    assert (finding.row, finding.score) == (1, pytest.approx(0.5))
    assert finding.kind == "contamination"
    assert finding.reason == (
        f"50 % of the prompt of row 1 of {SET} is in it, by the weight of its rare words"
    )
    assert pairs(found([few, enough], [text], Options(threshold=0.45))) == [(0, 0), (1, 0)]
    assert found([few, enough], [text], Options(threshold=0.55)) == []


def test_a_pair_counts_by_its_rarity_among_the_training_rows() -> None:
    """Three pairs are in 40 of the 51 rows, the others in one at most."""
    common = [words(range(4), range(100 + 20 * n, 115 + 20 * n)) for n in range(40)]
    rare = [words(range(1000 + 20 * n, 1020 + 20 * n)) for n in range(10)]
    leak = words(range(15))
    (finding,) = found([*common, *rare, leak], [words(range(21))])
    common_weight, rare_weight = math.log(53 / 40), math.log(53)
    wanted = (3 * common_weight + 11 * rare_weight) / (3 * common_weight + 17 * rare_weight)
    assert (finding.row, finding.score) == (50, pytest.approx(wanted))


def test_a_pair_counts_less_the_more_evaluation_rows_have_it() -> None:
    """Each text has 10 pairs that all four have, 1/16 each, one that joins them to its own, and
    19 of its own."""
    texts = [words(range(11), range(20 * n, 20 * n + 20)) for n in range(5, 9)]
    (finding,) = found([words(range(11), range(100, 115))], texts)
    assert pairs([finding]) == [(0, 0)]
    assert finding.score == pytest.approx((10 / 16 + 15) / (10 / 16 + 20))


def test_what_leaks_often_is_not_taken_for_common() -> None:
    leak = words(range(13), range(100, 110))
    assert len(found([leak] * 90 + [words(range(200, 220))] * 10, [words(range(21))])) == 90


@pytest.mark.parametrize("rule, gram", [("gpt3", 13), ("datatrove", 12)])
def test_rules_for_which_one_n_gram_is_enough(rule: str, gram: int) -> None:
    inside = [words(range(500, 520), range(5, 5 + n), range(600, 620)) for n in (gram, gram - 1)]
    (finding,) = found(inside, [words(range(40))], Options(rule))
    assert finding.row == 0
    assert finding.reason == f"{gram} words on end of the prompt of row 1 of {SET} are in it"
    assert finding.score == pytest.approx(1 / (40 - gram + 1))


def test_gpt3_has_shorter_n_grams_where_texts_are_short_but_eight() -> None:
    """Of 40 texts all but two have at least 10 words, then 8 of 9, which is the 5th percentile."""
    tens = [words(range(50 * n, 50 * n + 10)) for n in range(38)] + [words(range(2500, 2540))]
    leak = words(range(2700, 2720), range(2510, 2520), range(2720, 2740))
    less = words(range(2700, 2720), range(2510, 2519), range(2720, 2740))
    assert [f.row for f in found([leak, less], tens, Options("gpt3"))] == [0]
    fives = [words(range(50 * n, 50 * n + 5)) for n in range(38)] + [words(range(2500, 2540))]
    eight = words(range(2700, 2720), range(2510, 2518), range(2720, 2740))
    seven = words(range(2700, 2720), range(2510, 2517), range(2720, 2740))
    whole, most = words(range(2000, 2010), range(50, 55)), words(range(2000, 2010), range(50, 54))
    assert [f.row for f in found([seven, eight, most, whole], fives, Options("gpt3"))] == [1, 3]


def test_palm_asks_for_seven_tenths_of_the_eight_grams() -> None:
    """27 words have 20 of them; 21 words of these 14."""
    options = Options("palm")
    (finding,) = found([words(range(20)), words(range(21))], [words(range(27))], options)
    assert (finding.row, finding.score) == (1, pytest.approx(0.7))
    assert finding.reason == f"70 % of the prompt of row 1 of {SET} is in it"


def test_tulu3_asks_for_more_than_half_of_the_words() -> None:
    options = Options("tulu3")
    (finding,) = found([words(range(10)), words(range(11))], [words(range(20))], options)
    assert (finding.row, finding.score) == (1, pytest.approx(0.55))
    # In two pieces, of which that of seven words has no 8-gram.
    two = [words(range(8), range(100, 108), range(11, 11 + n)) for n in (7, 8)]
    assert [f.row for f in found(two, [words(range(20))], options)] == [1]


def test_a_short_text_must_be_there_whole() -> None:
    question = "How many girls are in the school if 40% are boys?"
    rows = [
        f"Solve this: {question.upper().replace(',', ';')} Thanks!",
        "How many girls are in the school if 30% are boys?",
        "girls are in the school if 40% are boys? How many",
    ]
    (finding,) = found(rows, [question])
    assert (finding.row, finding.score) == (0, 1.0)
    assert finding.reason == f"all of the prompt of row 1 of {SET} is in it"
    assert marked(row(rows[0]), finding.spans) == [
        "HOW MANY GIRLS ARE IN THE SCHOOL IF 40% ARE BOYS"
    ]


def test_a_text_of_few_words_must_be_a_turn() -> None:
    asked = ["What is rain?", "Hi", ":-)", "...", "A\n?"]
    rows = [
        row("what is RAIN", "Water."),
        row("Tell me, what is rain?", "Hi"),
        row("What is rain for?", "strange hi"),
        row(":-)", "!?"),
    ]
    findings = list(annotate(rows, others={SET: [row(text) for text in asked]}))
    assert pairs(findings) == [(0, 0), (1, 1)]
    assert [marked(rows[f.row], f.spans) for f in findings] == [["what is RAIN"], ["Hi"]]


def test_signs_of_arithmetic_tell_texts_apart() -> None:
    rows = ["Now please work out what 3 + 4 is", "Now please work out what 3 - 4 is"]
    assert pairs(found(rows, ["please work out what 3 - 4 is"])) == [(1, 0)]


def test_signs_of_scripts_without_spaces_are_words() -> None:
    question = "小明有五个苹果他给了小红两个又买了三个请问小明现在一共有多少个苹果"
    edited = question.replace("五", "七").replace("又买了", "后来又买了")
    rows = [
        row(f"题目：{edited}？谢谢"),
        row("今天天气很好我们一起去公园散步吧你觉得怎么样呢朋友们"),
    ]
    (finding,) = annotate(rows, others={SET: [row(question)]})
    assert finding.row == 0 and finding.score is not None and 0.7 < finding.score < 1
    assert marked(rows[0], finding.spans) == [
        "小明有",
        "个苹果他给了小红两个",
        "又买了三个请问小明现在一共有多少个苹果",
    ]


def test_spans_are_the_shared_text_on_both_sides() -> None:
    leak = "Straße 7, the OLD mill; " + words(range(20))
    rows = [row("nothing of it", words(range(100, 130)) + f" <<{leak}>> and so on", "Be kind.")]
    held_out = [row("Something else"), row(f"{words(range(300, 303))}: {leak}!", "Yes", "Be brief")]
    (finding,) = annotate(rows, others={SET: held_out})
    assert finding.other is not None and (finding.other.row, finding.other.dataset) == (1, SET)
    assert marked(rows[0], finding.spans) == [leak]
    assert marked(held_out[1], finding.other.spans) == [leak]
    assert {s.where for s in finding.spans} == {"messages[2].content"}
    assert {s.where for s in finding.other.spans} == {"messages[1].content"}
    assert {s.label for s in (*finding.spans, *finding.other.spans)} == {"coverage"}


def test_words_that_lie_far_apart_are_not_a_text() -> None:
    """All of a text's pairs are in a long row, but no more than six within 42 words."""
    scattered = words(
        *(part for n in range(20) for part in (range(n, n + 2), range(100 + 9 * n, 107 + 9 * n)))
    )
    near = words(*(part for n in range(0, 20, 2) for part in (range(n, n + 2), range(99, 101))))
    assert pairs(found([scattered, near], [words(range(21))])) == [(1, 0)]


def test_the_validation_split_is_always_an_evaluation_set() -> None:
    asked = words(range(30))
    rows = [
        row(asked, split="validation"),
        row(words(range(5), range(100, 110)), answer=words(range(200, 230))),
        row(f"So: {asked}"),
        row(words(range(200, 230)), split="validation"),
    ]
    others = {SET: [row("unlike"), row(words(range(1000, 1030)), split="validation")]}
    rows.append(row(words(range(1000, 1030))))
    findings = list(annotate(rows, others=others))
    assert [(f.row, f.other and (f.other.dataset, f.other.row)) for f in findings] == [
        (1, ("", 3)),
        (2, ("", 0)),
        (4, (SET, 1)),
    ]
    assert findings[1].reason == "all of the prompt of validation row 1 is in it"


def test_a_row_has_a_finding_for_each_text_in_another_place() -> None:
    first, second = words(range(30)), words(range(100, 130))
    version = words(range(26), range(200, 204))
    (a, b) = found([f"{first} and {second}"], [second, version, first])
    assert pairs([a, b]) == [(0, 0), (0, 2)]
    # The same words elsewhere are one text, of the first row that has it.
    others = {SET: [row(first)], "copy@1": [row(first.upper())]}
    (finding,) = annotate([row(first)], others=others)
    assert finding.other is not None and finding.other.dataset == SET


def test_plain_text_is_compared_whole() -> None:
    rows = [Example(text=f"Before. {words(range(45))} After.")]
    (finding,) = annotate(rows, others={SET: [Example(text=words(range(20, 60)))]})
    assert finding.score == pytest.approx(24 / 39)
    assert finding.reason.startswith(f"61 % of the text of row 1 of {SET} is in it")
    assert marked(rows[0], finding.spans) == [words(range(20, 45))]


def test_responses_are_looked_for_where_it_is_asked_for() -> None:
    summary = words(range(50))
    held_out = [row(words(range(100, 150)), summary), row(words(range(200, 250)), "It is 42")]
    rows = [row("Go on", summary), row("Tell me all", "It is 42")]
    assert list(annotate(rows, others={SET: held_out})) == []
    (finding,) = annotate(rows, Options(responses=True), others={SET: held_out})
    assert finding.reason == f"all of the response of row 1 of {SET} is in it"
    assert finding.other is not None
    assert marked(held_out[0], finding.other.spans) == [summary]


def test_an_instruction_that_all_rows_share_flags_none() -> None:
    rng = random.Random(1)
    template = " ".join(rng.choice(W) for _ in range(400))
    asked = [f"{template}\n{words(range(20 * n, 20 * n + 20))}" for n in range(120)]
    assert found(asked[:60], asked[60:]) == []
    # Nor where few training rows have it, and with a little of a question.
    other = [words(range(2400 + n, 2420 + n)) for n in range(60)]
    some = f"{template}\n{words(range(1400, 1405), range(2900, 2915))}"
    assert found([*other, some, asked[3]], asked[60:]) == []
    # A question that leaks is found with the instruction, and without.
    bare = words(range(1600, 1620))
    assert pairs(found([*other, asked[70], bare], asked[60:])) == [(60, 10), (61, 20)]


@cache
def gsm8k(part: str) -> list[Example]:
    lines = (SHARED / f"gsm8k_{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [row(r["question"], r["answer"]) for r in map(json.loads, lines)]


def edited(rng: random.Random, text: str, share: float, known: Sequence[str]) -> str:
    """Each word is deleted, replaced or followed by another with this probability."""
    out: list[str] = []
    for word in text.split():
        kind = rng.choice(("delete", "replace", "insert")) if rng.random() < share else "keep"
        out += [word] * (kind in ("keep", "insert"))
        out += [rng.choice(known)] * (kind in ("replace", "insert"))
    return " ".join(out)


def planted(
    seed: int,
    count: int,
    shares: Iterable[float],
    rows: Sequence[Example],
    asked: Sequence[Example],
) -> list[tuple[float, int, Example]]:
    """Rows with a question in other text, with its share of edits and its number."""
    rng = random.Random(seed)
    known = [word for example in rows[:2000] for word in example.instruction.split()]
    return [
        (
            share,
            number,
            row(
                f"{rng.choice(rows).instruction} And now: "
                f"{edited(rng, asked[number].instruction, share, known)} Think it over.",
                "Well.",
            ),
        )
        for share in shares
        for number in rng.sample(range(len(asked)), count)
    ]


@real_data
@pytest.mark.parametrize("seed", [1, 2])
def test_edited_questions_are_found_among_real_rows(seed: int) -> None:
    rows, asked = gsm8k("train"), gsm8k("test")
    wanted = {0.0: 1.0, 0.05: 0.99, 0.15: 0.95, 0.3: 0.65}
    plants = planted(seed, 300, wanted, rows, asked)
    findings = list(annotate([*rows, *(p[2] for p in plants)], others={SET: asked}))
    assert len({f.row for f in findings if f.row < len(rows)}) <= 4, "0.1 % are 7"
    hits = {(f.row - len(rows), f.other.row) for f in findings if f.other is not None}
    for share, least in wanted.items():
        of = [(place, plant[1]) for place, plant in enumerate(plants) if plant[0] == share]
        assert sum(pair in hits for pair in of) / len(of) >= least, share


@real_data
def test_real_rows_of_one_template_are_told_apart() -> None:
    """Two of the 200 news articles are in the set twice, with other words before them."""
    lines = (SHARED / "t0_ag_news_classify.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row(r["prompt"], r["completion"]) for r in map(json.loads, lines)]
    findings = list(annotate(rows[::2], others={SET: rows[1::2]}))
    assert len(findings) <= 3 and all((f.score or 0) > 0.8 for f in findings)


def mixed(seed: int = 1) -> tuple[list[Example], list[Example]]:
    rng = random.Random(seed)
    known = W[:600]
    asked = [row(" ".join(rng.choice(known) for _ in range(rng.randint(3, 60)))) for _ in range(80)]
    rows = [row(" ".join(rng.choice(known) for _ in range(80))) for _ in range(1200)]
    return [*rows, *(plant[2] for plant in planted(seed, 40, (0.0, 0.1), rows, asked))], asked


def test_the_same_rows_give_the_same_findings_in_any_process() -> None:
    program = (
        "from tests.data.curate.test_contamination import annotate, mixed\n"
        "rows, asked = mixed()\n"
        "print(list(annotate(rows, others={'set': asked})))"
    )
    assert "Finding" in said_by_any(program)


def test_the_findings_do_not_depend_on_how_rows_are_batched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, asked = mixed()
    whole = list(annotate(rows, others={SET: asked}))
    assert len(whole) > 60
    assert [f.row for f in whole] == sorted(f.row for f in whole)
    monkeypatch.setattr(contamination, "_BATCH", 7)
    monkeypatch.setattr("workbench.data.curate.grams._PAIRS", 50)
    assert list(annotate(rows, others={SET: asked})) == whole


def test_rarity_is_counted_in_a_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, asked = mixed()
    monkeypatch.setattr(contamination, "_SAMPLE", 100)
    told: list[tuple[str, int, int, str]] = []
    assert len(list(annotate(rows, others={SET: asked}, tell=lambda *how: told.append(how)))) > 60
    assert max(how[1] for how in told if how[0] == "rarity") <= 100


def test_how_far_it_is_is_told_and_may_end_it() -> None:
    told: list[tuple[str, int, int, str]] = []
    rows, asked = mixed()
    others = {SET: asked}
    assert list(annotate(rows, others=others, tell=lambda *how: told.append(how)))
    phases = list(dict.fromkeys(phase for phase, *_ in told))
    assert phases == ["reading validation rows", f"reading {SET}", "rarity", "comparing"]
    for phase in phases:
        done = [how[1] for how in told if how[0] == phase]
        total = next(how[2] for how in told if how[0] == phase)
        assert done == sorted(done) and (done[0], done[-1]) == (0, total)

    def end(phase: str, done: int, total: int, unit: str) -> None:
        if phase == "comparing" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(annotate(rows, others=others, tell=end))


@pytest.mark.parametrize("rule", RULES)
def test_nothing_to_compare(rule: str) -> None:
    options = Options(rule)
    some = [row(words(range(30)))]
    held_out = [row(words(range(30)), split="validation")]
    assert list(annotate([], options)) == []
    assert list(annotate(some, options)) == []
    assert list(annotate(held_out, options)) == []
    assert list(annotate([], options, others={SET: some})) == []
    nothing = [row(":-)"), row("", "an answer only"), Example(text="…"), Example()]
    assert list(annotate([*some, *nothing], options, others={SET: nothing})) == []


def test_options_that_can_t_be() -> None:
    with pytest.raises(WorkbenchError, match=r"no rule gpt4\.\nThere are coverage, gpt3"):
        Options("gpt4")
    for threshold in (0.0, -0.1, 1.01, float("nan")):
        with pytest.raises(WorkbenchError, match="above 0 and at most 1"):
            Options(threshold=threshold)
    for rule in ("gpt3", "datatrove"):
        with pytest.raises(WorkbenchError, match=f"The rule {rule} has no threshold"):
            Options(rule, threshold=0.5)
    assert Options("palm", threshold=1).threshold == 1


def test_it_is_a_check_that_compares_dataset_versions(workspace: Workspace) -> None:
    asked = [row(words(range(30)), "Yes", split="train"), row("Is it?", split="validation")]
    evaluated = versions.create(workspace, "held-out", asked, sources=[], steps=[])
    rows = [row("unlike", "No"), row(words(range(28)), "No")]
    trained = versions.create(workspace, "trained", rows, sources=[], steps=[])
    check = checks.get("contamination")
    options = checks.options_of(check, {"against": [evaluated.reference]})
    told: list[str] = []
    known = looking.look(workspace, trained, check, options, lambda phase, *_: told.append(phase))
    assert (known.flagged, known.kinds) == (1, {"contamination": 1})
    assert f"reading {evaluated.reference}" in told
