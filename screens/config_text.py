"""What the form says beside its fields: the forecast as a bar, its parts, and what it comes to."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from workbench.config.advice import Advice
from workbench.config.fields import ConfigField
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
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
_SHORT = 10
"""Cells of the bar in the line that is always in view."""


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
    whole = max(forecast.total, free or 0, 1)
    done = drawn = 0
    for part in forecast.parts:
        done += part.bytes
        until = round(width * done / whole)
        letter, style = _PARTS.get(part.name, _REST)
        out.append(letter * (until - drawn), style)
        drawn = max(drawn, until)
    out.append(_FREE * (width - drawn), "dim")
    return out


def summary(judgement: Judgement | None) -> Text:
    """One line: does it fit, how long does it take, what is advised."""
    if judgement is None:
        return Text("looking at the base, the rows and the machine …", "dim")
    out = Text()
    free = judgement.known.machine.free
    if judgement.forecast is None:
        out.append("memory unknown", "yellow")
    else:
        out.append_text(bar(judgement, _SHORT)).append(" ")
        needed = size(judgement.forecast.total)
        left = f" of {size(free)} free" if free is not None else ""
        fits = judgement.fits
        word = "" if fits is None else ", fits" if fits else ", DOES NOT FIT"
        out.append(f"{needed}{left}{word}", "bold red" if fits is False else "")
    if judgement.time is not None and judgement.time.whole is not None:
        whole = judgement.time.whole
        out.append(f"  ·  {_about(whole.low)} to {_about(whole.high)}")
    worst = judgement.advice[0].severity if judgement.advice else ""
    out.append("  ·  ")
    out.append(judgement.counts(), STYLES.get(worst, "green"))
    return out


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
        return summary(None)
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


def about_field(field: ConfigField, choices: tuple[str, ...], notes: list[Advice]) -> Text:
    """Help, choices and source of a field, after what is advised of it."""
    out = Text()
    for advice in notes:
        out.append(f"{advice.severity}: ", STYLES[advice.severity])
        fix = f" (f: {', '.join(advice.fix)})" if advice.fix else ""
        out.append(f"{visible(advice.text)}{visible(fix)}\n")
    unit = f" [{field.unit}]" if field.unit else ""
    out.append(f"{field.help}{unit}")
    if choices:
        out.append(visible(f"\nchoices: {', '.join(choices[:6])}"))
    if field.source:
        out.append(f"\nsource: {field.source}", "dim")
    return out
