"""What a run's folder says of it, read as far as it can be: what can't is told, and no reason to
stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from workbench.alarms import reading as alarm_reading
from workbench.alarms.reading import Told as ToldAlarms
from workbench.errors import WorkbenchError
from workbench.evaluation.request import SCORES, read_scores
from workbench.files import read_json_object
from workbench.history import reading
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.jobs.events import CheckpointSaved, Record, Skipped, Spiked
from workbench.jobs.log import read_all
from workbench.jobs.state import HOST_LOG
from workbench.redaction import redact, redacted
from workbench.review import sessions
from workbench.review.session import Session
from workbench.tracking import figures, finding, manifest, soundness, summary
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
_T = TypeVar("_T")


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
    evaluation: Path | None = None
    """The folder of the newest evaluation; None before there is one."""
    scores: Body | None = None
    """What it measured; None where that can't be read."""
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
    # An evaluation that is damaged leaves the list without a config.
    found.config = found.config or found.section("config")
    found.missing += line.problems
    with _telling(found, "log"):
        found.view.feed(_counted(read_all(folder / finding.LOG), found.counts))
    with _telling(found, "curves"):
        log, machine = folder / finding.LOG, folder / HOST_LOG
        found.history = reading.read(Logs(folder, log, machine))
    with _telling(found, "alarms"):
        found.alarms = alarm_reading.read(folder, finding.LOG)
    with _telling(found, "newest evaluation"):
        found.evaluation = summary.newest_evaluation(folder)
        if found.evaluation is not None:
            found.scores = _scores(found.evaluation)
    with _telling(found, "results of lm-evaluation-harness"):
        found.harness = figures.harness(folder)
    with _telling(found, "review sessions"):
        found.sessions = sessions.of_run(workspace, folder)
    found.missing = [redact(text) for text in found.missing]
    return found


@contextmanager
def _telling(found: Found, what: str) -> Iterator[None]:
    """What can't be read of `what` is noted, and the rest goes on."""
    try:
        yield
    except UNREADABLE as error:
        found.missing.append(f"Its {what} can't be read: {error or type(error).__name__}")


def readable(made: Iterable[_T]) -> Iterator[_T | str]:
    """What is made of a run's files up to where they are not what they should be, which is said."""
    try:
        yield from made
    except UNREADABLE as error:
        what = f"{type(error).__name__}: {error}"
        yield f"More can't be told: its files hold what this release does not know ({what})."


def _whatever(folder: Path) -> Body:
    """A manifest that isn't what this release knows, as far as it is JSON."""
    try:
        return read_json_object(folder / finding.MANIFEST)
    except UNREADABLE:
        return {}


def _scores(evaluation: Path) -> Body:
    """Raises WorkbenchError for what holds no figures."""
    body: Any = read_scores(evaluation)
    if not isinstance(body, Mapping) or not isinstance(body.get("systems"), Mapping):
        raise WorkbenchError(f"{evaluation / SCORES} holds no figures.")
    return body


def _counted(records: Iterable[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in records:
        if isinstance(record.event, _COUNTED):
            counts[record.event.type] += 1
        yield record
