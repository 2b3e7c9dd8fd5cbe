"""What the form says beside its fields: the forecast as a bar, its parts, and what it comes to."""

from __future__ import annotations

from dataclasses import asdict
from itertools import accumulate
from typing import Any

from rich.text import Text

from workbench.config.advice import Advice, counted
from workbench.config.draft import as_text
from workbench.config.fields import ConfigField
from workbench.config.loading import ConfigError
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.planning.judging import Judgement
from workbench.text import size, visible
from workbench.tracking.comparison import span

MARKS = {"error": "E", "warning": "W", "hint": "h"}
STYLES = {"error": "bold red", "warning": "yellow", "hint": "dim"}
_PARTS = {
    "weights": ("w", "blue"),
    "adapter": ("a", "green"),
    "gradients": ("g", "green"),
    "optimizer": ("o", "cyan"),
    "activations": ("t", "magenta"),
    "loss": ("l", "yellow"),
    "working": ("b", "yellow"),
}
"""Letter and colour of a part; those that aren't named are `+`."""
_REST = ("+", "bright_black")
_FREE = "·"
_CELL = 17
"""Signs of a value that every cell has room for."""
_SHORT, _LONG = 10, 30
"""Cells that the bar has, in the line that is always in view, before words are shortened, and
at most."""


def method(config: RunConfig) -> str:
    """What kind of fine-tuning it is, in words."""
    if config.training.method == "full":
        return "full fine-tuning"
    kind = "LoRA" if config.model.quantization == "none" else "QLoRA"
    return f"{kind} of rank {config.lora.rank}"


def bar(judgement: Judgement, width: int) -> Text:
    """What is needed of what is free, a letter for each part: w for weights, o for the optimiser.

    Past its end where more is needed than there is, which the line beside it says.
    """
    forecast, free = judgement.forecast, judgement.known.machine.free
    out = Text()
    if forecast is None:
        return out
    cell = max(forecast.total, free or 0, 1) / width
    uses = [(part.bytes, *_PARTS.get(part.name, _REST)) for part in forecast.parts]
    uses.append((max(0, (free or 0) - forecast.total), _FREE, "dim"))
    ends = list(accumulate(taken for taken, _, _ in uses))
    for place in range(width):
        # What most of the cell is of.
        shares = [
            min(end, (place + 1) * cell) - max(end - taken, place * cell)
            for end, (taken, _, _) in zip(ends, uses, strict=True)
        ]
        _, letter, style = uses[shares.index(max(shares))]
        out.append(letter, style)
    return out


def summary(judgement: Judgement | None, width: int) -> Text:
    """One line of so many cells. The bar takes what the words leave."""
    if judgement is None:
        return words(None)
    out = words(judgement)
    if len(out) + 1 + _SHORT > width:
        out = words(judgement, letters=True)
    room = min(_LONG, width - len(out) - 1)
    if judgement.forecast is None or room < _SHORT // 2:
        return out
    return bar(judgement, room).append(" ").append_text(out)


def words(judgement: Judgement | None, *, letters: bool = False) -> Text:
    """Does it fit, how long does it take, what is advised; that by the `letters` that stand at the
    fields, where there is little room."""
    if judgement is None:
        return Text("looking at the base, the rows and the machine …", "dim")
    out = Text()
    free = judgement.known.machine.free
    if judgement.forecast is None:
        out.append("memory unknown", "yellow")
    else:
        needed = size(judgement.forecast.total)
        left = f" of {size(free)} free" if free is not None else ""
        fits = judgement.fits
        word = "" if fits is None else ", fits" if fits else ", DOES NOT FIT"
        out.append(f"{needed}{left}{word}", "bold red" if fits is False else "")
    if judgement.time is not None and judgement.time.whole is not None:
        whole = judgement.time.whole
        out.append(f" · {_about(whole.low)} to {_about(whole.high)}")
    found = [advice.severity for advice in judgement.advice]
    counts = counted(found) or "nothing to advise"
    if letters and found:
        counts = " ".join(f"{m}{found.count(s)}" for s, m in MARKS.items() if s in found)
    return out.append(" · ").append(counts, STYLES.get(found[0] if found else "", "green"))


