"""Commands from clients: each checked, logged, acted on once, and acknowledged."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable

from workbench.errors import WorkbenchError
from workbench.jobs.control import JOB_COMMANDS
from workbench.jobs.events import CommandTaken
from workbench.jobs.log import LogWriter
from workbench.jobs.socket import Message

SUPERVISOR_COMMANDS = ("stop_now", "restart", "restart_now", "dump_stacks")
_LONGEST_ID = 80
_REMEMBERED = 1000
"""Ids whose ack is kept: a client that got none asks again within seconds."""

Act = Callable[[str, str, int | None], str]
"""Takes a command's name, id and value; returns why nothing comes of it, or nothing."""


class Commands:
    """The supervisor's answers, each the same however often it is asked under one id."""

    def __init__(self, log: LogWriter, act: Act) -> None:
        self._log = log
        self._act = act
        self._acks: OrderedDict[str, Message] = OrderedDict()

    def answer(self, message: Message) -> Message:
        """The ack of a command, or an error that says why there is none."""
        message_id = message.get("id")
        if not isinstance(message_id, str) or not 0 < len(message_id) <= _LONGEST_ID:
            text = f"A command has an id, a text of 1 to {_LONGEST_ID} characters."
            return {"type": "error", "text": text}
        if message_id not in self._acks:
            self._acks[message_id] = self._new(message, message_id)
            if len(self._acks) > _REMEMBERED:
                self._acks.popitem(last=False)
        return self._acks[message_id]

    def _new(self, message: Message, message_id: str) -> Message:
        command, value = str(message.get("command")), message.get("value")
        refused = _problem(command, value) or self._act(command, message_id, value)
        # A full disk must not keep a person from stopping the job.
        with contextlib.suppress(WorkbenchError):
            kept = value if isinstance(value, int) else None
            self._log.write(CommandTaken(message_id, command[:80], kept, refused))
        if refused:
            return {"type": "error", "id": message_id, "text": refused}
        return {"type": "ack", "id": message_id, "command": command}


def _problem(command: str, value: object) -> str:
    if command not in JOB_COMMANDS + SUPERVISOR_COMMANDS:
        return f"There is no command {command!r}."
    whole = isinstance(value, int) and not isinstance(value, bool)
    if command == "set_interval" and not (whole and 1 <= int(str(value)) <= 1_000_000):
        return "The logging interval is a whole number of steps from 1 to 1,000,000."
    if command != "set_interval" and value is not None:
        return f"{command} takes no value."
    return ""
