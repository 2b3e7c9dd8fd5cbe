from __future__ import annotations

import random
import time

from workbench.data import split
from workbench.data.example import Example, Message


def talk(*turns: str, part: str = "train", system: str = "", source: str = "") -> Example:
    roles = ("user", "assistant") * len(turns)
    messages = [Message(role, text) for role, text in zip(roles, turns, strict=False)]
    first = [Message("system", system)] if system else []
    return Example((*first, *messages), split=part, source=source)


def questions(count: int) -> list[Example]:
    return [talk(f"Question {n}?", f"Answer {n}") for n in range(count)]


def sides(examples: list[Example]) -> dict[str, str]:
    return {example.instruction: example.split for example in examples}


def held_out(examples: list[Example]) -> int:
    return sum(example.split == "validation" for example in examples)


def test_about_the_share_is_held_out() -> None:
    for share in (0.05, 0.1, 0.5):
        assert abs(held_out(split.assign(questions(4000), share)) / 4000 - share) < 0.03


def test_the_split_is_the_same_each_time_and_another_with_another_seed() -> None:
    rows = questions(200)
    assert split.assign(rows, 0.2) == split.assign(rows, 0.2)
    assert split.assign(rows, 0.2) != split.assign(rows, 0.2, seed=1)


def test_the_split_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = questions(200)
    shuffled = random.Random(0).sample(rows, len(rows))
    assert sides(split.assign(rows, 0.2)) == sides(split.assign(shuffled, 0.2))


def test_rows_that_are_added_leave_the_others_where_they_are() -> None:
    before, after = sides(split.assign(questions(200), 0.1)), split.assign(questions(400), 0.1)
    assert {name: side for name, side in sides(after).items() if name in before} == before


def test_order_and_everything_but_the_split_is_kept() -> None:
    rows = [talk("A?", "a", part="validation", source="x:1"), *questions(20)]
    divided = split.assign(rows, 0.3)
    assert [(e.messages, e.source) for e in divided] == [(e.messages, e.source) for e in rows]


def test_the_same_prompt_is_on_one_side_whatever_its_case_and_spacing() -> None:
    rows = [
        row
        for n in range(200)
        for row in (talk(f"Is {n} ß?", "yes"), talk(f" is  {n}\nSS? ", "no"))
    ]
    divided = split.assign(rows, 0.3)
    assert 0 < held_out(divided) < 400
    assert all(a.split == b.split for a, b in zip(divided[::2], divided[1::2], strict=True))
    assert split.leaking(divided) == []


def test_conversations_that_begin_alike_stay_together() -> None:
    """The long one teaches the answer to the short one's prompt, turn by turn."""
    rows = [
        row
        for n in range(200)
        for row in (
            talk(f"Question {n}?", "a"),
            talk(f"Question {n}?", "b", f"More {n}?", "c"),
        )
    ]
    divided = split.assign(rows, 0.3)
    assert all(a.split == b.split for a, b in zip(divided[::2], divided[1::2], strict=True))
    assert split.leaking(divided) == []


def test_another_system_turn_makes_another_prompt() -> None:
    rows = [talk("Hi", "yes", system="A", part="validation"), talk("Hi", "yes", system="B")]
    assert split.leaking(rows) == []


def test_neither_side_is_left_empty_where_there_are_two_prompts() -> None:
    for count in (2, 3, 10):
        for share in (0.0001, 0.5, 0.9999):
            assert 0 < held_out(split.assign(questions(count), share)) < count


def test_a_lone_prompt_is_trained_on() -> None:
    for share in (0.0001, 0.9999):
        assert held_out(split.assign([talk("A?", "a"), talk("A?", "b")], share)) == 0
    assert split.assign([], 0.5) == []


def test_no_share_holds_nothing_out() -> None:
    assert held_out(split.assign([talk("A?", "a", part="validation"), *questions(50)], 0)) == 0


def test_a_key_of_one_s_own_decides_what_stays_together() -> None:
    divided = split.assign(questions(300), 0.3, key=lambda e: e.response[-1])
    by_digit = {(e.response[-1], e.split) for e in divided}
    assert len(by_digit) == 10
    assert {side for _, side in by_digit} == {"train", "validation"}


def test_a_leak_is_named_with_the_row_that_it_leaks() -> None:
    asked = talk("What  is it?", "a", part="validation", source="v")
    same = talk("what is IT?", "b", source="same")
    longer = talk("What is it?", "c", "And?", "d", source="longer")
    other = talk("What was it?", "a", source="other")
    rows = [same, longer, other, asked, talk("What is it?", "e", part="validation", source="w")]
    found = split.leaking(iter(rows))
    assert [a.source for a, _ in found] == ["same", "longer"]
    assert {b.split for _, b in found} == {"validation"}


def test_every_turn_of_a_held_out_conversation_can_be_leaked() -> None:
    """The validation loss counts each of its answers."""
    asked = talk("Hi", "a", "And?", "b", part="validation")
    opening, later = talk("Hi", "a"), talk("hi", "A", "and?", "c", "Then?", "d")
    same_words = talk("And?", "b", source="without what came before")
    other_answer = talk("Hi", "another", "And?", "b", source="begins alike")
    found = split.leaking([opening, later, same_words, other_answer, asked])
    assert found == [(opening, asked), (later, asked), (other_answer, asked)]
    last = talk("Hi", "a", "And?", "b", part="validation", system="Be brief.")
    assert split.leaking([opening, later, last]) == []


def test_leaks_of_long_conversations_are_found_in_time_that_grows_with_their_length() -> None:
    turns = ["word " * 20] * 4000
    rows = [talk(*turns), talk(*turns, "another", "end", part="validation")]
    begun = time.process_time()
    assert len(split.leaking(rows)) == 1
    assert time.process_time() - begun < 2
