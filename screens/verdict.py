"""The verdict of a whole dataset under a base: what would be trained, and what a cutoff takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from screens.data_screen import Pushed, line_to_write_in
from screens.widgets.row_table import Column, RowTable
from workbench.data.gate_findings import OK, RED, YELLOW, GateFinding
from workbench.data.lengths import Kept
from workbench.data.verdict import Verdict
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.text import visible

_BARS = 24
_WIDEST = 24
"""Cells of the longest bar."""
_LEVELS = {RED: "RED", YELLOW: "look", OK: "ok"}
_STYLES = {RED: "bold red", YELLOW: "yellow", OK: "green"}
_DIGITS = 10
_LEAST = 16
"""The least cutoff that a config takes."""


@dataclass
class Judged(Message):
    """What there is to say of the rows at a cutoff."""

    cutoff: int
    findings: list[GateFinding]


class VerdictScreen(Pushed):
    """What would be trained on, of all rows, by the template of the base in work. Left and right
    move the cutoff, n names one: each shows the rows and tokens that it keeps. Enter shows the
    first rows of what was found, c takes dataset and cutoff to the config."""

    COLUMNS = (
        Column("", 4),
        Column("finding", 22),
        Column("rows", 9, right=True),
        Column("what", 20, grow=1),
    )
    LINES = ("cutoff_line",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "cutoff(-1)", "Shorter", id="verdict.shorter"),
        Binding("right,l", "cutoff(1)", "Longer", id="verdict.longer"),
        Binding("n", "cutoff_line", "Cutoff", id="verdict.cutoff", priority=True),
        Binding("c", "configure", "Configure", id="datasets.configure"),
    ]

    def __init__(self, version: Version) -> None:
        super().__init__()
        self._version = version
        self._verdict: Verdict | None = None
        self._cutoff = 0
        self._findings: list[GateFinding] = []

    def compose_lines(self) -> ComposeResult:
        yield line_to_write_in("options", "cutoff in tokens: enter takes it, escape leaves")

    def on_mount(self) -> None:
        from workbench.data import verdict_job

        self.say(f"Measuring the rows  ·  {self._version.reference}")
        base = self.shell.base
        self.have_done(
            "measuring rows",
            lambda: verdict_job.start(self.workspace, self._version.reference, base, join=True),
            self._take_measured,
        )

    def _take_measured(self, folder: Path) -> None:
        from workbench.data import verdict_job

        try:
            self._verdict = verdict_job.read_result(folder)
        except WorkbenchError as error:
            self.complain(error)
            return
        self._set_cutoff(self.shell.max_length or self._verdict.lengths[""].longest)

    def task_failed(self) -> None:
        self.say(f"Not measured  ·  {self._version.reference}")

    def action_cutoff(self, by: int) -> None:
        """Move the cutoff by a bar of the histogram."""
        if self._verdict is not None:
            bars = self._verdict.lengths[""].histogram(_BARS)
            width = bars[0].high if bars else 1
            step = max(1, self._cutoff // width + by) if self._cutoff % width == 0 else 0
            nearest = self._cutoff // width + (by > 0)
            self._set_cutoff((step or nearest) * width)

    def action_cutoff_line(self) -> None:
        """Name a cutoff in tokens."""
        self.open_line("options", str(self._cutoff))

    @on(Input.Submitted, "#options")
    def _submit_cutoff(self) -> None:
        text = self.close_line("options")
        if text.isdecimal() and len(text) < _DIGITS:
            self._set_cutoff(int(text))
        elif text:
            shown = visible(text[:_DIGITS], one_line=True)
            self.notify(f"{shown} is no number of tokens.", markup=False)

    def _set_cutoff(self, cutoff: int) -> None:
        if self._verdict is not None:
            self._cutoff = max(_LEAST, cutoff)
            self._show_state()
            self._show_beside()
            self._judge(self._verdict, self._cutoff)

    @work(thread=True, exclusive=True, group="verdict", exit_on_error=False)
    def _judge(self, verdict: Verdict, cutoff: int) -> None:
        """In a thread: which rows a cutoff hurts is looked up among all."""
        try:
            self.post_message(Judged(cutoff, verdict.findings(cutoff)))
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)

    @on(Judged)
    def _take_judged(self, message: Judged) -> None:
        if message.cutoff == self._cutoff:
            order = list(_LEVELS)
            self._findings = sorted(message.findings, key=lambda f: order.index(f.level))
            self.table.show_rows(len(self._findings), self._cells)
            self._show_state()
            self._show_beside()

    def _show_state(self) -> None:
        if self._verdict is None:
            return
        red = sum(finding.level == RED for finding in self._findings)
        kept = self._verdict.lengths[""].at(self._cutoff)
        self.say(
            f"cutoff {self._cutoff:,}: {kept.rows_kept:,} of {self._verdict.rows:,} rows kept, "
            f"{f'{red} red' if red else 'nothing red'}  ·  {self._version.reference}"
        )

    def _cells(self, row: int) -> tuple[str, ...]:
        finding = self._findings[row]
        count = f"{finding.count:,}" if finding.count else ""
        return (_LEVELS[finding.level], finding.name, count, finding.text)

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_beside()

    @on(RowTable.Chosen)
    def _choose(self) -> None:
        """The rows of a finding, in the rows' own screen."""
        finding = self._finding
        if finding is None or not finding.count:
            return
        if finding.name in ("responses-lost", "too-long"):
            self.dismiss(f"tokens>{self._cutoff}")
        elif finding.numbers:
            self.dismiss(f"row={finding.numbers[0]}")

    def action_configure(self) -> None:
        """Open the Config screen on this dataset and this cutoff."""
        self.shell.chosen_dataset = self._version.reference
        self.shell.chosen_max_length = self._cutoff or None
        self.shell.go("config")

    @property
    def _finding(self) -> GateFinding | None:
        cursor = self.table.cursor
        return self._findings[cursor] if cursor < len(self._findings) else None

    def _show_beside(self) -> None:
        if self._verdict is None:
            return
        out = Text()
        if (finding := self._finding) is not None and finding.count:
            out.append(visible("\n".join(finding.lines())), _STYLES[finding.level])
            out.append(visible(f"\n{finding.advice}\n\n"))
        lengths = self._verdict.lengths[""]
        spread = "  ".join(f"{name} {n:,}" for name, n in lengths.spread().items())
        out.append(f"tokens of a row: {spread}\n", "bold")
        _append_kept(out, lengths.at(self._cutoff))
        block, edge_mark = ("#", "<") if self.shell.ascii else ("█", "◂")
        bars = lengths.histogram(_BARS)
        most = max((bar.rows for bar in bars), default=0)
        for bar in bars:
            kept = bar.high <= self._cutoff
            length = -(-_WIDEST * bar.rows // most) if most else 0
            edge = bar.low <= self._cutoff < bar.high
            mark = edge_mark if edge else " " if kept else "x"
            style = "green" if kept else "yellow" if edge else "red"
            line = f"{bar.low:>7,}-{bar.high:<7,} {bar.rows:>9,} {mark} {block * length}\n"
            out.append(line, style)
        self.show_beside(out)


def _append_kept(out: Text, kept: Kept) -> None:
    """What a cutoff keeps, in rows and tokens."""
    out.append(f"cutoff {kept.cutoff:,}, longer rows cut:\n", "bold")
    for name, some, whole in (
        ("rows kept", kept.rows_kept, kept.rows),
        ("of these whole", kept.whole, kept.rows),
        ("tokens kept", kept.tokens_kept, kept.tokens),
        ("trained tokens kept", kept.trained_kept, kept.trained_tokens),
    ):
        share = 100 * some / whole if whole else 100.0
        out.append(f"  {name:<20} {some:>12,} of {whole:>12,}  {share:5.1f} %\n")
    out.append(f"  {'response cut':<20} {kept.partly_lost:>12,}\n")
    out.append(f"  {'response lost':<20} {kept.wholly_lost:>12,}\n\n")
