"""A conversation with a real base and a real adapter of it, in the process that holds them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trained import ANSWER, Trained
from workbench.chat import corrections
from workbench.chat.client import Answered, Chat, Problem, Ready, Said, Told
from workbench.chat.conversation import Conversation, Exchange, Reply
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.evaluation.answers import Sampling
from workbench.workspace import Workspace

SHORT = Sampling(12)
Loaded = tuple[Chat, Iterator[Told], Ready]


@pytest.fixture(scope="module")
def loaded(trained_run: Trained) -> Iterator[Loaded]:
    """A process with both models, for all tests: what it tells, and what it told first."""
    chat = Chat(trained_run.run)
    told = chat.told()
    first = next(told)
    assert isinstance(first, Ready)
    yield chat, told, first
    chat.end()


def until(told: Iterator[Told], kind: type) -> list[Told]:
    heard = []
    for event in told:
        heard.append(event)
        if isinstance(event, kind):
            return heard
    pytest.fail(f"no {kind.__name__} came: {heard}")


def test_both_answer_from_one_load_as_they_speak_and_go_on_from_their_own_answers(
    loaded: Loaded,
) -> None:
    chat, told, ready = loaded
    assert ready.systems == ("base", "adapter")
    conversation = Conversation("Be brief.", [Exchange("Is 3 a number?")])
    chat.ask(conversation, ready.systems, SHORT)
    heard = until(told, Answered)
    replies = conversation.exchanges[0].replies
    for event in heard:
        if isinstance(event, Said):
            replies[event.system] = event.reply
    assert replies["adapter"].text == ANSWER and replies["adapter"].stopped
    assert replies["base"].text != ANSWER
    assert replies["base"].prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nIs 3 a number?<|im_end|>\n<|im_start|>assistant\n"
    )
    conversation.exchanges.append(Exchange("Is 4 really a number?"))
    chat.ask(conversation, ["adapter"], SHORT)
    again = [event for event in until(told, Answered) if isinstance(event, Said)]
    assert {event.system for event in again} == {"adapter"}
    assert f"assistant\n{ANSWER}<|im_end|>" in again[-1].reply.prompt


def test_what_is_said_is_what_the_evaluation_of_the_run_was_told(
    loaded: Loaded, trained_run: Trained
) -> None:
    """Greedy answers to the same prompt: those of `workbench eval` by batches."""
    first = json.loads((trained_run.evaluation / "outputs.jsonl").read_text().splitlines()[0])
    chat, told, _ = loaded
    chat.ask(Conversation("", [Exchange(first["prompt"])]), ["base", "adapter"], Sampling(24))
    said = {e.system: e.reply.text for e in until(told, Answered) if isinstance(e, Said)}
    assert said == first["outputs"]


def test_an_answer_can_be_ended_and_a_turn_that_is_too_long_is_said_to_be(loaded: Loaded) -> None:
    chat, told, _ = loaded
    drawn = Sampling(1900, temperature=1.0, seed=1)
    chat.ask(Conversation("", [Exchange("Say 5")]), ["base"], drawn)
    until(told, Said)
    chat.cancel()
    last = [event for event in until(told, Answered) if isinstance(event, Said)][-1]
    assert last.reply.done and (last.reply.stopped or last.reply.tokens < 1900)
    chat.ask(Conversation("", [Exchange("very " * 600)]), ["base"], SHORT)
    (problem,) = until(told, Problem)
    assert isinstance(problem, Problem) and "over the 2,048" in problem.text
    chat.ask(Conversation("", [Exchange("Say 5")]), ["base"], SHORT)
    until(told, Answered)


def test_numbers_that_are_drawn_are_the_seeds(loaded: Loaded, trained_run: Trained) -> None:
    chat, told, _ = loaded
    drawn = Sampling(16, temperature=1.0, seed=3)
    chat.ask(Conversation("", [Exchange("Say 5")]), ["base"], drawn)
    first = [e.reply.text for e in until(told, Answered) if isinstance(e, Said)][-1]
    other = Chat(trained_run.run)
    try:
        again = other.told()
        next(again)
        other.ask(Conversation("", [Exchange("Say 5")]), ["base"], drawn)
        assert [e.reply.text for e in until(again, Answered) if isinstance(e, Said)][-1] == first
    finally:
        other.end()


def test_a_run_that_has_made_nothing_is_told_in_words(tmp_path: Path, trained_run: Trained) -> None:
    ws = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    shutil.rmtree(ws / "runs" / trained_run.run.name / "adapter")
    chat = Chat(ws / "runs" / trained_run.run.name)
    try:
        with pytest.raises(WorkbenchError, match="has no adapter yet"):
            next(chat.told())
    finally:
        chat.end()


def test_corrections_become_rows_of_a_dataset_of_their_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    said = Reply("wrong", done=True)
    conversation = Conversation("Be kind.", [Exchange("a?", {"base": said}), Exchange("b?")])
    first = corrections.add(workspace, "mended", conversation.example("base", 1, "right"), "r-1")
    again = corrections.add(workspace, "mended", conversation.example("base", 0, "better"), "r-2")
    assert (first.rows, again.rows) == (1, 2)
    rows = list(versions.read(again))
    assert [m.content for m in rows[0].messages] == ["Be kind.", "a?", "wrong", "b?", "right"]
    assert [m.content for m in rows[1].messages] == ["Be kind.", "a?", "better"]
    assert [row.source for row in rows] == ["chat:r-1:1", "chat:r-2:2"]
    with pytest.raises(WorkbenchError, match="empty"):
        corrections.add(workspace, "mended", conversation.example("base", 0, "  "), "r-1")


def test_the_verb_talks_and_keeps_a_correction(trained_run: Trained, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(trained_run.pristine, tmp_path / "ws")))
    trained_run = replace(trained_run, workspace=workspace)
    done = trained_run.cli(
        "chat", "small", "--say", "Is 9 a number?", "--max-new-tokens", 8, "--json",
        "--correct", "It is.", "--to", "said-better",
    )  # fmt: skip
    body = json.loads(done.stdout)
    assert body["exchanges"][0]["replies"]["adapter"]["text"] == ANSWER
    assert body["correction"].startswith("said-better@")
    refused = trained_run.cli("chat", "small", "--say", "x", "--only", "nobody", check=False)
    assert refused.returncode == 2 and "There are base, adapter." in refused.stderr
    other = trained_run.cli(
        "chat", "small", "--say", "x", "--correct", "y", "--to", "numbers",
        "--max-new-tokens", 2, check=False,
    )  # fmt: skip
    assert other.returncode == 2 and "was not made of corrections" in other.stderr
