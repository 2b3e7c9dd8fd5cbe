from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.data.curate.in_processes import said_by_any
from tests.data.curate.real_data import (
    GSM8K,
    MODELS,
    NEWS,
    QA,
    SELF_INSTRUCT,
    SUMMARIES,
    conversation,
    here,
    real,
)
from tests.data.curate.test_refusals import REFUSALS
from workbench.data.curate import language
from workbench.data.curate.endings import Ending, ending
from workbench.data.curate.findings import Finding, parts
from workbench.data.curate.quality import KINDS, Options, annotate
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

NOUNS = ["river", "stone", "garden", "window", "letter", "station", "market", "kitchen"]
VERBS = ["crosses", "follows", "reaches", "leaves", "watches", "passes"]


def sentence(n: int) -> str:
    rng = random.Random(n)
    first, second, third = rng.sample(NOUNS, 3)
    verb = rng.choice(VERBS)
    return f"The {first} {verb} the {second} near the old {third} number {n} in early autumn."


def usual(count: int = 60) -> list[Example]:
    """Rows with nothing wrong."""
    return [conversation(f"Tell me of {n}.", sentence(n)) for n in range(count)]


def found(*responses: str, prompt: str = "Say.", options: Options | None = None) -> list[Finding]:
    """The findings of rows with these responses, after 60 usual ones."""
    rows = [*usual(), *(conversation(prompt, response) for response in responses)]
    findings = list(annotate(rows, options or Options()))
    assert {finding.kind for finding in findings} <= set(KINDS)
    return findings


def kinds(*responses: str, prompt: str = "Say.") -> list[str]:
    """The kinds of findings; whether the length is a usual one is looked at by itself."""
    all_kinds = [finding.kind for finding in found(*responses, prompt=prompt)]
    return [kind for kind in all_kinds if kind != "length-outlier"]


def spanned(rows: list[Example], finding: Finding) -> list[str]:
    texts = {part.where: part.text for part in parts(rows[finding.row])}
    return [texts[span.where][span.start : span.end] for span in finding.spans]


def test_usual_rows_have_nothing_wrong() -> None:
    assert found() == []
    assert list(annotate([])) == []


@pytest.mark.parametrize(
    "response", ["", " \n", "\u200b", "...", "…", "—", "nan", "<nooutput>", "#N/A", "(no response)"]
)
def test_empty_responses(response: str) -> None:
    assert kinds(response) == ["empty-response"]


@pytest.mark.parametrize("response", ["0", "No", "+", "None", "null", "C", "👍", "好", "no output"])
def test_short_responses_are_not_empty(response: str) -> None:
    assert kinds(response) == []


def test_an_end_marker_is_no_response() -> None:
    assert kinds("<|endoftext|>") == ["empty-response"]
    assert kinds(f"{sentence(99)}<|endoftext|>", f"{sentence(98)}</s>\n") == []


def test_a_conversation_without_a_response() -> None:
    (only,) = annotate([Example((Message("user", "Hello?"),))])
    assert (only.kind, only.reason) == ("empty-response", "There is no response.")


def test_each_response_of_a_conversation_is_looked_at() -> None:
    turns = [("user", "A?"), ("assistant", "Yes."), ("user", "And B?"), ("assistant", " ")]
    (only,) = annotate([Example(tuple(Message(*turn) for turn in turns))])
    assert only.kind == "empty-response" and only.spans[0].where == "messages[3].content"


def test_echoes() -> None:
    prompt = "What is the capital of Norway?"
    assert kinds(prompt, prompt=prompt) == ["echo"]
    (only,) = found("What is the capital of norway? Oslo is.", prompt=prompt)
    assert (only.kind, only.score) == ("echo", 1.0)
    assert "100 % of the prompt's words" in only.reason
    assert (only.spans[0].start, only.spans[0].end) == (0, len(prompt) - 1)
    text = "Rain fell on the hills above the town for nine long days and nights."
    assert kinds(text, prompt=f"Correct: {text}") == ["echo"]


