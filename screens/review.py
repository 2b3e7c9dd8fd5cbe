"""Review: two nameless answers to one prompt; a key prefers, ties, skips or takes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, OptionList, Static
from textual.widgets.option_list import Option

from screens.base import WorkbenchScreen
from screens.widgets.confirm import Confirm
from workbench.errors import WorkbenchError
from workbench.review import sessions
from workbench.review.report import Report
from workbench.review.sessions import Comparison, Decision, Listed, Session
from workbench.review.wording import progress_line, report_lines
from workbench.text import visible

_EMPTY = """\
No review session yet.

A review puts the outputs of the base model and of your adapter side by side, without \
names, and you say which is better. It needs an evaluation of a run:

    workbench eval RUN
    workbench review create NAME --from RUN
"""
_BETTER = Binding.Group("Better ", compact=True)
_MARKS = {"left": "A", "right": "B", "tie": "=", "skip": "–"}


class Pane(VerticalScroll, can_focus=False, inherit_bindings=False):
    """A text under a title. It has no keys of its own: left and right are verdicts here."""

    def __init__(self, title: str, *, id: str, can_focus: bool = False) -> None:
        super().__init__(Static(markup=False), id=id, can_focus=can_focus)
        self.border_title = title

    def show(self, text: str) -> None:
        """Show `text` from its beginning; model text is data, never markup."""
        shown = Text(visible(text)) if text.strip() else Text("(empty)", style="dim italic")
        self.query_one(Static).update(shown)
        self.scroll_home(animate=False)


class Outputs(Container, can_focus=True):
    """A and B: side by side where there is room, else one above the other.

    They scroll together, so that the same line of both is in view.
    """

    def __init__(self) -> None:
        self._left, self._right = Pane("A", id="left"), Pane("B", id="right")
        super().__init__(self._left, self._right, id="outputs")
        self._line = 0.0

    def on_mount(self) -> None:
        self.watch(self._left, "scroll_y", lambda: self._follow(self._left))
        self.watch(self._right, "scroll_y", lambda: self._follow(self._right))

    def show(self, left: str, right: str) -> None:
        self._line = 0.0
        self._left.show(left)
        self._right.show(right)

    def scroll_by(self, lines: float) -> None:
        """Move both, as far as the longer one goes."""
        furthest = max(self._left.max_scroll_y, self._right.max_scroll_y)
        self._scroll_both(min(max(self._line + lines, 0), furthest))

    def page(self) -> int:
        """How many lines of each are in view."""
        return self._left.scrollable_content_region.height

    def _follow(self, moved: Pane) -> None:
        # A shorter text stops at its end; only a move away from there is the person's.
        if moved.scroll_y != min(self._line, moved.max_scroll_y):
            self._scroll_both(moved.scroll_y)

    def _scroll_both(self, line: float) -> None:
        self._line = line
        for pane in (self._left, self._right):
            pane.scroll_to(y=line, animate=False, immediate=True)


class ReviewScreen(WorkbenchScreen):
    """The sessions, then the comparisons of one, then its report."""

    NAME = "review"
    CSS_PATH = "review.tcss"
    # Textual declares it as an instance's, so it can't be a ClassVar here.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    LINES = ("note",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,h,left", "judge('left')", "A better", id="review.left", group=_BETTER),
        Binding("b,l,right", "judge('right')", "B better", id="review.right", group=_BETTER),
        Binding("t,equals_sign", "judge('tie')", "Tie", id="review.tie"),
        Binding("s,space", "judge('skip')", "Skip", id="review.skip"),
        Binding("u", "undo", "Undo", id="review.undo"),
        Binding("n", "note", "Note", id="review.note", priority=True),
        Binding("r", "reference", "Reference", id="review.reference"),
        Binding("U", "unblind", "Unblind", show=False, id="review.unblind"),
        Binding("escape", "back", "Back", id="review.back"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="review.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="review.up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="review.page_down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="review.page_up"),
        Binding("g,home", "scroll(-1e9)", "Top", show=False, id="review.top"),
        Binding("G,end", "scroll(1e9)", "Bottom", show=False, id="review.bottom"),
    ]

    def __init__(self, session: str = "") -> None:
        """Begin with the named session; without a name, with the only one or the list."""
        super().__init__()
        self._wanted = session
        self._annotator = sessions.default_annotator()
        self._session: Session | None = None
        self._comparison: Comparison | None = None
        self._painted = False
        self._shown_at = 0.0
        self._note = ""

    def compose_body(self) -> ComposeResult:
        yield Static(id="progress", markup=False)
        with ContentSwitcher(initial="empty"):
            yield Static(_EMPTY, id="empty", markup=False)
            yield OptionList(id="sessions", markup=False)
            with Vertical(id="judging"):
                yield Pane("Prompt", id="prompt", can_focus=True)
                yield Pane("Reference", id="reference", can_focus=True)
                yield Outputs()
                yield Static(id="note", markup=False)
                yield Input(id="note-input", placeholder="why, in a few words")
            yield Pane("Report", id="report", can_focus=True)
        yield Static(id="recent", markup=False)

    def on_mount(self) -> None:
        self.query_one("#sessions").border_title = "Review sessions: enter opens one"
        self.query_one("#reference").display = False
        self.query_one("#note-input").display = False

    def on_screen_resume(self) -> None:
        """Sessions may have been made since the screen was last seen; open the only one."""
        if self._session is not None:
            return
        listed = self._show_sessions()
        only = listed[0].name if len(listed) == 1 and not listed[0].problem else ""
        if name := self._wanted or only:
            self._wanted = ""
            self.open_session(name)

    def open_session(self, name: str) -> None:
        """Go on with a session where this annotator left it."""
        with self._explaining():
            self._session = sessions.open(self.workspace, name)
            self._advance()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("judge", "note", "reference") and self._view != "judging":
            return False
        if action in ("undo", "unblind", "back"):
            return self._session is not None
        return super().check_action(action, parameters)

    def action_judge(self, choice: str) -> None:
        """Write the verdict, then show the next comparison."""
        if self._session is None or self._comparison is None or not self._painted:
            return
        seconds = time.monotonic() - self._shown_at
        with self._explaining():
            self._session.judge(self._annotator, self._comparison, choice, self._note, seconds)
            self._advance()

    def action_undo(self) -> None:
        """Take the last verdict back and show its item again, with the note it had."""
        if self._session is None:
            return
        with self._explaining():
            last = self._recent()
            comparison = self._session.undo(self._annotator)
            if comparison is None:
                self.notify("There is no verdict to take back.")
            else:
                self._show_comparison(comparison, note=last[0].note)

    def action_note(self) -> None:
        """Write why; it is kept with the verdict on this item."""
        box = self.query_one("#note-input", Input)
        box.display = True
        box.value = self._note
        self.set_focus(box)

    @on(Input.Submitted, "#note-input")
    def _take_note(self, event: Input.Submitted) -> None:
        self._note = event.value.strip()
        self._close_note()

    def action_reference(self) -> None:
        """Show or hide the wanted answer."""
        pane = self.query_one("#reference")
        pane.display = not pane.display
        if not pane.display:
            self.query_one(Outputs).focus()

    def action_back(self) -> None:
        """Leave the note, else the session."""
        if self.query_one("#note-input").has_focus:
            self._close_note()
        else:
            self._show_sessions()

    def action_unblind(self) -> None:
        """Say which system won, after asking."""
        if self._session is None:
            return
        with self._explaining():
            report = self._session.report()
            left = "" if report.complete else "Not everything is judged yet. "
            self.app.push_screen(
                Confirm(f"{left}Show which system won? Verdicts given after it count as late."),
                self._unblind,
            )

    def _unblind(self, agreed: bool | None) -> None:
        if agreed and self._session is not None:
            with self._explaining():
                self._show_report(self._session.report(unblind=True, anyway=True))

    def action_scroll(self, lines: float) -> None:
        """Scroll the focused text, else both outputs; in the list move the cursor."""
        if self._view == "sessions":
            self._move_cursor(lines)
        elif isinstance(self.focused, Pane):
            self.focused.scroll_relative(y=lines, animate=False)
        elif self._view == "judging":
            self.query_one(Outputs).scroll_by(lines)

    def action_page(self, pages: int) -> None:
        """Scroll by the height of a pane less a line, which stays in view."""
        focused = self.focused
        if isinstance(focused, Pane):
            page = focused.scrollable_content_region.height
        else:
            page = self.query_one(Outputs).page()
        self.action_scroll(pages * max(1, page - 1))

    @on(OptionList.OptionSelected, "#sessions")
    def _open_selected(self, event: OptionList.OptionSelected) -> None:
        self.open_session(event.option.id or "")

    @property
    def _view(self) -> str:
        return self.query_one(ContentSwitcher).current or ""

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except WorkbenchError as error:
            self.complain(error)

    def _advance(self) -> None:
        if self._session is None:
            return
        comparison = self._session.next(self._annotator)
        if comparison is None:
            self._show_report(self._session.report())
        else:
            self._show_comparison(comparison)

    def _show_sessions(self) -> list[Listed]:
        self._session = self._comparison = None
        listed = sessions.list_sessions(self.workspace)
        menu = self.query_one("#sessions", OptionList)
        menu.clear_options()
        menu.add_options(self._option(each) for each in listed)
        menu.highlighted = 0 if listed else None
        self._switch("sessions" if listed else "empty", menu)
        return listed

    def _option(self, listed: Listed) -> Option:
        """A line of the list: name, when it was made, how far this annotator is."""
        name = Text(f"{visible(listed.name):<24}  ")
        if listed.problem:
            problem = visible(listed.problem, one_line=True)
            return Option(name.append(problem, style="dim"), disabled=True)
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(listed.created))
        mine = [each for each in listed.annotators if each.annotator == self._annotator]
        line = progress_line(asdict(mine[0])) if mine else f"0 of {listed.items} judged"
        others = len(listed.annotators) - len(mine)
        also = f", {others} more judge{'s' * (others == 1)}" if others else ""
        return Option(name.append(f"{day}  {line} by you{also}"), id=listed.name)

    def _show_comparison(self, comparison: Comparison, note: str = "") -> None:
        self._comparison = comparison
        self._painted = False
        # A second key pressed in haste must not judge what nobody has seen.
        self.call_after_refresh(self._set_painted)
        self._note = note
        self._shown_at = time.monotonic()
        self.query_one("#prompt", Pane).show(comparison.prompt)
        self.query_one("#reference", Pane).show(comparison.reference)
        self.query_one(Outputs).show(comparison.left, comparison.right)
        self._show_state(f"comparison {comparison.index} of {comparison.total}")
        self._show_note()
        self._switch("judging", self.query_one(Outputs))

    def _set_painted(self) -> None:
        self._painted = True

    def _show_report(self, report: Report) -> None:
        self._comparison = None
        pane = self.query_one("#report", Pane)
        lines = report_lines(report.to_json())
        if report.result is None:
            lines.append("U shows it.")
        pane.show("\n".join(lines))
        self._show_state("all done" if report.complete else "")
        self._switch("report", pane)

    def _show_state(self, place: str) -> None:
        """What is judged so far, and the last verdicts, the newest first."""
        if self._session is None:
            return
        progress = progress_line(asdict(self._session.progress(self._annotator)))
        parts = (self._session.name, progress, place, f"as {self._annotator}")
        self.query_one("#progress", Static).update(
            visible("  ·  ".join(part for part in parts if part))
        )
        last = [f"{each.index} {_MARKS[each.choice]}" for each in self._recent()]
        self.query_one("#recent", Static).update("last:  " + "   ".join(last or ["nothing yet"]))

    def _recent(self) -> list[Decision]:
        return self._session.recent(self._annotator) if self._session else []

    def _close_note(self) -> None:
        self.query_one("#note-input").display = False
        self._show_note()
        self.query_one(Outputs).focus()

    def _show_note(self) -> None:
        shown = self.query_one("#note", Static)
        shown.update(visible(f"note:  {self._note}"))
        shown.display = bool(self._note)

    def _switch(self, view: str, focus: Widget) -> None:
        self.query_one(ContentSwitcher).current = view
        for shown_in_session in ("#progress", "#recent"):
            self.query_one(shown_in_session).display = self._session is not None
        focus.focus()
        self.refresh_bindings()

    def _move_cursor(self, lines: float) -> None:
        menu = self.query_one("#sessions", OptionList)
        last = menu.option_count - 1
        menu.highlighted = int(min(max((menu.highlighted or 0) + lines, 0), last))
