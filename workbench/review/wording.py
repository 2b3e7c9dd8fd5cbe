"""A review's state in words, from its JSON form: the same on a screen and in a shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.statistics.proportions import comparisons_needed


def progress_line(progress: Mapping[str, Any]) -> str:
    """One annotator's progress, such as `7 of 24 judged, 1 skipped`."""
    skipped = f", {progress['skipped']} skipped" if progress["skipped"] else ""
    return f"{progress['judged']} of {progress['total']} judged{skipped}"


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """A report, blind or unblinded, a line at a time."""
    return [*_progress(report), *_habits(report), "", *_outcome(report)]


def _progress(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{report['items']} comparisons to judge."
    if report["identical"]:
        yield f"{report['identical']} more have identical outputs and count as ties."
    for who in report["annotators"]:
        yield f"{who['annotator']}: {progress_line(who)}."
    choices = report["choices"]
    yield f"Chosen: left {choices['left']}, right {choices['right']}, tie {choices['tie']}."


def _habits(report: Mapping[str, Any]) -> Iterator[str]:
    left, agreement = report["left_share"], report["agreement"]
    if left:
        habit = "within chance" if left["low"] <= 0.5 <= left["high"] else "a habit, not chance"
        yield f"Left among left and right: {_percent(left)}, {habit}."
    if agreement["pairs"]:
        share = f"{agreement['share']:.0%}, {agreement['agreeing']} of {agreement['pairs']} pairs"
        yield f"Annotators agree: {share}."


def _outcome(report: Mapping[str, Any]) -> Iterator[str]:
    result = report["result"]
    if result is None:
        needed = ", ".join(f"{comparisons_needed(p)} for {p:.0%}" for p in (0.6, 0.7, 0.8))
        yield "Which system won stays hidden until the review is unblinded."
        yield f"Comparisons without a tie that show a preference: {needed}."
        return
    yield f"{result['candidate']} against {result['baseline']}:"
    yield f"Wins {result['wins']}, ties {result['ties']}, losses {result['losses']}."
    if result["win_rate"]:
        yield f"Win rate, a tie as half: {_percent(result['win_rate'])}."
    if result["decided_rate"]:
        yield f"Win rate without ties: {_percent(result['decided_rate'])}."
    yield _verdict(result)
    if len(result["by_annotator"]) > 1:
        for name, tally in result["by_annotator"].items():
            yield f"{name}: wins {tally['wins']}, ties {tally['ties']}, losses {tally['losses']}."
    if result["late"]:
        yield f"{result['late']} verdicts were given after the systems were known."


def _verdict(result: Mapping[str, Any]) -> str:
    if result["verdict"]:
        return f"{result['verdict']} is preferred: the interval without ties excludes one half."
    if result["still_needed"]:
        more = f"About {result['still_needed']} more without a tie would show one of this size."
        return f"No preference is shown. {more}"
    return "No preference is shown."


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{rate['value']:.0%} (95 %: {rate['low']:.0%} to {rate['high']:.0%}, n = {rate['n']})"