def test_what_answers_with_words_of_the_prompt_is_no_echo() -> None:
    text = "Rain fell on the hills above the town for nine long days and nights."
    assert kinds("The capital of Norway is Oslo.", prompt="What is the capital of Norway?") == []
    assert kinds("Rain fell on the hills.", prompt=f"Shorten: {text}") == []
    assert kinds("on the hills above the town", prompt=f"{text} Where did it fall?") == []
    assert kinds("Say it again, Sam.", prompt="Say it") == []
    assert kinds("Hello there friend", prompt="Hello there friend") == [], "three words"


def test_a_refusal_is_quoted() -> None:
    (only,) = found(REFUSALS[0])
    assert only.kind == "refusal" and "says that it can't" in only.reason
    rows = [*usual(), conversation("Say.", REFUSALS[0])]
    assert spanned(rows, only) == ["I'm sorry, but I can't help"]


CUT = [
    "The house stands on a hill above the town, and the",
    "There are three reasons why this did not work as planned:",
    "The first of them was known to everybody at the time,",
    "1. Wash the rice well.\n2. Boil two cups of water.\n3. Add the rice and",
    "1. Wash the rice well.\n2. Boil two cups of water.\n3.",
    "这座房子坐落在小镇上方的山丘上。从那里可以看到整个山谷和",
    "She opened the letter and read it twice. Then she put it on the table and went",
]
PROPER = [
    "The house stands on a hill above the town.",
    "He asked whether the house on the hill was for sale (it was not).",
    "She said to all of us: “The house is on the hill.”",
    "Is the house on the hill above the town still for sale?",
    "这座房子坐落在小镇上方的山丘上，可以看到整个山谷。",
    "この家は町の上の丘の上に建っていて、谷全体を見渡せます。",
    "यह घर शहर के ऊपर एक पहाड़ी पर बना हुआ है।",
]
OTHER = [
    "Yes",
    "Science and technology",
    "42",
    "The sum of all of the numbers in the list above is 42",
    "She pays 3 + 4 = 7 dollars for each of the books.\n#### 7",
    "Buy these things at the market today:\n- apples\n- pears\n- bread",
    "1. Wash the rice in cold water\n2. Boil two cups of water\n3. Add the rice and stir it",
    "Here is the table that you asked for.\n\n| name | age |\n|---|---|\n| Ann | 31 |",
    "Here is the function that you asked for.\n\n```python\nprint(1)\n```",
    "def area(width, height):\n    return width * height",
    "I look forward to hearing from you about the house.\n\nBest regards,\nAnn Miller",
    "Roses are red\nViolets are blue\nSugar is sweet\nAnd so are you my dear",
    "Read more about the house on the hill at\nhttps://example.org/house",
    "บ้านหลังนี้ตั้งอยู่บนเนินเขาเหนือเมืองและมองเห็นหุบเขาทั้งหมดได้",
    "See you all at the party on Friday night in the old house 🎉",
]


@pytest.mark.parametrize(
    ("texts", "how"), [(CUT, Ending.CUT), (PROPER, Ending.PROPER), (OTHER, Ending.OTHER)]
)
def test_how_texts_end(texts: list[str], how: Ending) -> None:
    assert {text: ending(text) for text in texts} == dict.fromkeys(texts, how)


def test_a_block_of_code_that_is_open() -> None:
    text = "Here it is:\n\n```python\nprint(1)"
    assert ending(text) is Ending.OPEN_FENCE
    assert ending(f"{text}\n```") is Ending.OTHER
    assert ending("````md\n```python\nx\n```\n````") is not Ending.OPEN_FENCE
    assert ending("````md\n```python\nx\n```") is Ending.OPEN_FENCE
    (only,) = annotate([conversation("Code?", text)])
    assert only.kind == "truncated" and only.spans[0].label == "open fence"


