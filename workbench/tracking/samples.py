"""What a model said to the same prompts at each evaluation of its training, over time.

Read from the run's log, where each answer is an event (`jobs.events.Answered`). Decoding is
greedy: what differs between two evaluations is the training's doing, never chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.word_diff import Piece
from workbench.degeneration.marks import Mark, beside, degenerate, letters, marks
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs.events import Answered, Record, Started
from workbench.jobs.log import marked
from workbench.tracking import runs
from workbench.tracking.words import prompt_name
from workbench.workspace import Workspace

Key = tuple[int, str]
"""A prompt by its row and its text: prompts of the config's own all have row 0."""


@dataclass(frozen=True, slots=True)
class Output:
    """What the model said at one evaluation."""

    step: int
    time: float
    """Unix seconds."""
    answer: str
    stopped: bool | None
    """Whether it ended by itself; None in logs of earlier releases."""
    tokens: int | None
    marks: tuple[Mark, ...]
    same: bool
    """It says what it said at the evaluation before."""

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "time": self.time,
            "answer": self.answer,
            "stopped": self.stopped,
            "tokens": self.tokens,
            "same": self.same,
            "marks": [mark.to_json() for mark in self.marks],
        }


@dataclass(frozen=True, slots=True)
class Prompt:
    """One of the fixed prompts, and what was said to it."""

    row: int
    """Its line in the version's data.jsonl, from 1; 0 for one of the config's own."""
    text: str
    """Its last turn."""
    outputs: Mapping[int, Output]
    """By the step, in order; an evaluation may have none."""
    reference: str | None = None
    """What the dataset answers; None where it isn't known, and for the config's own."""

    @property
    def name(self) -> str:
        """`line 33`, or `own prompt`."""
        return prompt_name(self.row)

    def letters(self, step: int) -> str:
        """The marks at an evaluation, as in `marks.letters`; empty where there is no answer."""
        output = self.outputs.get(step)
        return letters(output.marks) if output else ""

    def degenerate(self, step: int) -> bool:
        """Whether the answer of an evaluation has a mark that is more than a note."""
        output = self.outputs.get(step)
        return output is not None and degenerate(output.marks)

    def before(self, step: int) -> Output | None:
        """What was said at the evaluation before."""
        earlier = [at for at in self.outputs if at < step]
        return self.outputs[earlier[-1]] if earlier else None

    def to_json(self) -> dict[str, Any]:
        outputs = [output.to_json() for output in self.outputs.values()]
        return {
            "row": self.row,
            "prompt": self.text,
            "reference": self.reference,
            "outputs": outputs,
        }


@dataclass(frozen=True, slots=True)
class Samples:
    """All that a run's model was asked and said."""

    run: str
    steps: tuple[int, ...]
    """Those of the evaluations at which anything was answered."""
    prompts: tuple[Prompt, ...]

    def degenerate(self, step: int) -> int:
        """How many answers of an evaluation have a mark that is more than a note."""
        return sum(prompt.degenerate(step) for prompt in self.prompts)

    @property
    def began(self) -> int | None:
        """The step from which on every evaluation has a degenerate answer; None if the last one
        has none."""
        began = None
        for step in reversed(self.steps):
            if not self.degenerate(step):
                break
            began = step
        return began

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "decoding": "greedy",
            "steps": [{"step": step, "degenerate": self.degenerate(step)} for step in self.steps],
            "degenerate_since": self.began,
            "prompts": [prompt.to_json() for prompt in self.prompts],
        }


