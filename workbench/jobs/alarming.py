"""A supervisor's alarms: judged on what it reads anyway, logged, told to the person's command."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.alarms.engine import Alarms
from workbench.errors import WorkbenchError
from workbench.jobs.events import Alarm, Record, Sampled
from workbench.jobs.log import LogWriter
from workbench.jobs.own_command import OwnCommand
from workbench.jobs.watchdog import Verdict


class Alarming:
    """Feeds the rules; each alarm that begins or ends becomes a line of the supervisor's log."""

    def __init__(
        self,
        folder: Path,
        log: LogWriter,
        command: Sequence[str],
        *,
        standing: Iterable[dict[str, Any]] = (),
        history: Iterable[Record] = (),
    ) -> None:
        """`standing` are those of a supervisor that was killed, `history` is what the job's log
        holds already: nothing is told of either again."""
        self._folder = folder
        self._log = log
        self._command = OwnCommand("on_alarm", command)
        self._alarms = Alarms(folder.name, (Alarm(**alarm) for alarm in standing))
        self._alarms.learn(history)

    def standing(self) -> list[dict[str, Any]]:
        """Those that go on, as `JobState.alarms` has them."""
        return [asdict(alarm) for alarm in self._alarms.standing.values()]

    def sampled(self, sample: Sampled) -> bool:
        """Take in a sample of the machine; whether an alarm began or ended."""
        return self._tell(self._alarms.feed([Record(0, time.time(), sample)]))

    def looked(self, news: Iterable[Record], verdict: Verdict) -> bool:
        """Take in what the watchdog has read, and its verdict; whether an alarm began or ended."""
        self._command.look()
        changes = self._alarms.feed(news)
        changes += self._alarms.condition(verdict.word, verdict.text, time.time())
        return self._tell(changes)

    def wait(self) -> None:
        """Wait for the person's commands, as long as they may take."""
        self._command.wait()

    def _tell(self, changes: list[Alarm]) -> bool:
        for alarm in changes:
            with contextlib.suppress(WorkbenchError):
                self._log.write(alarm)
            if not alarm.over:
                told = {
                    "run": self._folder.name,
                    "alarm": alarm.name,
                    "severity": alarm.severity,
                    "text": alarm.text,
                    "next_step": alarm.next_step,
                    "folder": str(self._folder),
                }
                body = {"run": self._folder.name, **asdict(alarm)}
                self._command.start(told, WORKBENCH_ALARM_JSON=json.dumps(body))
        return bool(changes)
