"""The texts of a review: panes that scroll together, and the questions below them."""

from __future__ import annotations

from rich.text import Text
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from workbench.review.differing import Marked, marked
from workbench.review.forms import Criterion, Form
from workbench.text import visible


class Pane(VerticalScroll, can_focus=False, inherit_bindings=False):
    """A text under a title. It has no keys of its own: left and right are verdicts here."""

    def __init__(self, title: str, *, id: str, can_focus: bool = False) -> None:
        super().__init__(Static(markup=False), id=id, can_focus=can_focus)
        self.border_title = title

    def show(self, text: str) -> None:
        """Show `text` from its beginning; model text is data, never markup."""
        self.put(Text(visible(text)) if text.strip() else Text("(empty)", style="dim italic"))
        self.scroll_home(animate=False)

    def put(self, text: Text) -> None:
        """Show `text` where the pane stands."""
        self.query_one(Static).update(text)


class Outputs(Container, can_focus=True):
    """A and B: side by side where there is room, else one above the other; or one output alone.

    They scroll together, so that the same line of both is in view.
    """

    def __init__(self) -> None:
        self._left, self._right = Pane("A", id="left"), Pane("B", id="right")
        super().__init__(self._left, self._right, id="outputs")
        self._line = 0.0
        self._texts: tuple[str, str | None] = "", None
        self.differences = False
        """Whether the words that differ are marked."""

    def on_mount(self) -> None:
        self.watch(self._left, "scroll_y", lambda: self._follow(self._left))
        self.watch(self._right, "scroll_y", lambda: self._follow(self._right))

    def show(self, left: str, right: str | None) -> None:
        """Show two outputs, or one."""
        self._line = 0.0
        self._texts = left, right
        self._left.border_title = "Output" if right is None else "A"
        self._right.display = right is not None
        self._left.show(left)
        self._right.show(right or "")
        self._mark()

    def toggle_differences(self) -> None:
        """Mark what only one of the two has, or no longer."""
        self.differences = not self.differences
        self._mark()

    def _mark(self) -> None:
        left, right = self._texts
        if right is None or not (left.strip() and right.strip()):
            return
        if self.differences:
            for pane, pieces in zip((self._left, self._right), marked(left, right), strict=True):
                pane.put(_styled(pieces))
        else:
            self._left.put(Text(visible(left)))
            self._right.put(Text(visible(right)))

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


def _styled(pieces: Marked) -> Text:
    """Not by a colour alone: a terminal may have none."""
    text = Text()
    for piece, differs in pieces:
        text.append(visible(piece), style="bold underline" if differs else "")
    return text


def question(form: Form, ratings: dict[str, int]) -> str:
    """What is asked now, in a line or a few."""
    if form.kind == "accept":
        reasons = "   ".join(f"{n} {reason}" for n, reason in enumerate(form.reasons, start=2))
        return visible(f"1 accept   reject:  {reasons}   0 other")
    if form.kind == "rubric":
        return "\n".join(_asked(form, ratings))
    return ""


def _asked(form: Form, ratings: dict[str, int]) -> list[str]:
    now = next((c for c in form.criteria if c.name not in ratings), form.criteria[-1])
    marks = [
        f"{'▸' if c is now else ' '}{c.name} {ratings.get(c.name, '·')}" for c in form.criteria
    ]
    return [visible("   ".join(marks)), visible(_about(now))]


def _about(criterion: Criterion) -> str:
    anchors = "   ".join(f"{point} {text}" for point, text in sorted(criterion.anchors.items()))
    return "   ".join(filter(None, (criterion.question, anchors or "1 worst   5 best")))
