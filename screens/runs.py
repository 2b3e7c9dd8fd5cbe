"""Runs: what was trained, its state and its main figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Static

from screens.own_verb import OwnVerb
from screens.run_list import RunListScreen
from screens.widgets.confirm import Confirm
from screens.widgets.row_table import RowTable
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import notes
from workbench.tracking.columns import NOTHING
from workbench.tracking.notes import head
from workbench.tracking.summary import RunSummary, newest_evaluation

_CONFIG = "config.yaml"


class RunsScreen(RunListScreen):
    """A line a run, the newest first; enter watches one. `/` finds state:ended base:smol tag:good
    lora.r>=16 loss<1.5 dataset:NAME, any column compared so, words of the notes, #tag; -tag:good
    all others. Space marks runs: d compares them, r writes their report, A puts them away. R
    repeats the one under the cursor, from its manifest."""

    NAME = "runs"
    FILTER = "runs: state:ended lora.r>=16 loss<1.5 tag:good -base:smol, words, #tag"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "compare", "Compare", id="runs.compare"),
        Binding("c", "configure", "Same config", id="runs.configure"),
        Binding("e", "evaluate", "Evaluate", id="runs.evaluate"),
        Binding("v", "review", "Make review", id="runs.review"),
        Binding("O", "outputs", "Outputs", id="runs.outputs"),
        Binding("t", "talk", "Talk", id="runs.talk"),
        Binding("A", "archive", "Archive", show=False, id="runs.archive"),
        Binding("r", "report", "Write report", show=False, id="runs.report"),
        Binding("R", "repeat", "Repeat", show=False, id="runs.repeat"),
    ]

    @on(RowTable.Chosen)
    def _watch(self, event: RowTable.Chosen) -> None:
        if event.row < len(self.shown):
            self.shell.run_id = self.shown[event.row].id
            self.shell.go("monitor")

    def run_to_note(self) -> Path | None:
        return self.line.folder if self.line else None

    def noted(self) -> None:
        self.look()

    def action_compare(self) -> None:
        """Hold the marked runs against each other: configs, figures, data, environments."""
        runs = [line.folder for line in self.chosen]
        if len(runs) < 2:
            self.notify("Space marks runs; d compares those that are marked.")
            return
        from screens.compare import CompareScreen

        self.app.push_screen(CompareScreen(runs))

    def action_archive(self) -> None:
        """Put the marked runs away, or take them out again: nothing is deleted."""
        if runs := self.chosen:
            away = not all(line.summary.archived for line in runs)
            self._archive([line.folder for line in runs], away)

    @work(thread=True, group="note", exit_on_error=False)
    def _archive(self, folders: list[Path], away: bool) -> None:
        try:
            for folder in folders:
                notes.archive(folder, away=away)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.app.call_from_thread(self._archived, folders, away)

    def _archived(self, folders: list[Path], away: bool) -> None:
        one = len(folders) == 1
        what = folders[0].name if one else f"{len(folders)} runs"
        how = "put away: a shows what is" if away else "back"
        self.notify(visible(f"{what} {'is' if one else 'are'} {how}."), markup=False)
        self.marked -= {folder.name for folder in folders}
        self.look()

    def action_configure(self) -> None:
        """Open this run's config, to change and start it."""
        if (line := self.line) is not None:
            self.shell.config_path = str(line.folder / _CONFIG)
            self.shell.go("config")

    def action_evaluate(self) -> None:
        """Evaluate base and adapter on the validation split, as a job of its own."""
        if (line := self.line) is not None:
            self.notify(
                f"Evaluating {visible(line.id)}: the Monitor shows how far it is.", markup=False
            )
            self._evaluate(line.folder)

    def action_review(self) -> None:
        """Make a blind review session of the newest evaluation."""
        from workbench.review.making import create_session, free_name
        from workbench.review.sources import Source

        if (line := self.line) is None:
            return
        evaluation = newest_evaluation(line.folder)
        if evaluation is None:
            self.notify("It has not been evaluated yet: e.")
            return
        try:
            create_session(self.workspace, free_name(self.workspace), [Source.of(evaluation)])
        except WorkbenchError as error:
            self.complain(error)
            return
        self.shell.go("review")

    def action_outputs(self) -> None:
        """Read what the marked runs answered side by side; a adds others there."""
        from screens.outputs import open_outputs

        if runs := self.chosen:
            try:
                open_outputs(self.app, [line.folder for line in runs])
            except WorkbenchError as error:
                self.complain(error)

    def action_talk(self) -> None:
        """Talk to what the marked runs made, and to their base, side by side."""
        from screens.chat import ChatScreen

        if runs := self.chosen:
            first, *others = (line.folder for line in runs)
            self.app.push_screen(ChatScreen(first, [other.name for other in others]))

    @work(thread=True, group="evaluate", exit_on_error=False)
    def _evaluate(self, run: Path) -> None:
        from workbench.evaluation import request
        from workbench.tracking import runs

        try:
            config = runs.load_config(run).evaluation
            request.start(run, request.Request.of(config))
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)

    def action_report(self) -> None:
        """Write the report of the marked runs, as a page with charts and as Markdown."""
        if runs := self.chosen:
            what = runs[0].id if len(runs) == 1 else f"{len(runs)} runs"
            self.notify(f"Writing the report of {visible(what)}.", markup=False)
            self._report([line.folder for line in runs])

    @work(thread=True, group="report", exit_on_error=False)
    def _report(self, runs: list[Path]) -> None:
        try:
            paths = OwnVerb(self.workspace, "runs", "report", "--keep", runs=runs).result()["paths"]
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            said = visible(f"The report is {paths['html']}, and as Markdown beside it.")
            self.app.call_from_thread(self.notify, said, markup=False)

    def action_repeat(self) -> None:
        """Train a run once more, with the same config, rows, base and seed; asks first."""
        if (line := self.line) is None:
            return
        question = (
            f"Repeat {line.id}? A new run begins at once, of the same config, rows, base model and "
            "seed, once these are found to be what they were."
        )

        def agreed(yes: bool | None) -> None:
            if yes:
                self._repeat(line.folder)

        self.app.push_screen(Confirm(visible(question)), agreed)

    @work(thread=True, group="repeat", exit_on_error=False)
    def _repeat(self, run: Path) -> None:
        try:
            begun = OwnVerb(self.workspace, "runs", "repeat", "--detach", runs=[run]).result()
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            said = f"{begun['repeat']} repeats {run.name}. Once it has ended: {begun['compare']}"
            self.app.call_from_thread(self.notify, visible(said), markup=False)
            self.app.call_from_thread(self.look)

    def show_about(self) -> None:
        line = self.line
        told = _about(line.summary, line.problems) if line else ""
        self.query_one("#about", Static).update(visible(told))


def _about(run: RunSummary, problems: Sequence[str]) -> str:
    text = f"{run.id}  ·  {run.dataset}  ·  base {run.base}\n{run.text}"
    text += "".join(f"\n! {problem}" for problem in problems)
    if noted := head(run.tags, run.notes, run.notes_problem):
        text += f"\n{noted}"
    if run.scores:
        names = [name.replace("_", " ") for name in next(iter(run.scores.values()))]
        text += "\n" + " " * 8 + "".join(f"{name:>13}" for name in names)
        for system, scores in run.scores.items():
            text += f"\n{system:8}" + "".join(f"{_figure(v):>13}" for v in scores.values())
    if run.harness:
        text += f"\n{_harness(run.harness)}"
    return text


def _harness(harness: Mapping[str, Mapping[str, float]]) -> str:
    """Figures of lm-evaluation-harness in a line, each of all systems: as many as there is room for
    are shown."""
    names = dict.fromkeys(name for of in harness.values() for name in of)
    told = (f"{n} {' > '.join(_figure(of.get(n)) for of in harness.values())}" for n in names)
    return f"lm_eval  {'  ·  '.join(told)}"


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
