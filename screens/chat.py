"""Talk to a base and what a run made of it, side by side, as they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from screens.base import WorkbenchScreen
from screens.chat_turn import Turn
from screens.widgets.in_order import Line
from workbench.chat import corrections
from workbench.chat.client import (
    MAX_NEW_TOKENS,
    Answered,
    Chat,
    Problem,
    Ready,
    Said,
    Told,
)
from workbench.chat.conversation import Conversation, Exchange, Reply
from workbench.data.example import Example
from workbench.data.steps import rewritten
from workbench.errors import WorkbenchError
from workbench.evaluation.answers import Sampling
from workbench.text import visible

_WIDE = 60
"""Columns from which answers stand beside each other."""
_LINES = {
    "say": "say something: enter sends",
    "system-field": "the system field: enter takes it, and begins anew",
    "sampling": "temperature=0.7 top_p=0.9 top_k=0 max_new_tokens=512 seed=0",
}


class Heard(Message):
    """Something that the models' process tells."""

    def __init__(self, told: Told | WorkbenchError) -> None:
        super().__init__()
        self.told = told


class ChatScreen(WorkbenchScreen):
    """Each system goes on from its own answers. i writes a turn, enter sends it; x ends the
    answers with what is said. s sets the system field, o how answers are drawn, p shows the very
    text that each is given. j and k choose a turn, tab a system; c rewrites its answer there, and
    keeps it as a row of the dataset `corrections`."""

    NAME = "runs"
    LINES = ("say", "system_field", "sampling")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    DEFAULT_CSS = """
    ChatScreen {
        #state { height: auto; max-height: 3; padding: 0 1; }
        #turns { height: 1fr; }
        .turn { height: auto; padding: 0 1; margin: 0 0 1 0; }
        .turn.-chosen { border-left: thick $accent; }
        .said { height: auto; text-style: bold; }
        .replies { height: auto; }
        .replies Static { width: 1fr; height: auto; padding: 0 1 0 0; }
        &.-narrow .replies { layout: vertical; }
        &.-narrow .replies Static { width: 100%; }
        #say, #system-field, #sampling { height: 1; border: none; padding: 0 1; display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,enter", "say", "Say", id="chat.say", priority=True),
        Binding("s", "system_field", "System", id="chat.system", priority=True),
        Binding("o", "sampling", "Sampling", id="chat.sampling", priority=True),
        Binding("p", "prompt", "Prompt", id="chat.prompt"),
        Binding("x", "cancel", "End answer", id="chat.cancel"),
        Binding("c", "correct", "Correct", id="chat.correct"),
        Binding("n", "anew", "New", id="chat.new"),
        Binding("tab", "side", "Side", show=False, id="chat.side"),
        Binding("j,down", "turn(1)", "Later turn", show=False, id="chat.later"),
        Binding("k,up", "turn(-1)", "Earlier turn", show=False, id="chat.earlier"),
        Binding("backspace", "leave", "Back", id="chat.leave"),
    ]

    def __init__(self, run: Path, others: Sequence[str] = ()) -> None:
        """`others` are ids of more runs of the same base."""
        super().__init__()
        self._run, self._others = run, others
        self._conversation = Conversation()
        self._sampling = Sampling(MAX_NEW_TOKENS)
        self._chat: Chat | None = None
        self._ready: Ready | None = None
        self._problem = ""
        self._asked = 0
        self._busy = False
        self._prompt = False
        self._chosen = -1
        """The turn that is chosen, counted from 0; -1 before there is one."""
        self._side = 0

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield VerticalScroll(id="turns")
        for name, placeholder in _LINES.items():
            yield Line(id=name, placeholder=placeholder)

    def on_mount(self) -> None:
        try:
            self._chat = Chat(self._run, self._others)
        except WorkbenchError as error:
            self._fail(error)
        else:
            self._listen(self._chat)
        self._show()

    def on_unmount(self) -> None:
        if self._chat is not None:
            self._chat.end()

    def focus_body(self) -> None:
        self.set_focus(self.query_one("#turns"))

    @work(thread=True, group="chat", exit_on_error=False)
    def _listen(self, chat: Chat) -> None:
        try:
            for told in chat.told():
                self.post_message(Heard(told))
        except WorkbenchError as error:
            self.post_message(Heard(error))

    @on(Heard)
    def _hear(self, message: Heard) -> None:
        match message.told:
            case Ready() as ready:
                self._ready = ready
                self.action_say()
            case Said() as said if said.ask == self._asked and self._conversation.exchanges:
                self._conversation.exchanges[-1].replies[said.system] = said.reply
                self._show_turn(-1)
            case Answered(ask=ask) if ask == self._asked:
                self._busy = False
            case Problem(ask=ask, text=text, hint=hint) if ask == self._asked:
                self._busy = False
                self._take_back(WorkbenchError(text, hint))
            case WorkbenchError() as error:
                self._fail(error)
        self._show()

    def _take_back(self, error: WorkbenchError) -> None:
        """A turn that can't be answered is given back, to be said otherwise."""
        self.complain(error)
        said = self._conversation.exchanges.pop().said
        self.query(Turn).last().remove()
        self._chosen = len(self._conversation.exchanges) - 1
        self._open("say", said)

    def _fail(self, error: WorkbenchError) -> None:
        self._busy, self._problem, self._ready = False, str(error), None
        self.complain(error)

    # What keys do.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        allowed = super().check_action(action, parameters)
        if not allowed:
            return allowed
        if isinstance(self.focused, Input) and action not in ("go", "filter"):
            return False
        match action:
            case "say" | "system_field" | "anew":
                return None if self._ready is None or self._busy else True
            case "cancel":
                return True if self._busy else None
            case "correct" | "prompt":
                return True if self._conversation.exchanges and not self._busy else None
        return True

    def action_say(self) -> None:
        """Write the next turn."""
        self._open("say")

    def action_system_field(self) -> None:
        """Say who the models are to be, from the next conversation on."""
        self._open("system-field", self._conversation.system)

    def action_sampling(self) -> None:
        """Say how answers are drawn."""
        names = ("temperature", "top_p", "top_k", "max_new_tokens", "seed")
        told = " ".join(f"{name}={getattr(self._sampling, name)}" for name in names)
        self._open("sampling", told)

    def _open(self, name: str, text: str = "") -> None:
        line = self.query_one(f"#{name}", Input)
        line.display, line.value = True, text
        line.cursor_position = len(text)
        self.set_focus(line)

    def _close_lines(self) -> None:
        for name in _LINES:
            self.query_one(f"#{name}").display = False
        self.focus_body()

    def key_escape(self) -> None:
        self._close_lines()

    @on(Input.Submitted, "#say")
    async def _send(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        self._close_lines()
        if not text or self._chat is None or self._ready is None:
            return
        self._conversation.exchanges.append(Exchange(text))
        self._chosen = len(self._conversation.exchanges) - 1
        turns = self.query_one("#turns", VerticalScroll)
        await turns.mount(Turn(self._conversation.exchanges[-1], self._ready.systems))
        turns.scroll_end(animate=False)
        self._asked = self._chat.ask(self._conversation, self._ready.systems, self._sampling)
        self._busy = True
        self._show()

    @on(Input.Submitted, "#system-field")
    def _take_system(self, event: Input.Submitted) -> None:
        self._close_lines()
        if (text := event.value.strip()) != self._conversation.system:
            self._begin(text)

    @on(Input.Submitted, "#sampling")
    def _take_sampling(self, event: Input.Submitted) -> None:
        try:
            self._sampling = _sampling(event.value, self._sampling)
        except WorkbenchError as error:
            self.complain(error)
            return
        self._close_lines()
        self._show()

    def action_anew(self) -> None:
        """Begin a new conversation, with the same system field."""
        self._begin(self._conversation.system)

    def _begin(self, system: str) -> None:
        self._conversation, self._chosen = Conversation(system), -1
        self.query(Turn).remove()
        self._show()

    def action_cancel(self) -> None:
        """End the answers with what is said so far."""
        if self._chat is not None:
            self._chat.cancel()

    def action_prompt(self) -> None:
        """Show what each system is given, by the chat template, or hide it again."""
        self._prompt = not self._prompt
        self._show()

    def action_side(self) -> None:
        """Choose the next system."""
        if self._ready is not None:
            self._side = (self._side + 1) % len(self._ready.systems)
            self._show()

    def action_turn(self, by: int) -> None:
        """Choose another turn."""
        last = len(self._conversation.exchanges) - 1
        self._chosen = max(min(self._chosen + by, last), min(0, last))
        self._show()
        if self._chosen >= 0:
            self.query(Turn)[self._chosen].scroll_visible(animate=False)

    def action_correct(self) -> None:
        """Rewrite the chosen answer, and keep it as a row of the dataset `corrections`."""
        from screens.edit import EditScreen

        if self._ready is None or self._chosen < 0:
            return
        name = self._ready.systems[self._side]
        reply = self._conversation.exchanges[self._chosen].replies.get(name, Reply())
        example = self._conversation.example(name, self._chosen, reply.text)

        def corrected(fields: dict[str, Any] | None) -> None:
            if fields is None:
                self.notify("Nothing was changed: there is no correction.")
            else:
                self._keep(example, fields)

        self.app.push_screen(EditScreen(example, self._chosen), corrected)

    def _keep(self, example: Example, fields: dict[str, Any]) -> None:
        try:
            row = rewritten(example, fields)
            version = corrections.add(self.workspace, corrections.NAME, row, self._run.name)
        except WorkbenchError as error:
            self.complain(error)
            return
        self.notify(f"It is row {version.rows:,} of {version.reference}.", markup=False)

    def action_leave(self) -> None:
        """Leave the conversation; nothing of it is kept but corrections."""
        if self.app.current_mode == "chat":
            if self._chat is not None:
                self._chat.end()
            self.shell.go("runs")
        else:
            self.dismiss()

    # What is drawn.

    def _show(self) -> None:
        self.query_one("#state", Static).update(visible(self._told()))
        for place in range(len(self.query(Turn))):
            self._show_turn(place)
        self.refresh_bindings()

    def _told(self) -> str:
        if self._problem:
            return f"{self._run.name}: {self._problem}"
        if self._ready is None:
            return f"{self._run.name}: loading its base and what it made…"
        drawn = self._sampling
        how = "greedy" if drawn.greedy else f"temperature {drawn.temperature:g}"
        if not drawn.greedy:
            how += f", top_p {drawn.top_p:g}, top_k {drawn.top_k}, seed {drawn.seed}"
        system = self._conversation.system or "the template's own"
        return (
            f"{self._run.name}  ·  {self._ready.where}  ·  {how}, at most "
            f"{drawn.max_new_tokens:,} tokens{'  ·  answering' if self._busy else ''}\n"
            f"system: {system}"
        )

    def _show_turn(self, place: int) -> None:
        turns = list(self.query(Turn))
        if not turns or self._ready is None:
            return
        turn = turns[place]
        chosen = turns.index(turn) == self._chosen
        turn.set_class(chosen, "-chosen")
        side = self._ready.systems[self._side] if chosen else ""
        turn.show(prompt=self._prompt, chosen=side)
        if place == -1:
            self.query_one("#turns", VerticalScroll).scroll_end(animate=False)


def _sampling(text: str, before: Sampling) -> Sampling:
    """As a line says it: `temperature=0.7 top_p=0.9`. Raises WorkbenchError for what can't be."""
    values: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name not in Sampling.__slots__:
            known = ", ".join(Sampling.__slots__)
            raise WorkbenchError(f"There is no {name} to set.", f"There are {known}.")
        whole = name not in ("temperature", "top_p")
        try:
            values[name] = int(value) if whole else float(value)
        except ValueError as error:
            raise WorkbenchError(
                f"{name} takes a {'whole ' if whole else ''}number, not {value or 'nothing'}."
            ) from error
    return replace(before, **values)
