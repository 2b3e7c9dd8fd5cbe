"""What a model says to the fixed prompts, one evaluation beside another, while it is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.base import FEW, WorkbenchScreen
from screens.samples_text import Chosen, drawn, heading, overview, side, summary, under
from screens.widgets.in_order import Line
from screens.widgets.texts import Texts
from workbench.data.word_diff import Piece, word_diff
from workbench.errors import WorkbenchError
from workbench.tracking.samples import Prompt, SampleReader, Samples

_LOOK_EVERY = 0.5
"""Seconds between two looks at the log."""
_GRID = 0.3
"""The share of the screen's lines that the overview takes at most."""
_FEWEST_LINES = 3
_WIDE = 120
"""Columns from which the sides stand beside each other."""
_KNOWN = "the dataset's answer"


@dataclass
class Read(Message):
    """What was said so far."""

    samples: Samples


@dataclass
class Compared(Message):
    """What changed between the two sides."""

    chosen: Chosen
    pieces: list[Piece]


class SamplesScreen(WorkbenchScreen):
    """Each line above is a prompt, each column an evaluation, each letter something wrong with the
    answer. Up and down choose the prompt, left and right the evaluation; below it stands beside
    the one before, or beside another that H and L choose. d shows what changed between them, word
    by word: [-gone-] and {+new+}. Decoding is greedy, so that a change is the training's doing."""

    NAME = "monitor"
    FILTER = "the prompts by their text"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-few"), (FEW + 1, "-enough")]  # noqa: RUF012
    DEFAULT_CSS = """
    SamplesScreen {
        #state { height: auto; max-height: 4; padding: 0 1; }
        #overview { height: auto; padding: 0 1; text-wrap: nowrap; }
        #prompt { height: auto; max-height: 2; padding: 0 1; background: $boost; }
        #heads { height: auto; layout: horizontal; }
        #heads Static { width: 1fr; height: auto; max-height: 5; padding: 0 1; }
        #texts { height: 1fr; }
        #sides { height: auto; layout: horizontal; }
        #sides Static { width: 1fr; height: auto; padding: 0 1; }
        &.-narrow #heads, &.-narrow #sides { layout: vertical; }
        &.-narrow #heads Static, &.-narrow #sides Static { width: 100%; }
        &.-narrow #heads Static { max-height: 2; }
        &.-narrow #heads #right-head { max-height: 3; }
        &.-few #tabs, &.-few Footer { display: none; }
        &.-whole #prompt { max-height: 30%; overflow-y: auto; }
        &.-whole #heads #left-head, &.-whole #heads #right-head { max-height: 12; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "step(1)", "Later", id="samples.later"),
        Binding("left,h", "step(-1)", "Earlier", show=False, id="samples.earlier"),
        Binding("down,j", "prompt(1)", "Prompt", id="samples.next"),
        Binding("up,k", "prompt(-1)", "Prompt before", show=False, id="samples.before"),
        Binding("L", "other(1)", "Other side later", show=False, id="samples.other_later"),
        Binding("H", "other(-1)", "Other side", id="samples.other_earlier"),
        Binding("d", "diff", "Diff", id="samples.diff"),
        Binding("r", "reference", "Reference", id="samples.reference"),
        Binding("n", "wrong", "Next wrong", id="samples.wrong"),
        Binding("z", "whole", "Whole prompt and marks", show=False, id="samples.whole"),
        Binding("o,backspace", "leave", "Back", id="samples.leave"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._run = run
        self._samples: Samples | None = None
        self._prompts: tuple[Prompt, ...] = ()
        """Those that the filter leaves."""
        self._filter = ""
        self._prompt = 0
        self._step: int | None = None
        """The step of the evaluation that is looked at; None for the newest."""
        self._other: int | None = None
        """That which it is held against; None for the one before."""
        self._diff = True
        self._reference = False
        self._pieces: tuple[Chosen, list[Piece]] | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Static(id="overview", markup=False)
        yield Static(id="prompt", markup=False)
        with Container(id="heads"):
            for name in ("left", "right", "known"):
                yield Static(id=f"{name}-head", markup=False)
        with Texts(id="texts"), Container(id="sides"):
            for name in ("left", "right", "known"):
                yield Static(id=name, markup=False)

    def on_mount(self) -> None:
        self.query_one("#state", Static).update(f"{self._run.name}: reading its answers…")
        self._follow()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show)

    def on_screen_resume(self) -> None:
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.query_one(Texts))

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _follow(self) -> None:
        """Read the run's answers as they come, until the screen is left."""
        worker = get_current_worker()
        reader = SampleReader(self._run)
        while not worker.is_cancelled:
            try:
                samples = reader.read()
            except WorkbenchError as error:
                self.app.call_from_thread(self.complain, error)
                return
            if samples is not None:
                self.post_message(Read(samples))
            time.sleep(_LOOK_EVERY)

    @on(Read)
    def _take(self, message: Read) -> None:
        if message.samples != self._samples:
            self._samples = message.samples
            self._choose_prompts()

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self._prompt = 0
        self._choose_prompts()

    def _choose_prompts(self) -> None:
        known = self._samples.prompts if self._samples else ()
        self._prompts = tuple(
            prompt for prompt in known if self._filter in f"{prompt.name} {prompt.text}".casefold()
        )
        self._prompt = max(0, min(self._prompt, len(self._prompts) - 1))
        self._show()

    @property
    def _chosen(self) -> Chosen | None:
        """What is looked at; None while there is nothing."""
        if self._samples is None or not self._prompts or not self._samples.steps:
            return None
        steps = self._samples.steps
        step = self._step if self._step in steps else steps[-1]
        before = steps[max(0, steps.index(step) - 1)]
        other = self._other if self._other in steps else before
        return Chosen(self._prompts[self._prompt], other, step)

    def action_step(self, by: int) -> None:
        """Look at the evaluation before or after; at the last, at each that comes."""
        if (chosen := self._chosen) and self._samples:
            steps = self._samples.steps
            place = max(0, min(steps.index(chosen.step) + by, len(steps) - 1))
            self._step = None if place == len(steps) - 1 else steps[place]
            self._show_from_top()

    def action_other(self, by: int) -> None:
        """Hold it against another evaluation; at the one before, against each that is before."""
        if (chosen := self._chosen) and self._samples:
            steps = self._samples.steps
            place = max(0, min(steps.index(chosen.other) + by, len(steps) - 1))
            before = steps[max(0, steps.index(chosen.step) - 1)]
            self._other = None if steps[place] == before else steps[place]
            self._show_from_top()

    def action_prompt(self, by: int) -> None:
        """Look at another prompt."""
        if self._prompts:
            self._prompt = max(0, min(self._prompt + by, len(self._prompts) - 1))
            self._show_from_top()

    def action_wrong(self) -> None:
        """Look at the next answer that has something wrong: of later prompts, then of later
        evaluations, then from the first."""
        if not (chosen := self._chosen) or self._samples is None:
            return
        cells = [
            (step, place)
            for step in self._samples.steps
            for place, prompt in enumerate(self._prompts)
            if prompt.degenerate(step)
        ]
        if not cells:
            self.notify("Nothing is wrong with any answer.")
            return
        here = (chosen.step, self._prompt)
        step, self._prompt = next((cell for cell in cells if cell > here), cells[0])
        self._step = None if step == self._samples.steps[-1] else step
        self._show_from_top()

    def action_diff(self) -> None:
        """Show what changed word by word, or the answers as they are."""
        self._diff = not self._diff
        self._show_from_top()

    def action_reference(self) -> None:
        """Show the dataset's own answer, or don't."""
        self._reference = not self._reference
        self._show_from_top()

    def action_whole(self) -> None:
        """Show the prompt and the marks whole, or their beginnings."""
        self.toggle_class("-whole")
        self._show()

    def action_leave(self) -> None:
        """Go back to where it was opened."""
        self.dismiss(None)

    def key_escape(self) -> None:
        if self.query_one("#filter", Line).display:
            super().key_escape()
        else:
            self.action_leave()

    def _show_from_top(self) -> None:
        self.query_one(Texts).scroll_home(animate=False)
        self._show()

    def _show(self) -> None:
        if self._samples is None:
            return
        chosen = self._chosen
        room = max(_FEWEST_LINES, int(_GRID * self.size.height))
        grid, state = self.query_one("#overview", Static), self.query_one("#state", Static)
        state.update(summary(self._samples, len(self._prompts)))
        grid.update(overview(self._samples, self._prompts, chosen, self.size.width - 2, room))
        whole = self.has_class("-whole")
        self.query_one("#prompt", Static).update(heading(chosen, whole=whole) if chosen else "")
        for part in ("#heads", "#texts"):
            self.query_one(part).display = chosen is not None
        if chosen is not None:
            self._show_sides(chosen)

    def _show_sides(self, chosen: Chosen) -> None:
        """The two answers; on a narrow screen one text has both, where they are compared."""
        pieces = self._diff_of(chosen)
        wide = self.has_class("-wide")
        alone = chosen.step == chosen.other
        outputs = chosen.prompt.outputs
        one_text = not wide and pieces is not None
        for name, step, sign in (("left", chosen.other, "-"), ("right", chosen.step, "+")):
            output = outputs.get(step)
            shown = not (alone and name == "left")
            self._part(f"{name}-head", side(step, output), shown)
            text = drawn(output, pieces, "both" if one_text else sign)
            title = "" if wide or one_text else f"── step {step}"
            self._part(name, under(title, text), shown and not (one_text and name == "left"))
        known = chosen.prompt.reference
        text = Text("(it isn't known here)", "dim") if known is None else drawn(known)
        self._part("known-head", Text(_KNOWN, "bold"), self._reference and wide)
        self._part("known", under("" if wide else f"── {_KNOWN}", text), self._reference)

    def _part(self, id: str, text: Text, shown: bool) -> None:
        part = self.query_one(f"#{id}", Static)
        part.display = shown
        part.update(text)

    def _diff_of(self, chosen: Chosen) -> list[Piece] | None:
        """What changed, if that is wanted and known; else it is looked for in a thread."""
        if not self._diff or not chosen.comparable:
            return None
        if self._pieces is None or self._pieces[0] != chosen:
            self._compare(chosen)
            return None
        return self._pieces[1]

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def _compare(self, chosen: Chosen) -> None:
        outputs = chosen.prompt.outputs
        texts = (outputs[chosen.other].answer, outputs[chosen.step].answer)
        self.post_message(Compared(chosen, word_diff(*texts)))

    @on(Compared)
    def _take_compared(self, message: Compared) -> None:
        self._pieces = message.chosen, message.pieces
        if message.chosen == self._chosen:
            self._show_sides(message.chosen)


def open_samples(app: App[None], run: Path) -> None:
    """Open the samples of the run in the folder `run` over the screen that is shown."""
    app.push_screen(SamplesScreen(run))
