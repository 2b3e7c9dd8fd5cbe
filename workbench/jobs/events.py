"""Every event that a job writes, typed; and its line in the log.

A line is `{"v":1,"seq":N,"t":unix seconds,"type":"step",…}`. `seq` counts from 0
without a gap in one log. JSON has no NaN: a number that isn't finite is written as
null and named in `"nan":[…]`, so that a strict parser reads every line.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

VERSION = 1


@dataclass(frozen=True, slots=True)
class Started:
    """The job's process is up; what it is about to do, in numbers."""

    type: ClassVar[str] = "started"
    total_steps: int
    epochs: float
    train_rows: int
    validation_rows: int
    train_tokens: int
    """Tokens of one epoch, prompts included."""
    trainable_parameters: int
    parameters: int
    device: str
    dtype: str
    resumed_from: int = 0
    """The step that a checkpoint gave back; 0 for a fresh start."""
    adapter_dtype: str = ""
    """Number format of the trained weights."""
    micro_batch: int = 0
    """Rows that go through the model at once, at most; packed, as many tokens as so many of the
    longest have. 0 where tokens count."""
    packed: bool = False
    processes: int = 1
    micro_batch_tokens: int = 0
    """Tokens that go through at once, at most, but for a row that is longer; 0 where rows count."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step."""

    type: ClassVar[str] = "step"
    step: int
    epoch: float
    loss: float
    """Mean negative log-likelihood a trained token, in nats, over the whole step."""
    learning_rate: float
    gradient_norm: float
    tokens: int
    """Tokens that went through the model in this step, prompts included, padding not."""
    trained_tokens: int
    seconds: float
    tokens_per_second: float = 0.0
    memory: int | None = None
    """Peak bytes that torch held on the device so far; None without one."""
    allocated: int | None = None
    """Bytes on the device that are in use after the step."""
    reserved: int | None = None
    """Bytes on the device that torch keeps for itself."""
    steps: int = 1
    """Optimiser steps that this line is of, itself and those before it: the loss is their mean
    over trained tokens, tokens and seconds are their sums."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Loss on the validation split."""

    type: ClassVar[str] = "evaluated"
    step: int
    loss: float
    rows: int
    trained_tokens: int
    perplexity: float | None = None
    """exp(loss); None where that is no number."""
    tasks: dict[str, dict[str, float | int | None]] = field(default_factory=dict)
    """By task, where there are several: loss, perplexity, rows and trained_tokens."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model being trained says, by greedy decoding: to the same prompts each time."""

    type: ClassVar[str] = "answered"
    step: int
    row: int
    """The line in the version's data.jsonl, counted from 1; 0 for a prompt of the config's own."""
    prompt: str
    """The last turn before the answer."""
    answer: str
    stopped: bool | None = None
    """Whether it ended by itself, not at `evaluation.sample_tokens`; None in logs of earlier
    releases."""
    tokens: int | None = None
    """Of the answer, without that of its end; None in logs of earlier releases."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that changed nothing, since its loss or gradient was no number."""

    type: ClassVar[str] = "skipped"
    step: int
    what: str
    """`loss` or `gradient`."""
    rows: list[dict[str, float | int | None]]
    """Its examples, as in examples.jsonl: those without a loss first."""


@dataclass(frozen=True, slots=True)
class Spiked:
    """A step whose loss stands far out of the 50 before it."""

    type: ClassVar[str] = "spiked"
    step: int
    loss: float
    usual: float
    """The median of those before it."""
    rows: list[dict[str, float | int | None]]
    """Its examples, as in examples.jsonl: the highest loss first."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The largest batches of training and of validation went through, before the first step."""

    type: ClassVar[str] = "rehearsed"
    rows: int
    """Of the largest training batch."""
    tokens: int
    peak: int
    """Bytes, at most: of the device, or of the process where there is none."""
    seconds: float
    micro_batch: int
    forecast: int | None = None
    """Bytes that were expected at most, counted as `peak` is; None where nobody could tell, and
    in logs of earlier releases."""
    parts: dict[str, int] = field(default_factory=dict)
    """Of the forecast, in bytes."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """How long the run was expected to take, before its first step: bounds in seconds, None where
    nobody could tell."""

    type: ClassVar[str] = "foretold"
    step_seconds: list[float] | None
    """Lower and upper."""
    epoch_seconds: list[float] | None
    """Of an epoch's steps."""
    run_seconds: list[float] | None
    """Of all steps, validations and answers."""
    basis: str
    """What the speed was taken from."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    type: ClassVar[str] = "checkpoint"
    step: int
    path: str
    reason: str
    size: int | None = None
    """Bytes of its files; None in logs of earlier releases."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long phase has come; the same for every kind of job."""

    type: ClassVar[str] = "progress"
    phase: str
    done: int
    total: int
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for a person."""

    type: ClassVar[str] = "notice"
    text: str
    level: str = "info"
    """`info`, `warning` or `error`."""


@dataclass(frozen=True, slots=True)
class CommandHandled:
    """A command from a client, acted on between two steps."""

    type: ClassVar[str] = "command"
    id: str
    command: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """The job waits, holding everything it holds, until it is told to go on."""

    type: ClassVar[str] = "paused"
    step: int = 0


@dataclass(frozen=True, slots=True)
class WentOn:
    """A job that was paused works again."""

    type: ClassVar[str] = "went_on"
    seconds: float
    """How long it was paused."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The job ended by itself, or because a person stopped it (`stopped`)."""

    type: ClassVar[str] = "finished"
    stopped: bool
    step: int = 0
    result: str = ""
    """The path of what it made."""
    preempted: bool = False
    """What stopped it was SIGTERM: the node is wanted for something else."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended by an error of its own; a kill leaves no such line."""

    type: ClassVar[str] = "failed"
    cause: str
    """A short name: `out_of_gpu_memory`, `out_of_host_memory`, `disk_full`, `read_only`,
    `bad_input`, `bad_row`, `loss_not_finite`, `gpu_fault`, `lost_rank`, `error`; and for a job
    that waited for another, that one's, `killed` and `stalled` too."""
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The machine at one moment, in the supervisor's own log."""

    type: ClassVar[str] = "sampled"
    host: dict[str, Any]
    """As `hardware.host.Host`."""
    gpus: list[dict[str, Any]]
    """Each as `hardware.gpu.Gpu`, which reads it back with `Gpu.of`."""
    gpu_reason: str | None
    """Why there are no GPUs, in words."""


