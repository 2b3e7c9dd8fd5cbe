"""Progress of jobs as lines of text, for terminals without the app and for logs."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.events import CheckpointSaved, Notice, Paused, Record, Started, Step
from workbench.jobs.state import ENDED, describe
from workbench.jobs.waiting import follow, wait
from workbench.terminal import BELL, Title
from workbench.tracking import soundness
from workbench.tracking.finding import job_reference
from workbench.tracking.view import RunView
from workbench.tracking.words import words
from workbench.verbs.common import say
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.saying import Say

_EVERY = 5.0
"""Seconds between two lines while nothing but progress happens."""
_PATIENCE = 1.0
"""Seconds that a job may take without a word of its having been started."""


class Reporter:
    """Turns a log's events into a few lines."""

    def __init__(self, say: Say, reference: str, opening: str = "") -> None:
        """`reference` is the job's; `opening` is said first, once it has taken a second."""
        self._say = say
        self._reference = reference
        self._view = RunView()
        self._opening = opening
        self._said = ""
        self._next = time.monotonic() + (_PATIENCE if opening else 0)

    @property
    def place(self) -> str:
        """Where the job is: step, phase, time left."""
        return self._view.place()

    def __call__(self, records: list[Record]) -> None:
        self._view.feed(records)
        for record in records:
            if isinstance(record.event, Notice):
                self._say(record.event.text)
            elif isinstance(record.event, CheckpointSaved):
                self._say(f"saved {record.event.path} ({record.event.reason})")
            elif isinstance(record.event, Paused):
                self._say(f"paused; `workbench resume {self._reference}` lets it go on")
            elif told := words(record.event):
                self._say(told)
        if time.monotonic() < self._next:
            return
        if self._opening:
            self._say(self._opening)
            self._opening = ""
        if records and (line := self._view.line()) != self._said:
            self._next = time.monotonic() + _EVERY
            self._said = line
            self._say(line)


def follow_run(folder: Path, say: Say) -> str:
    """Print a job's progress until it has ended; returns its state's word.

    Ctrl-C leaves it running. Raises JobFailed in the job's own words when it failed.
    """
    reporter = Reporter(say, folder.name)

    def report(records: list[Record]) -> None:
        reporter(records)
        show(reporter.place)

    try:
        with _in_title(folder) as show:
            return wait(folder, report)
    except KeyboardInterrupt:
        say(f"{folder.name} goes on without this terminal; `workbench attach` shows it again.")
        raise


def follow_gate(folder: Path, say: Say) -> None:
    """Print a run's progress until its data has been judged: then it goes on by itself.

    Ctrl-C leaves it running. Raises JobFailed in the run's own words when it failed, as one does
    whose data is refused.
    """
    reporter = Reporter(say, folder.name, "its data is looked through before it trains")
    judged = False
    try:
        for records in follow(folder):
            reporter(records)
            # Where nothing is judged, as at a resume, it trains.
            judged |= any(isinstance(record.event, Started | Step) for record in records)
            if judged or soundness.read(folder).get("gate", {}).get("passed"):
                return
    except KeyboardInterrupt:
        say(f"{folder.name} goes on without this terminal; `workbench attach` shows it again.")
        raise
    wait(folder)


@contextmanager
def _in_title(folder: Path) -> Iterator[Callable[[str], None]]:
    """What it gives shows a text beside the job's name in the terminal's title; the bell rings
    when the job ends."""
    if describe(folder)[0] in ENDED or not sys.stderr.isatty():
        yield lambda text: None
        return
    title = Title(_to_terminal)
    try:
        yield lambda text: title.show(f"{folder.name} {text}")
    finally:
        if (status := describe(folder)[0]) in ENDED:
            # It stays for who comes back to this terminal, until the shell sets its own.
            title.show(f"{folder.name}: {status}")
            _to_terminal(BELL)
        else:
            title.give_back()


def _to_terminal(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def add_detach(parser: argparse.ArgumentParser) -> None:
    """Add `--detach`, for verbs whose work is a job that is waited for."""
    parser.add_argument(
        "--detach", action="store_true", help="return at once; `workbench jobs` shows how it goes"
    )


def do_job(
    args: argparse.Namespace,
    start: Callable[[], Path],
    result: Callable[[Path], dict[str, Any]],
) -> dict[str, Any]:
    """Start a job, and return what came of it once it has finished: `result` of its folder.

    With `--detach` only where it is, at once. Ctrl-C ends the job. Raises JobFailed in the
    job's own words when it failed, WorkbenchError when it was stopped.
    """
    folder: Path | None = None
    try:
        with _interrupted_later():
            folder = start()
            reference = job_reference(Workspace.find(args.workspace), folder)
        if args.detach:
            return {"job": reference, "folder": str(folder), "detached": True}
        opening = f"started {reference}; Ctrl-C ends it"
        status = wait(folder, Reporter(say, reference, opening))
    except KeyboardInterrupt:
        if folder is not None:
            _end(folder)
        raise
    if status != "finished":
        raise WorkbenchError("It was stopped before it had finished.")
    return result(folder)


def _end(folder: Path) -> None:
    with suppress(WorkbenchError):  # it has ended in this moment
        command(folder, "stop_now")
    finished = wait(folder) == "finished"
    say("It had finished already." if finished else "Stopped; nothing half-done is left.")


def show_result(show: Callable[[Any], None]) -> Callable[[Any], None]:
    """Prints what `do_job` has returned: by `show`, or where a job is that was left to itself."""

    def print_it(result: dict[str, Any]) -> None:
        if result.get("detached"):
            print(f"started {result['job']}; `workbench jobs show {result['job']}` shows it")
        else:
            show(result)

    return print_it


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Ctrl-C is heard when the block is through: a job half started would go on unseen."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    kept = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)
    if came:
        signal.raise_signal(signal.SIGINT)
