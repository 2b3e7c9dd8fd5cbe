"""What a training tells in its log, in words: the same for a terminal, a screen and a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.jobs.events import (
    Alarm,
    Answered,
    Evaluated,
    Event,
    Foretold,
    Rehearsed,
    Skipped,
    Spiked,
    Started,
)
from workbench.text import size, visible
from workbench.tracking.comparison import span

_ROWS = 3
"""Examples of a step that are named."""
_LONGEST = 300
"""Characters of a prompt, or of an answer."""


def words(event: Event) -> str:
    """What a person is told of `event`, in one line or two; empty where its kind isn't known here.

    What stands in it of the data or the model has its control characters shown.
    """
    match event:
        case Started(resumed_from=step):
            return f"{f'goes on from step {step}' if step else 'begins'} on {setting(event)}"
        case Rehearsed(rows, tokens, peak, seconds):
            batch = f"{_counted(rows, 'row')}, {tokens:,} tokens"
            took = f"the largest batch ({batch}) took {size(peak)} at most and {seconds:.1f} s"
            return took if event.forecast is None else f"{took}; {_foretold(event.forecast)}"
        case Foretold(step_seconds=step, run_seconds=run) if step:
            whole = f", the whole run {span(run)}" if run else ""
            return f"expected: a step {span(step)}{whole}; {visible(event.basis)}"
        case Evaluated(step, loss):
            return f"validation loss {loss:.4f} after step {step}{''.join(_in_detail(event))}"
        case Answered(step, row, prompt, answer):
            asked = f"{prompt_name(row)}: {_short(prompt)}"
            return f"after step {step}, {asked}\n  answered: {_short(answer)}"
        case Skipped(step, what, rows):
            skipped = f"step {step} was skipped, for its {what} is not a number"
            return f"warning: {skipped}{_named(rows)}"
        case Spiked(step, loss, usual, rows):
            jumped = f"the loss of step {step} is {loss:.4f}, and {usual:.4f} is usual"
            return f"warning: {jumped}{_named(rows)}"
        case Alarm(name, severity, over=True):
            return f"{severity} {name}: over"
        case Alarm(name, severity, text=text, next_step=next_step):
            return f"{severity} {name}: {visible(text, one_line=True)}\n{visible(next_step)}"
    return ""


def prompt_name(row: int) -> str:
    """What a sample answers: `line 33` of the version's data.jsonl, or `own prompt`."""
    return f"line {row}" if row else "own prompt"


def memory(rehearsed: Rehearsed) -> str:
    """`peak 3.2 GiB; the forecast was 3.1 GiB`; the peak alone where there was no forecast."""
    told = f"peak {size(rehearsed.peak)}"
    return told if rehearsed.forecast is None else f"{told}; {_foretold(rehearsed.forecast)}"


def setting(started: Started) -> str:
    """The machine and how rows go through it: `CPU, float32, micro-batches of 4 rows, packed`.

    An earlier release's log doesn't tell all of it.
    """
    parts = [started.device, started.dtype]
    if started.adapter_dtype not in ("", started.dtype):
        parts.append(f"trained in {started.adapter_dtype}")
    if at_once := started.micro_batch or started.micro_batch_tokens:
        what = "row" if started.micro_batch else "token"
        parts.append(f"micro-batches of {_counted(at_once, what)}")
        parts.append("packed" if started.packed else "padded")
    if started.processes > 1:
        parts.append(f"{started.processes} processes")
    return ", ".join(parts)


def _foretold(forecast: int) -> str:
    return f"the forecast was {size(forecast)}"


def _in_detail(evaluated: Evaluated) -> Iterator[str]:
    if evaluated.perplexity is not None:
        yield f", perplexity {evaluated.perplexity:.4g}"
    for name, figures in evaluated.tasks.items():
        task = visible(name, one_line=True) or "no task"
        yield f"; {task}: {_number(figures['loss'])} ({_counted(figures['rows'], 'row')})"


def _named(rows: Sequence[dict[str, Any]]) -> str:
    """The first examples of a step, each with its loss."""
    if not rows:
        return ""
    named = [f"{row['row']} ({_number(row['loss'])})" for row in rows[:_ROWS]]
    more = f" and {len(rows) - _ROWS} more" if len(rows) > _ROWS else ""
    return f"; line{'s' * (len(rows) > 1)} {', '.join(named)}{more}"


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4f}"


def _counted(count: Any, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _short(text: str) -> str:
    line = visible(text.strip(), one_line=True)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
