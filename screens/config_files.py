"""The form's work with files and runs: open, save, $EDITOR, start, queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.timer import Timer

from screens.base import WorkbenchScreen
from screens.editor import check_signs, edited_outside
from screens.widgets.confirm import Confirm
from screens.widgets.pick import Choice, Pick
from workbench.config import loading
from workbench.config.draft import Draft
from workbench.config.loading import ConfigError
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import write_text
from workbench.text import visible
from workbench.tracking import runs
from workbench.workspace import check_name

KEPT = ".draft.json"
"""Beside the configs: the one in work, as far as it isn't saved."""
_QUIET = 0.5
"""Seconds without a key after which it is kept."""
_AGAIN, _LEAVE = "edit again", "leave it as it was"


class ConfigFiles(WorkbenchScreen):
    """What a config is opened from, written to and started with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "Save", id="config.save", priority=True),
        Binding("S", "save_as", "Save as", show=False, id="config.save_as", priority=True),
        Binding("o", "open", "Open", id="config.open", priority=True),
        Binding("O", "open_path", "Open a path", show=False, id="config.path", priority=True),
        Binding("e", "editor", "YAML", id="config.editor", priority=True),
        Binding("x", "start", "Start", id="config.start", priority=True),
        Binding("Q", "queue", "Queue", show=False, id="config.queue", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.draft = Draft()
        self._keeping: Timer | None = None
        self._one_keeps = threading.Lock()
        """Else a thread could put back what was saved, and so removed, meanwhile."""
        self._unkept = False
        """Whether it was said that what isn't saved can't be kept."""

    def restore(self) -> None:
        """Go on with what was not saved when the app was left, however it was."""
        if self.draft.restore(self._kept):
            name = self.draft.config.name
            said = f"{name} is here as you left it, with what wasn't saved. u takes that back."
            self.notify(visible(said), markup=False)

    def keep_soon(self) -> None:
        """Keep what isn't saved once no key has come for a moment."""
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(_QUIET, self._keep_in_thread)

    def on_unmount(self) -> None:
        with suppress(WorkbenchError, OSError), self._one_keeps:
            self.draft.keep(self._kept)

    @property
    def _kept(self) -> Path:
        return self.workspace.configs / KEPT

    @work(thread=True, group="keep", exit_on_error=False)
    def _keep_in_thread(self) -> None:
        try:
            with self._one_keeps:
                self.draft.keep(self._kept)
        except (WorkbenchError, OSError) as error:
            if not self._unkept:
                self._unkept = True
                self.say_from_thread(f"What isn't saved can't be kept for the next time: {error}")

    def changed(self) -> None:
        """Show the config anew, after a change."""
        raise NotImplementedError

    def ask(self, what: str, text: str, take: Callable[[str], None]) -> None:
        """Have a text written in the line at the bottom, and `take` it."""
        raise NotImplementedError

    def action_save(self) -> None:
        """Save to the file that it was opened from; the first time, under a name."""
        if self.draft.path is None:
            self.action_save_as()
        else:
            self._save_to(self.draft.path)

    def action_save_as(self) -> None:
        """Save under another name, as YAML in the workspace."""
        self.ask("save under the name", self.draft.config.name, self._save_as)

    def _save_as(self, name: str) -> None:
        check_name(name, "config")
        self.draft.set([f"name={name}"])
        self._save_to(self.workspace.configs / f"{name}.yaml")

    def _save_to(self, path: Path) -> None:
        """Save; asks before it replaces what somebody else has written."""
        try:
            asks = self.draft.changed_outside(path)
        except WorkbenchError as error:
            self.complain(error)
            return
        if not asks:
            self._write(path, True)
            return
        known = path == self.draft.path
        what = (
            f"{path.name} was changed by somebody else since it was opened here."
            if known
            else f"There is a config {path.stem} already."
        )
        self.app.push_screen(Confirm(f"{visible(what)} Replace it?"), partial(self._write, path))

    def _write(self, path: Path, agreed: bool | None) -> None:
        if not agreed:
            return
        try:
            self.workspace.ensure()
            self.draft.save(path)
        except WorkbenchError as error:
            self.complain(error)
            return
        self.notify(f"Saved to {visible(str(path))}", markup=False)
        self.changed()

    def action_open(self) -> None:
        """Open a config of the workspace, or a run's."""
        self.app.push_screen(Pick("Open a config", self._openable), self._open_chosen)

    def _openable(self) -> list[Choice]:
        choices = [
            Choice(path.stem, "saved", str(path))
            for path in sorted(self.workspace.configs.glob("*.yaml"))
        ]
        choices += [
            Choice(name, "the config of a run", str(self.workspace.runs / name / runs.CONFIG))
            for name in reversed(runs.ids(self.workspace))
        ]
        return choices

    def _open_chosen(self, name: str | None) -> None:
        if name is None:
            return
        path = self.workspace.configs / f"{name}.yaml"
        self.open_file(path if path.exists() else self.workspace.runs / name / runs.CONFIG)

    def action_open_path(self) -> None:
        """Open a config by its name or path."""
        self.ask("open the name or path", "", self._open_path)

    def _open_path(self, reference: str) -> None:
        if reference:
            self.open_file(loading.config_path(self.workspace, reference))

    def open_file(self, path: Path) -> None:
        """Go on with the config in a file; one that has mistakes may be mended in $EDITOR. A run's
        own config stays what it was: its values are taken over."""
        try:
            if path.parent.parent == self.workspace.runs:
                self.draft.copy(path)
            else:
                self.draft.open(path)
        except ConfigError as error:
            self._offer_to_mend(error, partial(self._mend_file, path))
        except WorkbenchError as error:
            self.complain(error)
        else:
            self.changed()

    def action_editor(self) -> None:
        """Edit the config as YAML in $EDITOR; comments stay."""
        self._edit(self.draft.text)

    def _edit(self, text: str) -> None:
        """Have a text edited, and take it once it is a config."""
        edited = text
        try:
            edited = edited_outside(self.app, text, f"{self.draft.config.name}.yaml")
            if edited != self.draft.text:
                self.draft.take(check_signs(edited))
        except WorkbenchError as error:
            if edited == text:
                self.complain(error)
            else:
                self._offer_to_mend(error, partial(self._edit, edited))
        else:
            self.changed()

    def _mend_file(self, path: Path) -> None:
        """Have a file edited that can't be used, and open it."""
        try:
            text = path.read_text(encoding="utf-8-sig", errors="backslashreplace")
            write_text(path, check_signs(edited_outside(self.app, text, path.name)))
        except (WorkbenchError, OSError) as error:
            self.complain(WorkbenchError(str(error)))
        else:
            self.open_file(path)

    def _offer_to_mend(self, error: WorkbenchError, mend: Callable[[], None]) -> None:
        """Say all that is wrong, and go back to the editor if that is wanted."""
        choices = [Choice(_AGAIN, "in $EDITOR", str(error)), Choice(_LEAVE, "", str(error))]

        def go_on(chosen: str | None) -> None:
            if chosen == _AGAIN:
                mend()

        self.app.push_screen(Pick("It can't be used as it is", lambda: choices), go_on)

    def action_start(self) -> None:
        """Start a run with this config; asks first."""
        self._ask_to_run("Start", self._start)

    def action_queue(self) -> None:
        """Queue a run of this config, or all of its sweep: each starts when its GPUs are free;
        asks first."""
        if self.draft.sweep is None:
            self._ask_to_run("Queue", self._queue)
        elif not self.draft.is_saved or self.draft.path is None:
            self.notify("Save it first (s): a sweep is made from its file.")
        else:
            self._ask_to_sweep(self.draft.path)

    def _ask_to_run(self, how: str, do: Callable[[RunConfig], object]) -> None:
        config = self.draft.config

        def agreed(yes: bool | None) -> None:
            if yes:
                self.notify("Preparing the run; a base model may have to be fetched first.")
                do(config)

        self.app.push_screen(Confirm(visible(self.question(how))), agreed)

    def _ask_to_sweep(self, path: Path) -> None:
        from workbench.config import sweep

        try:
            swept = sweep.load(path)
        except WorkbenchError as error:
            self.complain(error)
            return
        over = ", ".join(swept.sweep.fields)
        asked = f"Queue the sweep of {path.name}? {swept.sweep.budget} runs at most, over {over}."

        def agreed(yes: bool | None) -> None:
            if yes:
                self.notify("Preparing the runs; a base model may have to be fetched first.")
                self._sweep(path)

        self.app.push_screen(Confirm(visible(asked)), agreed)

    def question(self, how: str) -> str:
        """What is asked before a run is started or queued."""
        raise NotImplementedError

    def say_from_thread(self, text: str) -> None:
        self.app.call_from_thread(self.notify, visible(text), markup=False)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start(self, config: RunConfig) -> None:
        try:
            run = runs.create(self.workspace, config, command=None, say=self.say_from_thread)
            runs.start(run)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
            return
        self.shell.run_id = run.name
        self.app.call_from_thread(self._watch)

    def _watch(self) -> None:
        self.shell.go("monitor")

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _queue(self, config: RunConfig) -> None:
        from workbench.queue import attendance, changes

        try:
            added = changes.add(
                self.workspace, [config], [], command=None, say=self.say_from_thread
            )
            if attendance.current(self.workspace) is None:
                attendance.start(self.workspace)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
            return
        self.say_from_thread(f"{added[0].run} is queued; 6 shows the queue.")

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _sweep(self, path: Path) -> None:
        from workbench.config import sweep
        from workbench.queue import attendance
        from workbench.sweeps import making

        try:
            swept = sweep.load(path)
            planned = making.plan(self.workspace, swept, str(path))
            record, added = making.start(
                self.workspace,
                swept,
                planned,
                source=str(path),
                command=None,
                say=self.say_from_thread,
            )
            if swept.sweep.method == "optuna":
                making.start_search(self.workspace, record)
            elif attendance.current(self.workspace) is None:
                attendance.start(self.workspace)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
            return
        said = f"{len(added)} runs are queued" if added else "The search is at work"
        self.say_from_thread(f"{said}; 6 shows them, `workbench sweep show` compares them.")
