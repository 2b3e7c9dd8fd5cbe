from __future__ import annotations

import itertools

import pytest

from tests.data.curate.real_data import GSM8K, MODELS, SUMMARIES, here, real
from workbench.data.curate import repetition
from workbench.data.curate.repetition import worst

WORDS = ["".join(signs) for signs in itertools.product("bdfgkm", "aeiou", "lnrst", "aeiou")]
"""750 words of four letters, each another."""


def words(start: int, count: int) -> str:
    return " ".join(WORDS[start : start + count])


def test_the_limits_are_gopher_s() -> None:
    """Table A1 of arXiv 2112.11446, as in datatrove's GopherRepetitionFilter: dup_line_frac,
    dup_para_frac 0.3; dup_line_char_frac, dup_para_char_frac 0.2; top_n_grams (2, 0.2),
    (3, 0.18), (4, 0.16); dup_n_grams (5, 0.15) … (10, 0.10)."""
    assert repetition.LINES == repetition.PARAGRAPHS == 0.3
    assert repetition.LINE_CHARACTERS == repetition.PARAGRAPH_CHARACTERS == 0.2
    assert repetition.TOP == {2: 0.2, 3: 0.18, 4: 0.16}
    assert repetition.REPEATED == {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}


def test_what_says_everything_once_repeats_nothing() -> None:
    assert worst(words(0, 300)) is None
    assert worst("\n".join(words(n, 10) for n in range(0, 300, 10))) is None


def test_lines_that_were_there_before() -> None:
    """Of eleven lines four are `yes` for the second to the fifth time: 4/11 is over 0.3."""
    lines = itertools.chain.from_iterable((words(n, 10), "yes") for n in range(0, 50, 10))
    text = "\n".join([*lines, words(50, 10)])
    found = worst(text)
    assert found is not None and found.rule == "lines were there before"
    assert (found.share, found.limit) == (4 / 11, 0.3)
    assert [text[start:end] for start, end in found.places] == ["yes"] * 4
    assert worst(text.replace("yes", "no", 1)) is None, "3 of 11 lines"


def test_paragraphs_that_were_there_before() -> None:
    parts = itertools.chain.from_iterable((words(n, 10), "yes") for n in range(0, 50, 10))
    text = "\n\n".join([*parts, words(50, 10)])
    found = worst(text)
    assert found is not None and found.rule == "paragraphs were there before"
    assert (found.share, len(found.places)) == (4 / 11, 4)


def test_characters_in_lines_that_were_there_before() -> None:
    """Ten of forty lines of four words: 25 % of the lines, under 30 %, and of the characters,
    over 20 %."""
    lines = [words(n, 4) for n in range(0, 120, 4)]
    text = "\n".join([*lines, *reversed(lines[:10])])
    found = worst(text)
    assert found is not None and found.rule == "characters are in lines that were there before"
    assert (found.share, found.limit) == (0.25, 0.2)
    assert {text[start:end] for start, end in found.places} == set(lines[:10])


def test_words_over_and_over() -> None:
    """`over there` has 10 characters, and is there 40 times among 839."""
    text = " ".join(f"over there {words(n, 2)}" for n in range(0, 80, 2))
    found = worst(text)
    assert found is not None and found.rule == "characters are in “over there”, over and over"
    assert (found.share, found.limit) == (400 / 839, 0.2)
    assert [text[start:end] for start, end in found.places] == ["over there"] * 40


def test_runs_that_were_there_before() -> None:
    """Twelve words of 72 are there again. In runs of ten, one is: 40 of 359 characters."""
    text = " ".join([words(100, 12), words(0, 48), words(100, 12)])
    found = worst(text)
    assert found is not None and "in runs of 10 words" in found.rule
    assert (found.share, found.limit) == (40 / 359, 0.1)
    assert [text[start:end] for start, end in found.places] == [words(100, 10)]
    assert worst(" ".join([words(100, 12), words(0, 60), words(100, 12)])) is None, "40 of 419"


def test_limits_may_be_taken_many_times() -> None:
    text = " ".join(f"over there {words(n, 2)}" for n in range(0, 80, 2))
    found = worst(text, 2)
    assert found is not None and found.limit == 0.2, "Gopher's own"
    assert worst(text, 3) is None


def test_short_texts_are_exempt() -> None:
    """datatrove takes any text of two words for a single 2-gram; Gopher's quality rules leave
    nothing under 50 words before it comes to that."""
    assert worst("") is None
    assert worst("Hello world") is None
    assert worst("no " * 49) is None
    assert worst("no " * 50) is not None


def test_code_tables_and_addresses_are_exempt() -> None:
    loop = "for x in range(10):\n    print(x)\n" * 20
    assert worst(loop) is not None
    assert worst(f"{words(0, 60)}\n\n```python\n{loop}```\n{words(60, 30)}") is None
    assert worst(f"{words(0, 60)}\n\n```python\n{loop}") is None, "one that isn't closed"
    table = "| yes | no | yes |\n" * 30
    assert worst(f"{words(0, 60)}\n{table}") is None
    assert worst("a\tb\tc\n" * 60) is None
    assert worst("    return value + 1\n" * 60) is None
    links = "\n".join(f"- https://example.org/questions/{n}" for n in range(60))
    assert worst(f"{words(0, 60)}\n{links}") is None


def test_signs_of_scripts_without_spaces_count_half() -> None:
    """A run of five words is one of ten signs: Chinese repeats five signs by chance."""
    text = "".join(chr(0x4E00 + n) for n in range(200))
    assert worst(text) is None
    assert worst(text + text[:9] + text[50:59]) is None
    again = worst(text + text[:60])
    assert again is not None and again.places == ((200, 260),)
    assert worst("好" * 99) is None and worst("好" * 100) is not None


@here
@pytest.mark.parametrize(("name", "times", "most"), [(GSM8K, 2, 8), (MODELS, 2, 75)])
def test_real_responses_hardly_repeat_themselves(name: str, times: float, most: int) -> None:
    """Of the models' answers those are most that go round in circles, or are lists whose items
    all say the same."""
    assert sum(worst(row.response, times) is not None for row in real(name)) <= most


@here
def test_real_articles_are_within_gopher_s_own_limits() -> None:
    assert not any(worst(row.instruction) for row in real(SUMMARIES))