def problems(error: WorkbenchError) -> str:
    """What is wrong with what was written, without where it stands."""
    if isinstance(error, ConfigError):
        return "\n".join(f"{problem.path}: {problem.text}" for problem in error.problems[:4])
    return str(error)


def swept(spec: Any) -> str:
    """What a sweep varies a field over, in few words."""
    if isinstance(spec, dict) and "values" in spec:
        spec = spec["values"]
    if isinstance(spec, dict):
        if "of" in spec:
            return f"{spec.get('times', 1)} x {spec['of']}"
        return f"{spec.get('min')} to {spec.get('max')}"
    return as_text(spec)


def _about(seconds: float) -> str:
    """A time in two digits: `9.4 s`, `15 min`, `3.2 h`, `4 d`."""
    for unit, whole in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= whole:
            return f"{seconds / whole:.2g} {unit}"
    return f"{seconds:.2g} s"


def parts(forecast: Forecast, free: int | None) -> Text:
    """Each use of memory with its letter."""
    out = Text()
    for part in forecast.parts:
        if part.bytes:
            letter, style = _PARTS.get(part.name, _REST)
            out.append(f"{letter} ", style)
            out.append(f"{part.name:<12}{size(part.bytes):>10}")
            out.append(f"  {part.note}\n", "dim")
    out.append(f"  {'in all':<12}{size(forecast.total):>10}", "bold")
    if free is not None:
        out.append(f"  of {size(free)} free")
    out.append("\n")
    if forecast.paged:
        out.append(f"  {'paged':<12}{size(forecast.paged):>10}  moved to the host\n", "dim")
    return out


def beside(judgement: Judgement | None, width: int) -> Text:
    """The panel: machine, bar, parts, time, and what the fields come to."""
    if judgement is None:
        return words(None)
    out = Text(no_wrap=False)
    out.append(f"{visible(judgement.known.machine.name)}\n", "bold")
    if judgement.forecast is not None:
        out.append_text(bar(judgement, max(10, width))).append("\n")
        out.append_text(parts(judgement.forecast, judgement.known.machine.free))
    elif judgement.unforeseen:
        out.append(f"{visible(judgement.unforeseen)}\n", "yellow")
    for sentence in judgement.known.unknown:
        out.append(f"{visible(sentence)}\n", "yellow")
    out.append_text(_time(judgement))
    return out


def _time(judgement: Judgement) -> Text:
    out = Text()
    if (time := judgement.time) is None:
        return out
    for name, seconds in (("step", time.step), ("epoch", time.epoch), ("whole run", time.whole)):
        if seconds is not None:
            out.append(f"  {name:<12}{span(asdict(seconds)):>10}\n")
    out.append(f"{visible(time.basis)}\n", "dim")
    for sentence in time.unknown:
        out.append(f"{visible(sentence)}\n", "dim")
    return out


def about_advice(advice: Advice) -> Text:
    """A finding whole: what is unusual, by which source, and what a key does about it."""
    out = Text()
    out.append(f"{advice.severity}  {advice.path}\n", STYLES[advice.severity])
    out.append(f"{visible(advice.text)}\n")
    if advice.fix:
        out.append(f"f sets {visible(', '.join(advice.fix))}\n", "bold")
    if advice.do:
        out.append(f"{visible(advice.do)}\n", "bold")
    out.append(f"source: {visible(advice.source)}", "dim")
    return out


def about_field(
    field: ConfigField, value: str, choices: tuple[str, ...], notes: list[Advice]
) -> Text:
    """Help, choices and source of a field, after what is advised of it; a value that its cell may
    have no room for, too."""
    out = Text()
    for advice in notes:
        out.append(f"{advice.severity}: ", STYLES[advice.severity])
        fix = f" (f: {', '.join(advice.fix)})" if advice.fix else ""
        out.append(f"{visible(advice.text)}{visible(fix)}\n")
    may_be = ", ".join(filter(None, (field.unit, field.bounds)))
    out.append(f"{field.help}{f' [{may_be}]' if may_be else ''}")
    if choices:
        out.append(visible(f"\nchoices: {', '.join(choices[:6])}"))
    if len(value) > _CELL:
        out.append(f"\nnow: {visible(value, one_line=True)}")
    if field.source:
        out.append(f"\nsource: {field.source}", "dim")
    return out
