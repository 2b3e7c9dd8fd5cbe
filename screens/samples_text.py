"""The samples of a run as text: the overview, the heads of the sides, the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from screens import diff_text
from screens.widgets.texts import answer_text
from workbench.data.word_diff import Piece
from workbench.degeneration.marks import Mark
from workbench.text import visible
from workbench.tracking.samples import Output, Prompt, Samples

_LONGEST = 40_000
"""Characters of a text that are laid out."""
_NAME = 12
"""Columns of a prompt's name."""
_EMPTY = """\
Nothing was answered yet. At each evaluation the model answers the first evaluation.samples \
validation rows, and evaluation.sample_prompts; the first evaluation is before the first step."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A prompt at two evaluations, by their steps."""

    prompt: Prompt
    other: int
    step: int

    @property
    def comparable(self) -> bool:
        """Whether there are two answers."""
        return self.other != self.step and {self.other, self.step} <= self.prompt.outputs.keys()


def summary(samples: Samples, shown: int) -> Text:
    """What there is, and since when something is wrong."""
    out = Text(visible(samples.run, one_line=True), "bold")
    if not samples.prompts:
        return out.append(f"\n{_EMPTY}", Style(bold=False))
    of = f"{shown} of " if shown < len(samples.prompts) else ""
    count = f"  {of}{len(samples.prompts)} prompts at {len(samples.steps)} evaluations, greedy"
    out.append(count, Style(bold=False))
    if samples.began is None:
        return out.append("  nothing wrong at the last", Style(bold=False))
    at = samples.degenerate(samples.steps[-1])
    told = f"  wrong since step {samples.began}, now {at}"
    return out.append(told, "bold yellow")


def overview(
    samples: Samples, prompts: Sequence[Prompt], chosen: Chosen | None, width: int, lines: int
) -> Text:
    """A line a prompt, a column an evaluation, a letter a mark; around what is chosen."""
    if chosen is None:
        return Text("No prompt has that text." if samples.prompts else "")
    cells = [[p.letters(step) for step in samples.steps] for p in prompts]
    widest = max(len(cell) for row in cells for cell in row)
    column = max(3, widest, len(str(samples.steps[-1]))) + 2
    room = max(1, (width - _NAME) // column)
    at = samples.steps.index(chosen.step)
    first = _first(at, len(samples.steps), room)
    steps = range(first, min(first + room, len(samples.steps)))
    out = Text(f"{'step' if not first else '… step':>{_NAME - 1}} ", "dim")
    for place in steps:
        step = samples.steps[place]
        sign = "<" if step == chosen.other and step != chosen.step else ""
        style = "bold" if step in (chosen.step, chosen.other) else "dim"
        out.append(f"{sign}{step}".rjust(column), style)
    out.append("  …" if steps.stop < len(samples.steps) else "", "dim")
    row = next((i for i, prompt in enumerate(prompts) if prompt is chosen.prompt), 0)
    top = _first(row, len(prompts), lines - 1)
    for number in range(top, min(top + lines - 1, len(prompts))):
        here = number == row
        more = "↓" if number == top + lines - 2 and number < len(prompts) - 1 else " "
        more = "↑" if number == top > 0 else more
        name = prompts[number].name if prompts[number].row else f"own {number + 1}"
        out.append(f"\n{'>' if here else more}{name:>{_NAME - 2}} ", "bold" if here else "")
        for place in steps:
            cell = cells[number][place] or " "
            is_chosen = here and place == at
            shown = f"[{cell}]" if is_chosen else f"{cell} "
            out.append(shown.rjust(column + is_chosen - 1 + (not is_chosen)), _cell_style(cell))
    return out


def _cell_style(cell: str) -> str:
    """A help to the eye only: the letters say it."""
    return "bold yellow" if any(letter.isupper() for letter in cell) else "dim"


def _first(at: int, count: int, room: int) -> int:
    """The first of `room` places that are in view, of `count`, around the place `at`."""
    return max(0, min(at - room // 2, count - room))


def heading(chosen: Chosen, *, whole: bool) -> Text:
    """What was asked."""
    text = chosen.prompt.text if whole else " ".join(chosen.prompt.text.split())
    return Text(f"{chosen.prompt.name}: ", "bold").append(visible(text[:_LONGEST]), "not bold")


def side(step: int, output: Output | None) -> Text:
    """What an answer is: its evaluation, its length, and each mark with its reason."""
    out = Text(f"step {step}", "bold")
    if output is None:
        return out.append("  no answer", "not bold")
    if output.tokens is not None:
        out.append(f"  {output.tokens} tokens", "not bold")
    if output.same:
        out.append("  as before", "not bold")
    if not output.marks:
        out.append("  nothing wrong", "not bold")
    for mark in output.marks:
        style = "not bold" if mark.rule.note else "not bold yellow"
        out.append("  ").append(_told(mark), style)
    return out


def _told(mark: Mark) -> str:
    return f"{mark.letter} {mark.name}: {mark.reason};"


def drawn(
    output: Output | str | None, pieces: Sequence[Piece] | None = None, sides: str = ""
) -> Text:
    """An answer as it is, or with what the other has not: `sides` is `-`, `+`, or `both` for one
    text of the two."""
    text = output.answer if isinstance(output, Output) else output or ""
    if pieces is None:
        return answer_text(text, _LONGEST)
    out = Text()
    room = _LONGEST
    for what, part in pieces:
        if what in ("=", sides) or sides == "both":
            before, after = diff_text.SIGNS[what]
            out.append(f"{before}{visible(part[:room])}{after}", diff_text.STYLES[what])
            room -= min(room, len(part))
    return out


def under(title: str, text: Text) -> Text:
    """A text under its title, where it has one."""
    return Text(f"{title}\n", "bold").append_text(text) if title else text
