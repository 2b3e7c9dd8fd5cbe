"""The keys of the Review screen, and when each does something."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from workbench.review.forms import SCALE, Form
from workbench.review.session import Session

_BETTER = Binding.Group("Better ", compact=True)
_RATE = Binding.Group("Rate ", compact=True)
_REASONS = 8
ACTIONS = {
    *("judge", "rate", "reject", "undo", "flag", "note", "differences", "reference", "habits"),
    *("create", "report", "adjudicate", "lock", "outputs", "back", "scroll", "page"),
}
"""Those of the keys below, which are text in a line."""


# Verdicts have no priority: they come behind what is still being drawn, and so are of what was
# seen.
KEYS: list[BindingType] = [
    Binding("1,a,h,left", "judge('left')", "A better", id="review.left", group=_BETTER),
    Binding("2,b,l,right", "judge('right')", "B better", id="review.right", group=_BETTER),
    Binding("0,t,equals_sign", "judge('tie')", "Tie", id="review.tie"),
    *(Binding(str(n), f"rate({n})", str(n), id=f"review.rate_{n}", group=_RATE) for n in SCALE),
    Binding("1,a", "judge('accept')", "Accept", id="review.accept"),
    Binding("0", "judge('reject')", "Reject", id="review.reject"),
    *(
        Binding(str(n + 2), f"reject({n})", "Reject", show=False, id=f"review.reject_{n + 2}")
        for n in range(_REASONS)
    ),
    Binding("space,s", "judge('skip')", "Skip", id="review.skip"),
    Binding("u", "undo", "Undo", id="review.undo"),
    Binding("f", "flag", "Flag", id="review.flag"),
    Binding("n", "note", "Note", id="review.note", priority=True),
    Binding("d", "differences", "Diff", id="review.differences"),
    Binding("r", "reference", "Ref", id="review.reference"),
    Binding("i", "habits", "Figures", show=False, id="review.habits"),
    Binding("c", "create", "Create", id="review.create"),
    Binding("R", "report", "How it stands", show=False, id="review.report"),
    Binding("A", "adjudicate", "Adjudicate", id="review.adjudicate"),
    Binding("U", "lock", "Lock", id="review.lock"),
    Binding("O", "outputs", "Outputs", id="review.outputs"),
    Binding("escape", "back", "Back", id="review.back"),
    Binding("j,down", "scroll(1)", "Down", show=False, id="review.down"),
    Binding("k,up", "scroll(-1)", "Up", show=False, id="review.up"),
    Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="review.page_down"),
    Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="review.page_up"),
    Binding("g,home", "scroll(-1e9)", "Top", show=False, id="review.top"),
    Binding("G,end", "scroll(1e9)", "Bottom", show=False, id="review.bottom"),
]


def is_live(
    action: str, parameters: tuple[object, ...], view: str, session: Session | None
) -> bool:
    """Whether an action does something in this view of the screen."""
    judging, reporting = view == "judging", view == "report"
    match action:
        case "judge" | "rate" | "reject":
            return judging and session is not None and _answers(session.form, action, parameters)
        case "note" | "reference" | "flag" | "habits":
            return judging
        case "differences":
            return judging and session is not None and session.form.pairs
        case "create":
            return view in ("sessions", "empty")
        case "lock" | "adjudicate":
            return reporting
        case "outputs":
            return reporting and session is not None and session.locked is not None
        case "undo" | "report" | "back":
            return session is not None
    return True


def _answers(form: Form, action: str, parameters: tuple[object, ...]) -> bool:
    """Whether the key is an answer to what the session asks."""
    if action == "rate":
        return form.kind == "rubric"
    if action == "reject":
        return form.kind == "accept" and parameters[0] in range(len(form.reasons))
    return parameters[0] in (*form.choices, "skip")
