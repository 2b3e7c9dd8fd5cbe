"""What checks find in the rows of a version: have them look, and read what they found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.data_screen import Pushed, line_to_write_in
from screens.row_source import RowSource
from screens.widgets.confirm import Confirm
from screens.widgets.row_table import Column, RowTable
from workbench.data.curate import checks, store
from workbench.data.curate.duplicates import THRESHOLD
from workbench.data.curate.store import Findings
from workbench.data.curate.thresholds import THRESHOLDS
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.text import visible

_ABOUT = {
    "near-duplicates": "Rows that say almost what an earlier one says. Enter compares the pairs; "
    "left and right move the threshold.",
    "near-duplicates-across-splits": "Validation rows that say almost what a training row says: "
    "a run on such data is refused.",
    "contamination": "Training rows that hold what an evaluation row asks. r with "
    "against=NAME compares with another dataset.",
    "personal-data": "E-mail addresses, phone and card numbers, keys and the like. p puts "
    "placeholders in their place.",
    "quality": "Empty, echoed, refusing, broken-off, repetitive and templated responses.",
    "content": "Harmful wording, copyright and licence markers, boilerplate.",
}
DUPLICATES, PERSONAL = "near-duplicates", "personal-data"


@dataclass(frozen=True, slots=True)
class Line:
    """A check with what it found with some options; `found` is None before it has looked."""

    check: str
    found: Findings | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that aren't as by default."""
        if self.found is None:
            return {}
        default = checks.options_of(checks.get(self.check), {})
        return {
            name: value
            for name, value in self.found.options.items()
            if _plain(value) != _plain(getattr(default, name, None))
        }


