"""The process that holds the models of a conversation, and what it is told and tells.

`python -m workbench.chat.worker RUN [NAME …]` is asked on its standard input and answers on its
standard output, a JSON object a line. It ends when its input does: with whoever started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.chat.conversation import Conversation, Reply
from workbench.errors import WorkbenchError
from workbench.evaluation import sources
from workbench.evaluation.answers import Sampling
from workbench.evaluation.request import Request
from workbench.jobs.launch import OFFLINE
from workbench.tracking import runs

MAX_NEW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Ready:
    """The models are loaded."""

    systems: tuple[str, ...]
    where: str
    """Device and number format, in words."""
    longest: int | None
    """Tokens of a conversation at most, where the base says so."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a system has said so far."""

    ask: int
    system: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Answered:
    """All systems have ended, or were told to."""

    ask: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a turn can't be answered; the conversation goes on."""

    ask: int
    text: str
    hint: str


Told = Ready | Said | Answered | Problem


class Chat:
    """A conversation's process."""

    def __init__(self, run: Path, others: Sequence[str] = ()) -> None:
        """Start it; `others` are ids of more runs of the same base. Raises WorkbenchError when no
        process can be started."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench.chat.worker", str(run), *others],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, **OFFLINE},
                # Ctrl-C is for who asks: that a turn is to end is told in words.
                process_group=0,
            )
        except OSError as error:
            raise WorkbenchError(f"The model can't be talked to: {error}.") from error
        self._run, self._others = run, tuple(others)
        self._asked = 0

    def ask(self, conversation: Conversation, systems: Sequence[str], sampling: Sampling) -> int:
        """Have each system answer the conversation's last turn; returns the turn's number."""
        self._asked += 1
        self._tell(
            {
                "ask": self._asked,
                "messages": {
                    name: [message.to_json() for message in conversation.messages(name)]
                    for name in systems
                },
                "sampling": {name: getattr(sampling, name) for name in sampling.__slots__},
            }
        )
        return self._asked

    def cancel(self) -> None:
        """Have the turn end with what is said."""
        self._tell({"cancel": self._asked})

    def _tell(self, body: dict[str, Any]) -> None:
        stream: Any = self._process.stdin
        # Why it is gone is what `told` raises.
        with suppress(OSError, ValueError):
            stream.write(f"{json.dumps(body)}\n")
            stream.flush()

    def told(self) -> Iterator[Told]:
        """What it tells, as it comes; ends when it is ended.

        Raises WorkbenchError when the models can't be loaded, and when the process dies.
        """
        # What isn't there is said at once, not when the process has imported torch.
        config = runs.load_config(self._run).evaluation
        sources.of(self._run, Request.of(config, runs=self._others))
        answers: Any = self._process.stdout
        for line in answers:
            body = json.loads(line)
            match body.pop("type"):
                case "ready":
                    yield Ready(tuple(body["systems"]), body["where"], body["longest"])
                case "said":
                    yield Said(body["ask"], body["system"], Reply(**body["reply"]))
                case "answered":
                    yield Answered(body["ask"])
                case "problem":
                    yield Problem(**body)
                case "failed":
                    raise WorkbenchError(body["text"], body["hint"])
        errors: Any = self._process.stderr
        last = errors.read().strip().rpartition("\n")[2]
        status = self._process.wait()
        if status not in (0, -signal.SIGKILL):
            raise WorkbenchError(
                f"The model's process ended (status {status}){f': {last}' if last else ''}.",
                "Start the conversation anew.",
            )
        if status and not self._ended:
            raise WorkbenchError(
                "The model's process was killed, as the kernel does when memory is short.",
                "Free some, or talk to a smaller or quantised base.",
            )

    _ended = False

    def end(self) -> None:
        """End it, wherever it is. May be called by another thread than the one that reads."""
        self._ended = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