def test_truncated_where_the_others_end_properly() -> None:
    (only,) = found(CUT[0])
    assert only.kind == "truncated"
    assert "“The house stands on a hill above the town, and the”" in only.reason
    assert "98 % of those" in only.reason and only.score == pytest.approx(60 / 61)


def test_where_sentences_have_no_full_stop_none_is_truncated() -> None:
    rows = [conversation("Say.", sentence(n).removesuffix(".")) for n in range(60)]
    assert list(annotate([*rows, *usual(30)])) == []
    assert list(annotate([*usual(10), conversation("Say.", CUT[0])])) == [], "too few to tell"


def test_repetition_gives_the_number_and_the_limit() -> None:
    (only,) = (f for f in found("I am here. " * 40) if f.kind == "repetition")
    assert "Gopher's limit is" in only.reason and only.score is not None and only.score > 0.9


def test_lengths_are_held_against_those_of_the_task() -> None:
    short = [conversation("Name it.", noun, "name") for noun in NOUNS * 3]
    long = " ".join(sentence(n) for n in range(40))
    rows = [
        *usual(),
        *short,
        conversation("Say.", long),
        conversation("Name it.", sentence(3), "name"),
    ]
    outliers = [f for f in annotate(rows) if f.kind == "length-outlier"]
    assert [f.row for f in outliers] == [84, 85]
    assert f"The response has {len(long):,} characters" in outliers[0].reason
    assert "more than" in outliers[0].reason


def test_two_kinds_of_lengths_have_no_outliers() -> None:
    rows = [*usual(60), *(conversation("Name it.", noun) for noun in NOUNS)]
    assert [f for f in annotate(rows) if f.kind == "length-outlier"] == []


def test_templated_responses() -> None:
    opened = [f"Sure, I would be happy to help! {sentence(n)}" for n in range(100, 110)]
    closed = [f"{sentence(n)} I hope this helps you a lot today!" for n in range(200, 210)]
    rows = [*usual(), *(conversation("Say.", text) for text in (*opened, *closed))]
    templated = [f for f in annotate(rows) if f.kind == "templated"]
    assert [f.row for f in templated] == list(range(60, 80))
    assert (
        templated[0].reason
        == "12 % of the responses open with “Sure, I would be happy to help! The”."
    )
    assert spanned(rows, templated[0])[0].startswith("Sure, I would be happy to help! The")
    assert (
        templated[-1].reason
        == "12 % of the responses close with “I hope this helps you a lot today”."
    )
    assert spanned(rows, templated[-1]) == ["I hope this helps you a lot today"]


def test_labels_are_no_templates() -> None:
    rows = [conversation(f"Which is {n}?", "The answer is yes") for n in range(50)]
    assert list(annotate(rows)) == []


GERMAN = (
    "Der Hund läuft schnell durch den großen Garten und bellt die Katze an, die auf dem Baum sitzt."
)
FRENCH = (
    "Le chien court vite dans le grand jardin et aboie contre le chat qui est assis dans l'arbre."
)


def test_a_language_other_than_the_set_s() -> None:
    (only,) = found(GERMAN)
    assert only.kind == "language" and only.spans[0].label == "de"
    assert only.reason == "It is in the language de, where 97 % of the set is en."
    assert list(annotate([*usual(10), conversation("Say.", GERMAN)])) == [], "too few to tell"
    assert only.score is not None and only.score > 0.9


def test_languages_that_are_wanted() -> None:
    assert [
        f.spans[0].label for f in found(GERMAN, FRENCH, options=Options(languages=("en", "de")))
    ] == ["fr"]
    with pytest.raises(WorkbenchError, match="no way to tell the language xx"):
        list(annotate(usual(), Options(languages=("xx",))))


