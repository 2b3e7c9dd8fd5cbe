"""How much a text repeats itself, held against figures worked out by hand."""

from __future__ import annotations

import random
import zlib

import pytest

from workbench.degeneration.measures import compression, distinct, loop, rep, words


def test_rep_n_is_the_share_of_n_grams_that_were_there_before() -> None:
    # Welleck et al. 2020, section 6.1: 1 - |unique n-grams| / |n-grams|.
    said = words("The cat sat. The cat sat. The cat ran.")
    assert rep(said, 1) == pytest.approx(1 - 4 / 9)
    # the cat, cat sat, sat the, the cat, cat sat, sat the, the cat, cat ran
    assert rep(said, 2) == pytest.approx(1 - 4 / 8)
    # the cat sat the, cat sat the cat, sat the cat sat | the cat sat the | ... | sat the cat ran
    assert rep(said, 4) == pytest.approx(1 - 4 / 6)
    assert rep(said, 10) == 0 == rep([], 1)


def test_distinct_n_is_unique_n_grams_by_words() -> None:
    # Li et al. 2016, section 5.2: distinct n-grams scaled by the number of generated tokens.
    said = words("I don't know. I don't know.")  # i don t know i don t know
    assert distinct(said, 1) == pytest.approx(4 / 8)
    assert distinct(said, 2) == pytest.approx(4 / 8)
    assert distinct(words("go"), 2) == 1


def test_compression_is_whispers_of_a_text_as_short_as_its_segments() -> None:
    # openai/whisper, utils.py: len(text_bytes) / len(zlib.compress(text_bytes)).
    text = "the the the " * 20
    assert compression(text) == len(text) / len(zlib.compress(text.encode())) > 10
    assert 0 <= compression("") < 1


def test_compression_of_a_long_text_is_that_of_its_worst_part() -> None:
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz ", k=20_000)
    noise = "".join(letters)
    assert compression(noise) < 2
    assert compression(f"{noise}{'and so on ' * 150}{noise}") > 20
    assert compression("\ud800" * 9) > 0, "half a surrogate pair is text, too"


@pytest.mark.parametrize(
    ("text", "phrase", "times"),
    [
        ("He said: no no no no", " no", 4.0),
        ("First. Then it ends. It ends. It ends. It e", ". It ends", 3 + 3 / 9),
        ("0000", "0", 4.0),
        ("从前有座山。从前有座山。从前有座山。 \n", "从前有座山。", 3.0),
        ("abc abd abe", "", 0.0),
        ("", "", 0.0),
        ("\n\n\n\n", "", 0.0),
    ],
)
def test_a_loop_is_the_phrase_that_a_text_ends_in(text: str, phrase: str, times: float) -> None:
    found = loop(text)
    if not phrase:
        assert found is None
        return
    assert found is not None
    assert sorted(found.phrase) == sorted(phrase), "it may begin anywhere in its round"
    assert found.times == pytest.approx(times)
    assert text[found.start :].startswith(found.phrase)


def test_what_was_repeated_before_the_end_is_no_loop() -> None:
    assert loop("no " * 30 + "and that was all of it") is None


def test_a_loop_of_a_long_answer_is_found_in_time_that_grows_with_its_length() -> None:
    found = loop("a" * 200_000)
    assert found is not None and found.phrase == "a"
    assert found.start >= 190_000, "its end is looked at"
