"""Which run the Monitor shows: found in threads, since there may be thousands, and a file server
that is away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import on, work
from textual.message import Message

from screens.chart_keys import ChartScreen
from workbench.errors import WorkbenchError
from workbench.tracking import finding


@dataclass
class _Found(Message):
    """The run of a reference."""

    reference: str
    run: Path | None
    problem: str = ""
    """Why there is none."""


@dataclass
class _Listed(Message):
    """All runs' ids, the newest first."""

    ids: list[str]


class WhichRunScreen(ChartScreen):
    """A screen that shows one run of many. One thread at a time looks for it: those that a file
    server keeps would pile up."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ""
        """The reference of the run that is looked for; empty when none is."""
        self._listing = False
        """Whether all runs are looked for."""
        self._turns: list[int] = []
        """How far along their list each key goes."""

    def follow_run(self, run: Path) -> None:
        """Show this run."""
        raise NotImplementedError

    def show_none(self, problem: str) -> None:
        """Say why there is no run to show; empty where there are none at all."""
        raise NotImplementedError

    def find_run(self, reference: str) -> None:
        """Show the run of a reference, as `finding.find` takes it."""
        if not self._wanted:
            self._find(reference)
        self._wanted = reference

    def turn_to_run(self, by: int) -> None:
        """Show the run `by` places behind this one, or the last one there."""
        if not self._listing:
            self._list()
        self._listing = True
        self._turns.append(by)

    @work(thread=True, group="find", exit_on_error=False)
    def _find(self, reference: str) -> None:
        try:
            self.post_message(_Found(reference, finding.find(self.workspace, reference)))
        except WorkbenchError as error:
            problem = "" if reference == finding.LATEST else str(error)
            self.post_message(_Found(reference, None, problem))
        except OSError as error:
            self.post_message(_Found(reference, None, f"Runs can't be looked for: {error}."))

    @on(_Found)
    def _take_found(self, message: _Found) -> None:
        if message.reference != self._wanted:
            self._find(self._wanted)
            return
        self._wanted = ""
        if message.run is not None:
            self.follow_run(message.run)
        else:
            self.show_none(message.problem)

    @work(thread=True, group="find", exit_on_error=False)
    def _list(self) -> None:
        ids: list[str] = []
        try:
            ids = finding.ids(self.workspace)
        finally:
            self.post_message(_Listed(ids))

    @on(_Listed)
    def _take_list(self, message: _Listed) -> None:
        turns, self._listing, self._turns = self._turns, False, []
        here = self.run.name if self.run is not None else ""
        if here in message.ids:
            place = before = message.ids.index(here)
            # Key by key: one that goes past an end takes nothing from the next one.
            for by in turns:
                place = min(max(0, place + by), len(message.ids) - 1)
            if place != before:
                self.follow_run(self.workspace.runs / message.ids[place])
