"""What a run's folder says of it, read as far as it can be: what can't is told, and no reason to
stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.alarms import reading as alarm_reading
from workbench.alarms.reading import Told as ToldAlarms
from workbench.errors import WorkbenchError
from workbench.evaluation.request import read_scores
from workbench.files import read_json_object
from workbench.history import reading
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.jobs.events import CheckpointSaved, Record, Skipped, Spiked
from workbench.jobs.log import read_all
from workbench.jobs.state import HOST_LOG
from workbench.redaction import redacted
from workbench.review import sessions
from workbench.review.sessions import Session
from workbench.tracking import figures, finding, manifest, soundness, summary
from workbench.tracking.columns import own_system
from workbench.tracking.summary import RunSummary
from workbench.tracking.view import RunView
from workbench.workspace import Workspace

UNREADABLE = (
    WorkbenchError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
"""What files raise that are damaged, half-written or of another release."""
_COUNTED = (Skipped, Spiked, CheckpointSaved)

Body = Mapping[str, Any]


@dataclass
class Found:
    """One run."""

    folder: Path
    summary: RunSummary
    config: Body
    """Empty where the manifest can't be read. No secret is in it, and none in `made`."""
    made: Body = field(default_factory=dict)
    """The manifest; empty where it can't be read."""
    view: RunView = field(default_factory=RunView)
    counts: Counter[str] = field(default_factory=Counter)
    """Events by type: checkpoints, skipped steps, spikes. Also those that a resumed run did
    again."""
    history: History = field(default_factory=History)
    scores: Body | None = None
    """The newest evaluation; None before there is one."""
    harness: list[dict[str, Any]] = field(default_factory=list)
    """Results of lm-evaluation-harness, the newest first."""
    alarms: ToldAlarms | None = None
    sessions: list[Session] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What is wrong with its files, or could not be read, in sentences."""

    @property
    def id(self) -> str:
        return self.folder.name

    def section(self, *names: str) -> Body:
        """An object within the manifest; empty where there is none."""
        found: Any = self.made
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @property
    def system(self) -> str:
        """What the run made, as its newest evaluation calls it."""
        return own_system(self.id, (self.scores or {}).get("systems", {}))


def read(workspace: Workspace, folder: Path) -> Found:
    """Everything that a report says of a run. Reads its whole log, once for figures and once for
    curves, of which the cache has most where it is large."""
    known = summary.read(folder)
    (line,) = soundness.with_bases([known.summary])
    found = Found(folder, line, redacted(known.config))
    try:
        found.made = redacted(manifest.read(folder))
    except UNREADABLE as error:
        found.missing.append(" ".join(str(error).split()))
        found.made = redacted(_whatever(folder))
    found.missing += line.problems
    with _telling(found, "log"):
        found.view.feed(_counted(read_all(folder / finding.LOG), found.counts))
    with _telling(found, "curves"):
        log, machine = folder / finding.LOG, folder / HOST_LOG
        found.history = reading.read(Logs(folder, log, machine))
    with _telling(found, "alarms"):
        found.alarms = alarm_reading.read(folder, finding.LOG)
    with _telling(found, "newest evaluation"):
        if (newest := summary.newest_evaluation(folder)) is not None:
            found.scores = read_scores(newest)
    with _telling(found, "results of lm-evaluation-harness"):
        found.harness = figures.harness(folder)
    with _telling(found, "review sessions"):
        found.sessions = sessions.of_run(workspace, folder)
    return found


@contextmanager
def _telling(found: Found, what: str) -> Iterator[None]:
    """What can't be read of `what` is noted, and the rest goes on."""
    try:
        yield
    except UNREADABLE as error:
        found.missing.append(f"Its {what} can't be read: {error or type(error).__name__}")


def _whatever(folder: Path) -> Body:
    """A manifest that isn't what this release knows, as far as it is JSON."""
    try:
        return read_json_object(folder / finding.MANIFEST)
    except UNREADABLE:
        return {}


def _counted(records: Iterable[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in records:
        if isinstance(record.event, _COUNTED):
            counts[record.event.type] += 1
        yield record
