"""Review: nameless outputs of one prompt; a key judges, skips or takes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher, OptionList, Static

from screens.review_keys import ACTIONS, KEYS, is_live
from screens.review_making import ask_what
from screens.review_note import NotedScreen
from screens.review_panes import Outputs, Pane, question
from screens.review_text import EMPTY, option, progress_text, recent_text, report_text
from screens.widgets.confirm import Confirm
from workbench.errors import WorkbenchError
from workbench.review import habits, making, sessions
from workbench.review.attention import Attention
from workbench.review.forms import Form
from workbench.review.report import Report
from workbench.review.session import Comparison, Decision, Session
from workbench.review.sessions import Listed
from workbench.review.sources import Source
from workbench.text import visible


class ReviewScreen(NotedScreen):
    """The sessions, then the tasks of one, then its report."""

    NAME = "review"
    CSS_PATH = "review.tcss"
    # Textual declares it as an instance's, so it can't be a ClassVar here.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    LINES = ("note",)
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Made(Message):
        """A session was made, by this name."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, session: str = "", annotator: str = "") -> None:
        """Begin with the named session; without a name, with the only one or the list."""
        super().__init__()
        self._wanted = session
        self._annotator = annotator or sessions.default_annotator()
        self._session: Session | None = None
        self._comparison: Comparison | None = None
        self._view = "empty"
        self._adjudicating = False
        self._painted = False
        self._ratings: dict[str, int] = {}

    @property
    def takes_digits(self) -> bool:
        """Whether a digit is a verdict, and opens no other screen."""
        return self._view == "judging"

    def compose_body(self) -> ComposeResult:
        yield Static(id="progress", markup=False)
        with ContentSwitcher(initial=self._view):
            yield Static(EMPTY, id="empty", markup=False)
            yield OptionList(id="sessions", markup=False)
            with Vertical(id="judging"):
                yield Pane("Prompt", id="prompt", can_focus=True)
                yield Pane("Reference", id="reference", can_focus=True)
                yield Outputs()
                yield Static(id="question", markup=False)
                yield Static(id="habits", markup=False)
                yield Static(id="note", markup=False)
                yield self._note_line
            yield Pane("Report", id="report", can_focus=True)
        yield Static(id="recent", markup=False)

    def on_mount(self) -> None:
        self.query_one("#sessions").border_title = "Review sessions: enter opens one, c makes one"
        self.query_one("#reference").display = False
        self.query_one("#note-input").display = self.query_one("#habits").display = False

    def on_screen_resume(self) -> None:
        """Sessions may have been made since the screen was last seen; open the only one."""
        self._attention.touch(time.monotonic())
        if self._session is not None:
            return
        listed = self._show_sessions()
        only = listed[0].name if len(listed) == 1 and not listed[0].problem else ""
        if name := self._wanted or only:
            self._wanted = ""
            self.open_session(name)

    def on_screen_suspend(self) -> None:
        self._attention.leave(time.monotonic())

    def open_session(self, name: str) -> None:
        """Go on with a session where this annotator left it."""
        with self._explaining():
            self._session = sessions.open(self.workspace, name)
            self._adjudicating = False
            self._advance()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self._writing and action in ACTIONS - {"back"}:
            return False
        if not is_live(action, parameters, self._view, self._session):
            return False
        return super().check_action(action, parameters)

    def action_judge(self, choice: str) -> None:
        """Write the verdict, then show the next task."""
        self._judge(choice)

    def action_rate(self, points: int) -> None:
        """Answer the criterion that is asked; after the last one, the next task."""
        if self._session is None or not self._painted:
            return
        criteria = self._session.form.criteria
        self._attention.touch(time.monotonic())
        left = [criterion.name for criterion in criteria if criterion.name not in self._ratings]
        self._ratings[left[0]] = points
        if len(left) == 1:
            self._judge("rated")
        else:
            self._show_question()

    def action_reject(self, reason: int) -> None:
        """Reject it for one of the form's reasons."""
        if self._session is not None:
            self._judge("reject", self._session.form.reasons[reason])

    def _judge(self, choice: str, reason: str = "") -> None:
        if self._session is None or self._comparison is None or not self._painted:
            return
        ratings = self._ratings if choice == "rated" else {}
        try:
            with self._explaining():
                self._session.judge(
                    self._annotator,
                    self._comparison,
                    choice,
                    self._note,
                    self._attention.seconds(time.monotonic()),
                    flag=self._flag,
                    ratings=ratings,
                    reason=reason,
                )
                ratings = {}
                self._advance()
        finally:
            if ratings:
                # Not written: the last rating can be given again.
                self._ratings.popitem()
                self._show_question()

    def action_undo(self) -> None:
        """Take the last rating or verdict back, and show its task again with the note it had."""
        if self._session is None:
            return
        if self._ratings and self._view == "judging":
            self._ratings.popitem()
            self._show_question()
            return
        with self._explaining():
            last = self._recent()
            comparison = self._session.undo(self._annotator)
            if comparison is None:
                self.notify("There is no verdict to take back.")
            else:
                self._show_comparison(comparison, last[0])

    def action_differences(self) -> None:
        """Mark the words that only one of the two has, or no longer."""
        self._attention.touch(time.monotonic())
        self.query_one(Outputs).toggle_differences()

    def action_reference(self) -> None:
        """Show or hide the wanted answer."""
        self._attention.touch(time.monotonic())
        pane = self.query_one("#reference")
        pane.display = not pane.display
        if not pane.display:
            self.query_one(Outputs).focus()

    def action_habits(self) -> None:
        """Show or hide how you judge so far: pace, choices, left or right, consistency."""
        self._attention.touch(time.monotonic())
        shown = self.query_one("#habits")
        shown.display = not shown.display
        with self._explaining():
            self._show_habits()

    def _show_habits(self) -> None:
        shown = self.query_one("#habits", Static)
        if shown.display and self._session is not None:
            found = habits.of(self._session, self._annotator)
            shown.update(visible("\n".join(habits.lines(found))))

    def action_back(self) -> None:
        """Leave the note, else the session."""
        if self._noting:
            self._close_note()
        elif self._view == "report" and self._comparison is not None:
            self._show_comparison(self._comparison)
        else:
            self._show_sessions()

    def action_report(self) -> None:
        """How the session stands; escape goes on with the task."""
        if self._session is not None:
            with self._explaining():
                comparison = self._comparison
                self._show_report(self._session)
                self._comparison = comparison

    def action_adjudicate(self) -> None:
        """Decide what other annotators disagree on."""
        if self._session is not None:
            with self._explaining():
                if self._session.next_dispute(self._annotator) is None:
                    self.notify("Nothing waits for your verdict: no disagreement, or your own.")
                    return
                self._adjudicating = True
                self._advance()

    def action_lock(self) -> None:
        """End the session and say which system won, after asking."""
        if self._session is None:
            return
        with self._explaining():
            report = self._session.report()
            left = "" if report.complete else "Not everything is judged yet. "
            if waiting := sum(progress.waiting for progress in report.annotators):
                left += f"Skipped, and not shown again yet: {waiting}. "
            self.app.push_screen(
                Confirm(f"{left}Lock the session and show which system won? No verdict follows."),
                self._lock,
            )

    def _lock(self, agreed: bool | None) -> None:
        if agreed and self._session is not None:
            with self._explaining():
                self._session.lock(anyway=True)
                self._show_report(self._session)

    def action_outputs(self) -> None:
        """Read the outputs that were judged with the systems' names, once these are known."""
        from screens.outputs import OutputsScreen
        from workbench.evaluation.outputs import of_path

        if self._session is not None:
            source = self._session.source
            made = source.get("evaluations", [source])
            with self._explaining():
                found = [of_path(Path(one["evaluation"])) for one in made if "evaluation" in one]
                self.app.push_screen(OutputsScreen(found))

    @work(exit_on_error=False)
    async def action_create(self) -> None:
        """Ask whose outputs and what is asked of them, then make a session."""
        wanted = await ask_what(self.app, self.workspace)
        if wanted is not None:
            self._make(*wanted)

    @work(thread=True, group="create", exit_on_error=False)
    def _make(self, sources: list[Source], form: Form) -> None:
        name = making.free_name(self.workspace)
        making.create_session(self.workspace, name, sources, form=form)
        self.post_message(self.Made(name))

    @on(Made)
    def _open_made(self, message: Made) -> None:
        self.open_session(message.name)

    def action_scroll(self, lines: float) -> None:
        """Scroll the focused text, else both outputs; in the list move the cursor."""
        self._attention.touch(time.monotonic())
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

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except WorkbenchError as error:
            self.complain(error)

    def _advance(self) -> None:
        if self._session is None:
            return
        comparison = None
        if self._adjudicating:
            comparison = self._session.next_dispute(self._annotator)
        elif self._session.locked is None:
            comparison = self._session.next(self._annotator)
        if comparison is None:
            self._adjudicating = False
            self._show_report(self._session)
        else:
            self._show_comparison(comparison)

    def _show_sessions(self) -> list[Listed]:
        self._session = self._comparison = None
        self._adjudicating = False
        listed = sessions.list_sessions(self.workspace)
        menu = self.query_one("#sessions", OptionList)
        menu.clear_options()
        menu.add_options(option(each, self._annotator) for each in listed)
        menu.highlighted = 0 if listed else None
        self._switch("sessions" if listed else "empty", menu)
        return listed

    def _show_comparison(self, comparison: Comparison, earlier: Decision | None = None) -> None:
        """Show a task; `earlier` is the verdict on it that was just taken back."""
        self._comparison = comparison
        self._painted = False
        # A second key pressed in haste must not judge what nobody has seen.
        self.call_after_refresh(self._set_painted)
        self._take_over(earlier.note if earlier else "", flag=earlier is not None and earlier.flag)
        self._ratings = dict(list(earlier.ratings.items())[:-1]) if earlier else {}
        self._attention = Attention(time.monotonic())
        # What names the systems could be copied, though it is out of view.
        self.query_one("#report", Pane).put(Text(""))
        self.query_one("#prompt", Pane).show(comparison.prompt)
        self.query_one("#reference", Pane).show(comparison.reference)
        self.query_one(Outputs).show(comparison.left, comparison.right)
        what = "comparison" if comparison.right is not None else "output"
        what = "disagreement" if self._adjudicating else what
        again = "skipped before: space leaves it out" if comparison.skipped else ""
        self._show_state(f"{what} {comparison.index} of {comparison.total}", again)
        self._show_question()
        self._show_note()
        self._switch("judging", self.query_one(Outputs))

    def _set_painted(self) -> None:
        self._painted = True

    def _show_question(self) -> None:
        shown = self.query_one("#question", Static)
        text = question(self._session.form, self._ratings) if self._session else ""
        shown.update(text)
        shown.display = bool(text)

    def _show_report(self, session: Session) -> None:
        """What may be known: once it is locked, also which system won."""
        self._comparison = None
        known = session.locked is not None
        report: Report = session.report(unblind=known, anyway=known)
        pane = self.query_one("#report", Pane)
        pane.show(report_text(report))
        self._show_state("all done" if report.complete else "")
        self._switch("report", pane)

    def _show_state(self, place: str, first: str = "") -> None:
        """What is judged so far, and the last verdicts, the newest first. `first` stays in view on
        a narrow screen."""
        if self._session is None:
            return
        progress = self._session.progress(self._annotator)
        self.query_one("#progress", Static).update(
            progress_text(self._session.name, progress, place, first)
        )
        self.query_one("#recent", Static).update(recent_text(self._recent()))
        self._show_habits()

    def _recent(self) -> list[Decision]:
        return self._session.recent(self._annotator) if self._session else []

    def _switch(self, view: str, focus: Widget) -> None:
        self._view = self.query_one(ContentSwitcher).current = view
        for shown_in_session in ("#progress", "#recent"):
            self.query_one(shown_in_session).display = self._session is not None
        if view != "judging" or not self._noting:
            self._hide_note()
            focus.focus()
        self.refresh_bindings()

    def _move_cursor(self, lines: float) -> None:
        menu = self.query_one("#sessions", OptionList)
        last = menu.option_count - 1
        menu.highlighted = int(min(max((menu.highlighted or 0) + lines, 0), last))