class SampleReader:
    """Follows a run's answers: reading again looks only at what is new in its log.

    Of a step that was evaluated twice the last answers count. What was said after the checkpoint
    from which a run went on is of a training that was given up, and is forgotten.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._offset = 0
        self._said: dict[Key, dict[int, tuple[float, Answered]]] = {}
        self._marks: dict[tuple[Key, str, bool | None], tuple[Mark, ...]] = {}
        """By prompt and answer: most of them don't change any more."""
        self._references: dict[Key, str] | None = None

    def read(self) -> Samples | None:
        """All that was said so far; None when nothing is new since the last call.

        Meant for a thread: the first call looks through the log, and for the references through
        the dataset version. Raises WorkbenchError where the log can't be read.
        """
        before, log = self._offset, self.run / runs.LOG
        try:
            records, self._offset = marked(log, (Answered, Started), before)
        except PermissionError as error:
            raise explain_os_error(error, f"read {log}") from error
        except OSError:  # its file server is away: there is nothing new
            return None
        if self._offset < before:
            self._said.clear()
        self._take(records)
        if not records and before:
            return None
        if self._references is None and self._said:
            self._references = references(self.run, self._said)
        return self._samples()

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            event = record.event
            if isinstance(event, Started):
                for outputs in self._said.values():
                    for step in [step for step in outputs if step > event.resumed_from]:
                        del outputs[step]
            elif isinstance(event, Answered):
                outputs = self._said.setdefault((event.row, event.prompt), {})
                outputs[event.step] = record.time, event

    def _samples(self) -> Samples:
        known = self._references or {}
        steps = sorted({step for outputs in self._said.values() for step in outputs})
        alike: dict[tuple[Key, int], tuple[Mark, ...]] = {}
        for step in steps:
            there = [key for key, outputs in self._said.items() if step in outputs]
            texts = [self._said[key][step][1].answer for key in there]
            theirs = [known[key] for key in there if key in known]
            for key, found in zip(there, beside(texts, theirs), strict=True):
                alike[key, step] = found
        prompts = []
        for key, outputs in self._said.items():
            made: dict[int, Output] = {}
            previous: str | None = None
            for step in sorted(outputs):
                time, event = outputs[step]
                found = self._marks_of(key, event) + alike[key, step]
                made[step] = Output(
                    step,
                    time,
                    event.answer,
                    event.stopped,
                    event.tokens,
                    found,
                    same=event.answer == previous,
                )
                previous = event.answer
            if made:
                prompts.append(Prompt(*key, made, known.get(key)))
        return Samples(self.run.name, tuple(steps), tuple(prompts))

    def _marks_of(self, key: Key, event: Answered) -> tuple[Mark, ...]:
        name = key, event.answer, event.stopped
        if name not in self._marks:
            self._marks[name] = marks(
                event.answer, prompt=event.prompt, stopped=event.stopped, tokens=event.tokens
            )
        return self._marks[name]


def read(run: Path) -> Samples:
    """What the model of the run in `run` was asked and said. Raises WorkbenchError where its log
    can't be read."""
    return SampleReader(run).read() or Samples(run.name, (), ())


def references(run: Path, asked: Iterable[Key]) -> dict[Key, str]:
    """What the run's dataset version answers to those prompts; empty where the version isn't here.

    A line whose prompt is another one is passed over: the file was changed by hand.
    """
    from workbench.data import versions
    from workbench.data.example import Example
    from workbench.data.rows import RowFile

    wanted = {key for key in asked if key[0]}
    try:
        name = runs.load_config(run).data.dataset
        rows = RowFile(versions.resolve(Workspace(run.parent.parent), name).data_path)
        rows.index()
    except (WorkbenchError, OSError):
        return {}
    found: dict[Key, str] = {}
    for row, prompt in wanted:
        try:
            example = Example.from_json(json.loads(rows.line(row - 1)))
        except (IndexError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if example.prompt and example.prompt[-1].content == prompt and example.response:
            found[row, prompt] = example.response
    return found


def in_words(pieces: Iterable[Piece]) -> str:
    """A word diff as a text, as `git diff --word-diff=plain` has it: `[-gone-]`, `{+new+}`."""
    marked = {"=": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
    return "".join(marked[what].format(text) for what, text in pieces)
