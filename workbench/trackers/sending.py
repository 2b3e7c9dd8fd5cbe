"""Sends a run to a tracker: afterwards, from its log, or live beside it, from a process of its own.

How far it has come is kept in `trackers.json` in the run's folder: sent again, a run goes on there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.jobs.log import LogReader
from workbench.jobs.state import ENDED, HOST_LOG, describe
from workbench.jobs.waiting import follow
from workbench.trackers import points, tensorboard
from workbench.trackers.description import Description, digest
from workbench.trackers.description import describe as described
from workbench.trackers.points import Point
from workbench.trackers.services import SERVICES, Service, explained
from workbench.workspace import Workspace

TRACKERS = ("tensorboard", *SERVICES)
STATE = "trackers.json"


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a run has been sent to one place."""

    tracker: str
    project: str
    place: str
    identity: str
    """Its id there."""
    step: int = -1
    """The last step that is there; -1: none."""
    told: str = ""
    """The digest of the description that it was sent with."""
    scored: str = ""
    """That of its scores."""
    times: int = 0
    """How often it was sent anew."""
    look: str = ""
    """What a person does to see it."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.tracker, self.project, self.place


@dataclass(frozen=True, slots=True)
class Report:
    """What came of sending a run."""

    run: str
    tracker: str
    project: str
    place: str
    identity: str
    steps: int
    """That were sent now."""
    step: int
    already: bool
    """There was nothing new to send."""
    look: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def to_tensorboard(run: Path) -> Report:
    """Write a run's event file anew: its course without the repeated steps, its evaluation, what
    it was made of.

    Raises WorkbenchError for a run without steps, and for one whose file is being written.
    """
    told = described(run)
    if tensorboard.newest(run) is not None and describe(run)[0] not in ENDED:
        raise WorkbenchError(
            f"The event file of {run.name} is written as it trains.",
            f"`tensorboard --logdir {run.parent}` shows it.",
        )
    course = _course(run)
    last = course[-1]
    # First, so that the file ends with what the log ends with: a run that goes on is found there.
    scores = [Point(last.time, last.step, told.scores)] if told.scores else []
    path = tensorboard.write(run, [*scores, *course], {"run/config": told.markdown()})
    look = f"tensorboard --logdir {run.parent}"
    return Report(run.name, "tensorboard", "", str(path), "", len(course), last.step, False, look)


def send(
    workspace: Workspace, run: Path, tracker: str, project: str, *, offline: bool, again: bool
) -> Report:
    """Send a run as its log is now; one that goes on without its newest step, which may be half
    told.

    Raises WorkbenchError for a run without steps, a package that isn't installed, and whatever the
    tracker says.
    """
    told = described(run)
    service = SERVICES[tracker](workspace, project, offline=offline)
    ended = describe(run)[0] in ENDED
    course = _course(run)
    sender = _Sender(service, run, told, again=again)
    new = [point for point in course if point.step > sender.sent.step]
    if not ended:
        new = [point for point in new if point.step < course[-1].step]
    if not new and sender.sent.told == digest(asdict(told)):
        return sender.report(already=True)
    with explained(service, run.name), sender:
        sender.send(new)
        sender.describe(told, course[-1] if ended else None)
    return sender.report()


def send_live(
    workspace: Workspace, run: Path, tracker: str, project: str, *, offline: bool, again: bool
) -> Report:
    """Send a run as it trains, until it has ended; what it has done before this goes first.

    Ctrl-C ends the sending, not the run. Raises as `send`, but a run may have no step yet.
    """
    told = described(run)
    service = SERVICES[tracker](workspace, project, offline=offline)
    sender = _Sender(service, run, told, again=again)
    with explained(service, run.name), sender:
        last = None
        for batch in _live(run, sender.sent.step):
            sender.send(batch)
            last = batch[-1]
        sender.describe(described(run), last)
    return sender.report()


class _Sender:
    """Sends points in their order, and notes how far it came."""

    def __init__(self, service: Service, run: Path, told: Description, *, again: bool) -> None:
        self._service, self._run, self._told = service, run, told
        key = (service.name, service.project, service.place)
        before = next((sent for sent in _read(run) if sent.key == key), None)
        self._known = before is not None and not again
        self._steps = 0
        if before is None or again:
            times = before.times + 1 if before else 0
            seed = f"{told.identity} {times}".encode()
            before = Sent(*key, hashlib.sha256(seed).hexdigest()[:16], times=times)
        self.sent = before

    def __enter__(self) -> _Sender:
        identity = self._service.open(self._told, self.sent.identity, known=self._known)
        self._note(replace(self.sent, identity=identity, look=self._service.look()))
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    def send(self, new: Sequence[Point]) -> None:
        """Hand some points over. Those that were are noted, also when one of them fails."""
        step = self.sent.step
        try:
            for start in range(0, len(new), self._service.at_once):
                some = new[start : start + self._service.at_once]
                self._service.log(some)
                step = some[-1].step
                self._steps += len(some)
        finally:
            if step != self.sent.step:
                self._note(replace(self.sent, step=step))

    def describe(self, told: Description, last: Point | None) -> None:
        """Hand over new scores of a run that has ended, with its last point, and note that all
        that is told of it was."""
        scored = digest(told.scores)
        if last is not None and told.scores and scored != self.sent.scored:
            self._service.score(told.scores, last.step, last.time)
            self._note(replace(self.sent, scored=scored))
        self._note(replace(self.sent, told=digest(asdict(told))))

    def report(self, *, already: bool = False) -> Report:
        sent = self.sent
        return Report(
            run=self._run.name,
            tracker=sent.tracker,
            project=sent.project,
            place=sent.place,
            identity=sent.identity,
            steps=self._steps,
            step=sent.step,
            already=already,
            look=sent.look,
        )

    def _note(self, sent: Sent) -> None:
        self.sent = sent
        # Another process may send the run elsewhere meanwhile.
        with Workspace(self._run.absolute().parent.parent).lock("trackers"):
            others = [other for other in _read(self._run) if other.key != sent.key]
            body = {"v": 1, "sent": [asdict(one) for one in (*others, sent)]}
            write_json(self._run / STATE, body)


def _course(run: Path) -> list[Point]:
    course = points.of_run(run)
    if not course:
        raise WorkbenchError(
            f"{run.name} has taken no step: there is nothing to show.",
            f"`workbench runs show {run.name}` says how it stands.",
        )
    return course


def _live(run: Path, after: int) -> Iterator[list[Point]]:
    """The points of steps after one, as they come; a step once it is over."""
    host = LogReader(run / HOST_LOG)
    reading = points.Reading()
    waiting: Point | None = None
    for records in follow(run):
        for sample in host.read():
            reading.take(sample)
        ready: list[Point] = []
        for point in filter(None, map(reading.take, records)):
            if point.begins:
                waiting = waiting if waiting and waiting.step < point.step else None
            elif waiting and waiting.step == point.step:
                waiting = replace(point, values={**waiting.values, **point.values})
            elif point.step > after:
                if waiting:
                    ready.append(waiting)
                    after = waiting.step
                waiting = point if point.step > after else None
        if ready:
            yield ready
    if waiting:
        yield [waiting]


def _read(run: Path) -> list[Sent]:
    path = run / STATE
    if not path.exists():
        return []
    try:
        return [Sent(**sent) for sent in read_json_object(path)["sent"]]
    except (LookupError, TypeError) as error:
        raise WorkbenchError(
            f"{path} doesn't say what was sent: {error}.",
            "Remove it, and the run is sent anew.",
        ) from error
