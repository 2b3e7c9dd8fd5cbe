"""A review's state in words, from its JSON form: the same on a screen and in a shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.statistics.proportions import comparisons_needed


def progress_line(progress: Mapping[str, Any]) -> str:
    """One annotator's progress, such as `7 of 24 judged, 2 skipped (1 comes back)`."""
    skipped = f", {progress['skipped']} skipped" if progress["skipped"] else ""
    if waiting := progress.get("waiting"):
        skipped += f" ({waiting} come{'s' * (waiting == 1)} back)"
    return f"{progress['judged']} of {progress['total']} judged{skipped}"


def pace_line(progress: Mapping[str, Any]) -> str:
    """How fast, and how long the rest takes at that; empty when it isn't known yet."""
    seconds = progress.get("seconds")
    if seconds is None:
        return ""
    left = progress["total"] - progress["judged"] - progress["skipped"]
    left += progress.get("waiting", 0)
    rest = f", {_span(left * seconds)} left" if left else ""
    return f"{seconds:.0f} s each{rest}"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """A report, blind or unblinded, a line at a time."""
    return [*_progress(report), *_habits(report), *_disputes(report), "", *_outcome(report)]


def _progress(report: Mapping[str, Any]) -> Iterator[str]:
    what = "comparisons" if report["kind"] == "pairwise" else "outputs"
    yield f"{report['items']} {what} to judge."
    if report["identical"]:
        yield f"{report['identical']} more have identical outputs and count as ties."
    for who in report["annotators"]:
        pace = pace_line(who)
        yield f"{who['annotator']}: {progress_line(who)}{pace and f', {pace}'}."
    given = [f"{choice} {n}" for choice, n in report["choices"].items() if choice != "skip"]
    yield f"Chosen: {', '.join(given)}."


def _habits(report: Mapping[str, Any]) -> Iterator[str]:
    left, agreement = report["left_share"], report["agreement"]
    if left:
        yield left_line(left)
    if agreement["pairs"]:
        share = f"{agreement['share']:.0%}, {agreement['agreeing']} of {agreement['pairs']} pairs"
        yield f"Annotators agree: {share}."
    for name, found in report["consistency"].items():
        again = f"{found['same']} of {found['repeats']} shown twice"
        yield f"{name} agrees with {name}'s earlier verdict: {again}."
    if report["flagged"]:
        yield f"Flagged: {report['flagged']}."


def left_line(share: Mapping[str, Any]) -> str:
    """How often the left one is preferred, and whether that may be chance."""
    habit = "within chance" if share["low"] <= 0.5 <= share["high"] else "a habit, not chance"
    return f"Left among left and right: {_percent(share)}, {habit}."


def _disputes(report: Mapping[str, Any]) -> Iterator[str]:
    if report["disputed"]:
        left = report["disputed"] - report["adjudicated"]
        say = f"{left} wait for another annotator's verdict" if left else "all were adjudicated"
        yield f"Annotators disagree on {report['disputed']}: {say}."
    if report["locked"]:
        yield "The session is locked: its verdicts stand."


def _outcome(report: Mapping[str, Any]) -> Iterator[str]:
    result = report["result"]
    if not report["unblinded"]:
        yield "Which system is which stays hidden until the review is locked."
        if report["kind"] != "pairwise":
            return
        needed = ", ".join(f"{comparisons_needed(p)} for {p:.0%}" for p in (0.6, 0.7, 0.8))
        yield f"Comparisons without a tie that show a preference: {needed}."
        return
    if report["late"]:
        yield f"{report['late']} verdicts were given after the systems were known."
    if result is None:
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


def _verdict(result: Mapping[str, Any]) -> str:
    if result["verdict"]:
        return f"{result['verdict']} is preferred: the interval without ties excludes one half."
    if result["still_needed"]:
        more = f"About {result['still_needed']} more without a tie would show one of this size."
        return f"No preference is shown. {more}"
    return "No preference is shown."


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{rate['value']:.0%} (95 %: {rate['low']:.0%} to {rate['high']:.0%}, n = {rate['n']})"
