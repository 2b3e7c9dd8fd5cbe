from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.data.curate.in_processes import said_by_any
from workbench.data.curate.duplicates import KINDS, Options, annotate, jaccard, shingles, text_of
from workbench.data.curate.findings import Finding
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

WORDS = [f"word{n}" for n in range(5000)]


def row(text: str, answer: str = "", system: str = "") -> Example:
    turns = [("system", system), ("user", text), ("assistant", answer)]
    return Example(tuple(Message(role, content) for role, content in turns if content))


def findings(*texts: str, threshold: float = 0.7) -> list[Finding]:
    findings = list(annotate([row(text) for text in texts], Options(threshold)))
    assert {finding.kind for finding in findings} <= set(KINDS)
    return findings


def pairs(found: list[Finding]) -> list[tuple[int, int]]:
    """Each row that was found, with the one that it is alike to."""
    return [(finding.row, earlier(finding)) for finding in found]


def earlier(finding: Finding) -> int:
    assert finding.other is not None
    return finding.other.row


def sentence(rng: random.Random, words: int) -> list[str]:
    return [rng.choice(WORDS) for _ in range(words)]


def edited(rng: random.Random, words: list[str], share: float) -> list[str]:
    return [rng.choice(WORDS) if rng.random() < share else word for word in words]


def test_the_shingles_of_a_text_are_its_threes_of_words() -> None:
    assert shingles("The cat, the CAT sat!") == {"the cat the", "cat the cat", "the cat sat"}
    assert shingles("Hello, World") == {"hello world"}
    assert shingles("one two three") == {"one two three"}
    assert shingles(" :-)  ;-) ") == {":-) ;-)"}


def test_signs_of_scripts_without_spaces_are_words() -> None:
    assert shingles("今日は晴れ") == {
        "今 日 は",
        "日 は 晴",
        "は 晴 れ",
    }
    near = findings("今日は東京でとても天気がいいですね", "今日は東京でとても天気がいいですよ")
    assert pairs(near) == [(1, 0)]


@pytest.mark.parametrize("changed", [1, 2, 3, 4])
def test_korean_is_compared_by_its_syllables_with_and_without_spaces(changed: int) -> None:
    rng = random.Random(changed)
    syllables = [chr(code) for code in rng.sample(range(0xAC00, 0xD7A4), 80 + changed)]
    text, others = syllables[:80], syllables[80:]
    edited = list(text)
    for place, other in zip(rng.sample(range(80), changed), others, strict=True):
        edited[place] = other
    for every in (80, 3):
        rows = [
            " ".join("".join(t[i : i + every]) for i in range(0, 80, every)) for t in (text, edited)
        ]
        assert pairs(findings(*rows)) == [(1, 0)]
    unlike = "".join(rng.sample(syllables, 80))
    assert findings("".join(text), unlike) == []


def test_jaccard_by_hand() -> None:
    """Six words have four shingles; one word changed at the end changes one of them."""
    first, second = shingles("a b c d e f"), shingles("a b c d e g")
    assert jaccard(first, second) == pytest.approx(3 / 5)
    assert jaccard(first, first) == 1 and jaccard(first, shingles("u v w x")) == 0


def test_what_every_row_has_from_its_system_turn_is_not_compared() -> None:
    system = " ".join(WORDS[:200])
    rows = [row("What is rain?", "Water.", system), row("Who was Bach?", "A composer.", system)]
    assert text_of(rows[0]) == "What is rain?\nWater."
    assert list(annotate(rows)) == []


def test_short_texts_are_not_all_alike() -> None:
    assert findings("yes", "no", "+", "-", "maybe so", "ja") == []
    (found,) = findings("Yes!", "no", "yes")
    assert (found.row, earlier(found), found.score) == (2, 0, 1.0)
    assert (found.kind, found.reason) == ("same-words", "it has the very words of row 1")


def test_a_finding_names_the_most_alike_and_of_those_the_first() -> None:
    base = " ".join(WORDS[:40])
    nearer = " ".join([*WORDS[:28], *WORDS[100:112]])
    found = findings(base, nearer, " ".join([*WORDS[:28], *WORDS[100:111], "end"]), base)
    assert pairs(found) == [(2, 1), (3, 0)]


def test_a_chain_of_small_changes_is_no_cluster() -> None:
    """Each row has nine of ten shingles with the next; the last has none with the first."""
    rows = [" ".join(WORDS[2 * n : 2 * n + 40]) for n in range(40)]
    found = findings(*rows)
    kept = [n for n in range(40) if n not in {f.row for f in found}]
    assert len(kept) > 5, "it is not one cluster of everything"
    for finding in found:
        assert earlier(finding) in kept
        exact = jaccard(shingles(rows[finding.row]), shingles(rows[earlier(finding)]))
        assert finding.score == exact >= 0.7


def planted(seed: int = 1) -> Iterator[tuple[str, int]]:
    """Rows with the number of the row that each was made of, or its own."""
    rng = random.Random(seed)
    originals = [sentence(rng, rng.randint(20, 80)) for _ in range(500)]
    for number, words in enumerate(originals):
        yield " ".join(words), number
    for share in (0.02, 0.05, 0.1, 0.5):
        for number, words in enumerate(originals):
            yield " ".join(edited(rng, words, share)), number


def test_planted_changes_are_found_exactly_where_they_are_over_the_threshold() -> None:
    texts, made_of = zip(*planted(), strict=True)
    found = {finding.row: finding for finding in findings(*texts)}
    sets = [shingles(text) for text in texts]
    wanted = {
        number: jaccard(sets[number], sets[origin])
        for number, origin in enumerate(made_of)
        if number >= 500 and jaccard(sets[number], sets[origin]) >= 0.7
    }
    assert len(wanted) > 700
    assert all(row >= 500 for row in found)
    assert all(made_of[earlier(found[row])] == made_of[row] for row in found)
    missed = wanted.keys() - found.keys()
    assert len(missed) <= 2, "2 in 10,000 at the threshold itself, fewer above it"
    for number, similarity in wanted.items():
        if number in found and earlier(found[number]) == made_of[number]:
            assert found[number].score == similarity


def test_the_same_rows_give_the_same_findings_in_any_process() -> None:
    program = (
        "from tests.data.curate.test_duplicates import findings, planted\n"
        "print(findings(*(text for text, _ in planted())))"
    )
    assert "Finding" in said_by_any(program)


def test_how_far_it_is_is_told_and_may_end_it() -> None:
    told: list[tuple[str, int, int, str]] = []
    rows = [row(text) for text, _ in planted()]
    found = list(annotate(rows, tell=lambda *how: told.append(how)))
    phases = list(dict.fromkeys(phase for phase, *_ in told))
    assert phases == ["signatures", "candidates", "comparing"]
    for phase in phases:
        done = [how[1] for how in told if how[0] == phase]
        total = next(how[2] for how in told if how[0] == phase)
        assert done == sorted(done) and (done[0], done[-1]) == (0, total)
    assert found

    def end(phase: str, done: int, total: int, unit: str) -> None:
        if phase == "comparing" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(annotate(rows, tell=end))


def test_nothing_to_compare() -> None:
    assert findings() == [] == findings("only one row here")


@pytest.mark.parametrize("threshold", [0.49, 1.01, -1.0, float("nan")])
def test_a_threshold_that_the_bands_can_t_find_is_refused(threshold: float) -> None:
    with pytest.raises(WorkbenchError, match=r"must be from 0\.5 to 1"):
        Options(threshold)