@dataclass(frozen=True, slots=True)
class CommandTaken:
    """A command as the supervisor got it, in its own log; the job's log says when it is done."""

    type: ClassVar[str] = "command_taken"
    id: str
    command: str
    value: int | None = None
    refused: str = ""
    """Why nothing comes of it; empty when it was passed on."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person should look at has begun, or (`over`) has ended; in the
    supervisor's own log. `workbench.alarms` has the rules."""

    type: ClassVar[str] = "alarm"
    name: str
    """The rule's, such as `overfitting`; at most one alarm of a name goes on at a time."""
    severity: str
    """`error`, `warning` or `info`."""
    since_step: int
    since_time: float
    """Unix seconds."""
    text: str
    """What is seen, with its figures."""
    why: str
    """Why it matters."""
    next_step: str
    """What to do, with the command or the setting."""
    source: str
    """Where the rule is from."""
    over: bool = False


Event = (
    Started
    | Step
    | Evaluated
    | Answered
    | Skipped
    | Spiked
    | Rehearsed
    | Foretold
    | CheckpointSaved
    | Progress
    | Notice
    | CommandHandled
    | Paused
    | WentOn
    | Finished
    | Failed
    | Sampled
    | CommandTaken
    | Alarm
)
_KINDS: tuple[type[Event], ...] = (
    Started,
    Step,
    Evaluated,
    Answered,
    Skipped,
    Spiked,
    Rehearsed,
    Foretold,
    CheckpointSaved,
    Progress,
    Notice,
    CommandHandled,
    Paused,
    WentOn,
    Finished,
    Failed,
    Sampled,
    CommandTaken,
    Alarm,
)
TYPES: dict[str, type[Event]] = {kind.type: kind for kind in _KINDS}
_FIELDS = {kind.type: frozenset(f.name for f in fields(kind)) for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class Record:
    """An event as it stands in a log."""

    seq: int
    time: float
    """Unix time in seconds."""
    event: Event


def encode(event: Event, seq: int, time: float) -> bytes:
    """The event's line, newline included."""
    body: dict[str, Any] = asdict(event)
    lost = [k for k, v in body.items() if isinstance(v, float) and not math.isfinite(v)]
    line: dict[str, Any] = {"v": VERSION, "seq": seq, "t": round(time, 3), "type": event.type}
    line.update(body)
    line.update(dict.fromkeys(lost))
    if lost:
        line["nan"] = lost
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, as in a file name that is no UTF-8, stays a JSON escape.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode(line: bytes) -> Record | None:
    """The record of a line; None for a type or a version that this release doesn't know.

    Unknown fields are passed over, so that a newer writer's log can be read.
    Raises ValueError on a line that isn't an event at all.
    """
    body = json.loads(line)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    try:
        kind = TYPES.get(body.get("type", ""))
        if kind is None and "gpu_reason" in body:
            # A sample as the first release wrote it: alone in its log, and unnumbered.
            kind, body["seq"] = Sampled, 0
        if kind is None or body.get("v") != VERSION:
            return None
        for name in body.get("nan", ()):
            body[name] = math.nan
        known = _FIELDS[kind.type]
        event = kind(**{k: v for k, v in body.items() if k in known})
        return Record(seq=body["seq"], time=body["t"], event=event)
    except (TypeError, KeyError) as error:
        raise ValueError(f"event {body.get('seq')}: {error}") from error