class ChecksScreen(Pushed):
    """The checks, and what each found. They change nothing: enter looks, then shows the rows that
    were found, to be decided about one by one; d leaves all of them out, as a step."""

    COLUMNS = (
        Column("check", 16, grow=1),
        Column("rows found", 12, right=True),
        Column("options", 14, grow=1),
        Column("kinds", 20, grow=3),
    )
    LINES = ("options",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "options", "Look with options", id="checks.options", priority=True),
        Binding("a", "all", "Look with all", id="checks.all"),
        Binding("d", "drop", "Drop all", id="checks.drop"),
        Binding("p", "redact", "Placeholders", id="checks.redact"),
    ]

    def __init__(self, source: RowSource, version: Version) -> None:
        super().__init__()
        self._source = source
        self._version = version
        self._lines: list[Line] = []
        self._to_look: list[str] = []
        """Checks that are to look after the one that is looking."""

    def compose_lines(self) -> ComposeResult:
        yield line_to_write_in("options", "options, such as threshold=0.8: enter looks with them")

    def on_mount(self) -> None:
        self._refresh()

    def on_screen_resume(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        found = store.list_findings(self._version)
        lines = []
        for name in checks.names():
            own = [Line(name, each) for each in _without_grid(found) if each.check == name]
            lines += sorted(own, key=lambda line: str(line.options)) or [Line(name)]
        self._lines = lines
        self.table.show_rows(len(lines), self._cells)
        looked = len({each.check for each in found})
        self.say(
            f"{looked} of {len(checks.names())} checks have looked  ·  {self._version.reference}"
        )
        self._show(self.table.cursor)

    def _cells(self, row: int) -> tuple[str, ...]:
        line = self._lines[row]
        if line.found is None:
            return (line.check, "not looked", "", "enter looks")
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in line.found.kinds.items())
        return (
            line.check,
            f"{line.found.flagged:,}",
            _options_text(line.options),
            kinds or "nothing",
        )

    @on(RowTable.Moved)
    def _moved(self, event: RowTable.Moved) -> None:
        self._show(event.row)

    def _show(self, row: int) -> None:
        if row >= len(self._lines):
            return
        line = self._lines[row]
        parts = [line.check, "", _ABOUT[line.check], ""]
        if line.found is not None:
            parts.append(f"{line.found.flagged:,} of {line.found.rows:,} rows")
            parts += [f"{n:>9,}  {kind}" for kind, n in line.found.kinds.items()]
        self.show_beside(visible("\n".join(parts)))

    @property
    def _line(self) -> Line:
        return self._lines[self.table.cursor]

    @on(RowTable.Chosen)
    def _choose(self) -> None:
        line = self._line
        if line.found is None:
            self._look(line.check, {})
        elif not line.found.flagged and line.check != DUPLICATES:
            self.notify(f"{line.check} found nothing.")
        else:
            self._open(line.found)

    def _open(self, found: Findings) -> None:
        from screens.findings import FindingsScreen
        from screens.pairs import PairsScreen

        try:
            paired = found.check == DUPLICATES
            screen = (PairsScreen if paired else FindingsScreen)(self._source.beside(), found)
        except WorkbenchError as error:
            self.complain(error)
        else:
            self.app.push_screen(screen, self._made)

    def action_all(self) -> None:
        """Have every check look that hasn't yet, one after another."""
        self._to_look = [line.check for line in self._lines if line.found is None]
        self._look_on()

    def _look_on(self) -> None:
        if self._to_look:
            self._look(self._to_look.pop(0), {})

    def action_options(self) -> None:
        """Have the check look with other options than those that it has by default."""
        self.open_line("options", _options_text(self._line.options))

    @on(Input.Submitted, "#options")
    def _submit_options(self) -> None:
        text = self.close_line("options")
        try:
            options = _options(text)
            checks.options_of(checks.get(self._line.check), options)
        except WorkbenchError as error:
            self.complain(error)
        else:
            self._look(self._line.check, options)

    def _look(self, check: str, options: dict[str, Any]) -> None:
        from workbench.data.curate import check_job

        def start() -> Path:
            reference = self._version.reference
            return check_job.start(self.workspace, check, reference, options, join=True)

        def looked(folder: Path) -> None:
            self._refresh()
            self._look_on()

        self.have_done(f"{check} looks", start, looked)

    def action_drop(self) -> None:
        """Make another version without the rows that the check found."""
        found = self._line.found
        if found is None or not found.flagged:
            self.notify("Nothing was found that could be left out.")
            return
        question = f"Make another version, without the {found.flagged:,} rows of {found.check}?"
        self.app.push_screen(Confirm(question), partial(self._drop, self._line))

    def _drop(self, line: Line, agreed: bool | None) -> None:
        from workbench.data.recipe import Drop

        if agreed:
            self._make(Drop(check=line.check, options=line.options))

    def action_redact(self) -> None:
        """Make another version with placeholders, such as [EMAIL_1], for personal data."""
        line = self._line
        if line.check != PERSONAL or line.found is None or not line.found.flagged:
            self.notify(f"Placeholders are for what {PERSONAL} found.")
            return
        question = "Make another version, with placeholders for personal data?"
        self.app.push_screen(Confirm(question), partial(self._redact, line))

    def _redact(self, line: Line, agreed: bool | None) -> None:
        from workbench.data.recipe import Redact

        if agreed:
            self._make(Redact(options=line.options))

    def _make(self, step: Any) -> None:
        from workbench.data import replay_job, revising

        self.have_done(
            "making a version",
            lambda: replay_job.start(self.workspace, revising.with_step(self._version, step)),
            self._take_made,
            must_stay=True,
        )

    def _take_made(self, folder: Path) -> None:
        from workbench.jobs import tasks

        self._made(tasks.result(folder))

    def _made(self, reference: str | None) -> None:
        if reference is not None:
            self.finish(reference)


def _without_grid(found: list[Findings]) -> list[Findings]:
    """What was found, near-duplicates once: where every threshold was looked at, left and right
    lead to the others."""
    grid = [each for each in found if each.check == DUPLICATES and _threshold(each) in THRESHOLDS]
    if len(grid) < len(THRESHOLDS):
        return found
    return [each for each in found if each not in grid or _threshold(each) == THRESHOLD]


def _threshold(found: Findings) -> float:
    return float(found.options["threshold"])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _options_text(options: dict[str, Any]) -> str:
    parts = []
    for name, value in options.items():
        shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        parts.append(f"{name}={shown}")
    return " ".join(parts)


def _options(text: str) -> dict[str, Any]:
    """The options in `NAME=VALUE NAME=VALUE`; a comma parts the texts of a list."""
    options: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise WorkbenchError(f"{text} can't be read: {error}.") from error
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise WorkbenchError(f"{word} is no NAME=VALUE.")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.split(",") if "," in text else text
