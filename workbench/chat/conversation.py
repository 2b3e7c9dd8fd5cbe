"""A conversation with several systems at once: each goes on from its own answers. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.data.example import Example, Message


@dataclass(slots=True)
class Reply:
    """What a system said to a turn."""

    text: str = ""
    tokens: int = 0
    stopped: bool = False
    """It ended by itself, not at the longest length and not because it was told to."""
    seconds: float = 0.0
    prompt: str = ""
    """The very text that it was given, by the chat template."""
    prompt_tokens: int = 0
    done: bool = False


@dataclass(slots=True)
class Exchange:
    """What a person said, and what each system said to it, by its name."""

    said: str
    replies: dict[str, Reply] = field(default_factory=dict)


@dataclass(slots=True)
class Conversation:
    """What was said so far."""

    system: str = ""
    """What the system field says; empty: the template's own, if it has one."""
    exchanges: list[Exchange] = field(default_factory=list)

    def messages(self, name: str) -> list[Message]:
        """What a system is asked to go on from, as it sees it."""
        found = [Message("system", self.system)] if self.system else []
        for exchange in self.exchanges:
            found.append(Message("user", exchange.said))
            reply = exchange.replies.get(name)
            if reply is not None and reply.done:
                found.append(Message("assistant", reply.text))
        return found

    def example(self, name: str, place: int, response: str) -> Example:
        """A row of training that ends with another response to the turn `place`, counted from 0,
        than the system gave."""
        before = Conversation(self.system, self.exchanges[: place + 1]).messages(name)
        while before and before[-1].role == "assistant":
            before.pop()
        turns = (*before, Message("assistant", response))
        return Example(turns, task="chat", source=f"chat:{name}")

    def to_json(self) -> dict[str, Any]:
        """Everything that was said, for `--json`."""
        return {
            "system": self.system,
            "exchanges": [
                {
                    "said": exchange.said,
                    "replies": {
                        name: {
                            "text": reply.text,
                            "tokens": reply.tokens,
                            "stopped": reply.stopped,
                            "seconds": round(reply.seconds, 3),
                            "prompt": reply.prompt,
                            "prompt_tokens": reply.prompt_tokens,
                        }
                        for name, reply in exchange.replies.items()
                    },
                }
                for exchange in self.exchanges
            ],
        }
