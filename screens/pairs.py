"""Near-duplicates as pairs, nearest the threshold first, and the threshold moved by keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.example import differing
from screens.findings import FindingsScreen
from screens.row_source import RowSource
from screens.widgets.confirm import Confirm
from screens.widgets.row_table import Column
from workbench.data.curate import thresholds
from workbench.data.curate.duplicates import text_of
from workbench.data.curate.findings import Finding
from workbench.data.curate.store import Findings
from workbench.data.rows import RowFile
from workbench.data.word_diff import Piece, word_diff
from workbench.errors import WorkbenchError
from workbench.text import visible

_BESIDE = 2
"""Thresholds on either side whose counts are shown."""


@dataclass
class Loaded(Message):
    """The pairs at a threshold, with whether their later row goes."""

    threshold: float
    pairs: list[tuple[Finding, bool]]


@dataclass
class Compared(Message):
    """What differs between the two rows of a pair."""

    finding: Finding
    pieces: list[Piece]


class PairsScreen(FindingsScreen):
    """Pairs of rows that are alike, those nearest the threshold first, with what differs. Left and
    right move the threshold: each shows how many rows would go. d drops those at this one; a and
    x decide about the later row of one pair."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("row", 9, right=True),
        Column("", 4),
        Column("alike", 5, right=True),
        Column("here", 5),
        Column("earlier", 9, right=True),
        Column("prompt", 10, grow=1),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "threshold(-1)", "Lower", id="pairs.lower"),
        Binding("right,l", "threshold(1)", "Higher", id="pairs.higher"),
        Binding("d", "drop", "Drop all", id="pairs.drop"),
    ]

    def __init__(self, source: RowSource, found: Findings) -> None:
        super().__init__(source, found)
        at = float(found.options["threshold"])
        self._threshold = min(thresholds.THRESHOLDS, key=lambda known: abs(known - at))
        self._pairs: list[tuple[Finding, bool]] = []
        self._known: dict[float, Findings] = {}

    def open_findings(self, found: Findings) -> RowFile:
        # There may be none at this threshold.
        return RowFile(found.path)

    def on_mount(self) -> None:
        self._move_to(self._threshold)

    def action_threshold(self, by: int) -> None:
        """Move the threshold by 0.05."""
        place = thresholds.THRESHOLDS.index(self._threshold) + by
        if 0 <= place < len(thresholds.THRESHOLDS):
            self._move_to(thresholds.THRESHOLDS[place])

    def _move_to(self, threshold: float) -> None:
        version = self.source.version
        if version is None or self.at_work:
            return
        known = thresholds.known(version)
        if len(known) == len(thresholds.THRESHOLDS):
            self._known, self._threshold = known, threshold
            self._load(threshold)
            return

        def start() -> Path:
            from workbench.data.curate import check_job

            return check_job.start_thresholds(self.workspace, version.reference, threshold)

        self.show_place()
        self.have_done("comparing", start, lambda folder: self._move_to(threshold))

    @work(thread=True, exclusive=True, group="pairs", exit_on_error=False)
    def _load(self, threshold: float) -> None:
        try:
            pairs = thresholds.border(self._known, threshold)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.post_message(Loaded(threshold, pairs))

    @on(Loaded)
    def _take_loaded(self, message: Loaded) -> None:
        if message.threshold == self._threshold:
            self._pairs = message.pairs
            self.table.cursor = 0
            self.show_decisions()

    def finding(self, place: int) -> Finding | None:
        return self._pairs[place][0] if 0 <= place < len(self._pairs) else None

    def count(self) -> int:
        return len(self._pairs)

    def place_in_words(self) -> str:
        """The threshold with those beside it, and how many rows go at each."""
        if not self._known:
            return "Every threshold is looked at once; then each is there at a key."
        place = thresholds.THRESHOLDS.index(self._threshold)
        near = thresholds.THRESHOLDS[max(0, place - _BESIDE) : place + _BESIDE + 1]
        shown = [
            f"[{t:.2f}: {self._known[t].flagged:,} go]"
            if t == self._threshold
            else f"{t:.2f}: {self._known[t].flagged:,}"
            for t in near
        ]
        return f"threshold  {'  '.join(shown)}  of {self.found.rows:,} rows"

    def cells(self, place: int) -> tuple[str, ...]:
        finding, goes = self._pairs[place]
        looked = self.source.look(finding.row)
        text = looked.examples[0] if looked and looked.examples else None
        return (
            f"{finding.row + 1:,}",
            self.mark(finding.row),
            f"{finding.score or 0:.2f}",
            "goes" if goes else "stays",
            f"{finding.other.row + 1:,}" if finding.other else "",
            (text.instruction or text.text) if text else "",
        )

    def show_finding(self, place: int) -> None:
        """The two rows as one text; what differs is found in a thread, as it may take 0.2 s."""
        if place >= len(self._pairs):
            empty = "No pair lies within 0.05 of this threshold."
            self.show_beside(Text(empty if self._known else ""))
            return
        self._compare(self._pairs[place][0])

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def _compare(self, finding: Finding) -> None:
        if finding.other is not None:
            self.source.file.index()
            earlier, later = (self.source.original(n) for n in (finding.other.row, finding.row))
            if earlier is not None and later is not None:
                pieces = word_diff(text_of(earlier), text_of(later))
                self.post_message(Compared(finding, pieces))

    @on(Compared)
    def _take_compared(self, message: Compared) -> None:
        if message.finding != self.finding(self.table.cursor):
            return
        about = message.finding
        out = Text(f"{visible(about.reason)}\n", "bold yellow")
        if about.other is not None:
            out.append(f"- row {about.other.row + 1:,} alone", "red strike")
            out.append("   ")
            out.append(f"+ row {about.row + 1:,} alone", "green underline")
        self.show_beside(out.append("\n\n").append_text(differing(message.pieces)))

    def go_to(self, number: int) -> None:
        for place, (finding, _) in enumerate(self._pairs):
            if finding.row == number:
                self.table.cursor = place
                return

    def action_drop(self) -> None:
        """Make another version without the rows that go at this threshold."""
        if not self._known or not (count := self._known[self._threshold].flagged):
            self.notify("No row goes at this threshold.")
            return
        question = f"Make another version, without the {count:,} rows that go at {self._threshold}?"
        self.app.push_screen(Confirm(question), self._drop)

    def _drop(self, agreed: bool | None) -> None:
        from workbench.data import replay_job, revising
        from workbench.data.recipe import Drop

        version = self.source.version
        if agreed and version is not None:
            step = Drop(check=self.found.check, options={"threshold": self._threshold})
            self.have_done(
                "making a version",
                lambda: replay_job.start(self.workspace, revising.with_step(version, step)),
                self._take_dropped,
                must_stay=True,
            )

    def _take_dropped(self, folder: Path) -> None:
        from workbench.jobs import tasks

        self.finish(tasks.result(folder))
