"""A turn of a conversation, as it is drawn: what was said, and each answer beside the others."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from workbench.chat.conversation import Exchange, Reply
from workbench.text import visible


class Turn(Vertical):
    """What was said, and each system's answer to it."""

    def __init__(self, exchange: Exchange, systems: tuple[str, ...]) -> None:
        super().__init__(classes="turn")
        self.exchange, self._systems = exchange, systems

    def compose(self) -> ComposeResult:
        yield Static(visible(f"> {self.exchange.said}"), classes="said", markup=False)
        with Horizontal(classes="replies"):
            for name in self._systems:
                yield Static(id=f"reply-{self._systems.index(name)}", markup=False)

    def on_mount(self) -> None:
        self.show()

    def show(self, *, prompt: bool = False, chosen: str = "") -> None:
        """Draw the answers as they are now; `chosen` is the system whose answer is marked."""
        for place, name in enumerate(self._systems):
            reply = self.exchange.replies.get(name, Reply())
            mark = "▶ " if name == chosen and not self.is_ascii else "> " if name == chosen else ""
            text = f"{mark}{name}: {_about(reply)}\n"
            if prompt and reply.prompt:
                text += f"[is given {reply.prompt_tokens:,} tokens]\n{reply.prompt}\n[and says]\n"
            found = self.query(f"#reply-{place}")
            if found:
                found.first(Static).update(visible(text + reply.text))

    @property
    def is_ascii(self) -> bool:
        return bool(getattr(self.app, "ascii", False))


def _about(reply: Reply) -> str:
    if not reply.done:
        return f"{reply.tokens:,} tokens…" if reply.tokens else "…"
    speed = f", {reply.tokens / reply.seconds:.1f} a second" if reply.seconds else ""
    return f"{reply.tokens:,} tokens{speed}{'' if reply.stopped else ', cut'}"