@pytest.mark.parametrize(
    "text",
    [
        "Guten Tag",
        "18 - 3 = 15; 15 / 5 = 3; 3 * 2 = 6; 6 + 144 = 150; 150 / 2 = 75; 75 - 5 = 70 #### 70",
        "```python\nfor fichier in dossier: print(fichier)\n```" * 5,
        "https://example.org/der/hund/ist/hier https://example.org/le/chien/est/la",
        "x = y + z\nfoo(bar, baz)\nqux[0] = quux % corge\ngrault.garply(waldo)\n",
    ],
)
def test_what_has_no_language_or_is_short_is_left_alone(text: str) -> None:
    assert language.language(text) is None


def test_plain_text_is_looked_at_too() -> None:
    rows = [Example(text=" ".join(sentence(n) for n in range(k, k + 8))) for k in range(30)]
    rows += [Example(text=f"{GERMAN} " * 2), Example(text="I am here. " * 40)]
    assert {(f.row, f.kind) for f in annotate(rows)} >= {(30, "language"), (31, "repetition")}
    assert "truncated" not in {f.kind for f in annotate([*rows, Example(text=CUT[0])])}


def test_the_same_rows_give_the_same_findings_in_any_process() -> None:
    program = (
        "from tests.data.curate.test_quality import *\n"
        "print(found(*CUT, *PROPER, *OTHER, *REFUSALS, GERMAN, FRENCH, 'I am here. ' * 40))"
    )
    assert "truncated" in said_by_any(program)


@pytest.mark.parametrize(
    "text",
    [
        *("a " * 50_000, "a" * 100_000, "``` " * 25_000, "```\n" * 25_000, "- \n" * 25_000),
        *("$" * 100_000, "<" * 100_000, "." * 100_000, " ." * 50_000, "I'm sorry " * 10_000),
    ],
    ids=lambda text: text[:10],
)
def test_no_text_takes_long(text: str) -> None:
    took = seconds(text)
    # On a slow machine: ten times as much text takes ten times as long, not a hundred times.
    assert took < 4 or took < 30 * seconds(text[: len(text) // 10])


def seconds(text: str) -> float:
    start = time.process_time()
    list(annotate([conversation(text, f"{text}b"), conversation(f"{text}b{text}", text)]))
    return time.process_time() - start


def test_how_far_it_is_is_told_and_may_end_it() -> None:
    told: list[tuple[str, int, int, str]] = []
    list(annotate(usual(), tell=lambda *how: told.append(how)))
    assert list(dict.fromkeys(phase for phase, *_ in told)) == ["surveying", "looking"]
    assert told[0] == ("surveying", 0, 60, "rows") and told[-1] == ("looking", 60, 60, "rows")

    def end(phase: str, done: int, total: int, unit: str) -> None:
        if phase == "looking" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(annotate(usual(), tell=end))


@pytest.mark.parametrize(
    "options",
    [
        {"languages": ("English",)},
        {"deviations": 1.0},
        {"deviations": float("nan")},
        {"templated": 0.0},
        {"templated": 2.0},
    ],
)
def test_options_that_can_t_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(WorkbenchError):
        Options(**options)  # type: ignore[arg-type]


MOST: dict[str, dict[str, int]] = {
    GSM8K: {"repetition": 4},
    SELF_INSTRUCT: {"truncated": 1, "language": 1, "length-outlier": 1},
    QA: {},
    NEWS: {},
    SUMMARIES: {},
    MODELS: {
        "empty-response": 6,
        "repetition": 75,
        "length-outlier": 40,
        "refusal": 32,
        "language": 6,
        "truncated": 6,
        "echo": 1,
    },
}
"""Findings of real data. All were looked at: the responses that are empty, refuse, are in French
or cut off are so; of the lengths, those of the models are one-word answers to open questions."""


@here
@pytest.mark.parametrize("name", [GSM8K, SELF_INSTRUCT, QA, NEWS, SUMMARIES, MODELS])
def test_real_data(name: str) -> None:
    rows = real(name, 3000)
    counts = Counter(finding.kind for finding in annotate(rows))
    assert all(counts[kind] <= MOST[name].get(kind, 0) for kind in counts), counts
