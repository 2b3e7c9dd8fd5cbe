"""The result of an evaluation as tables of text: for a terminal, a report, a screen.

Takes the results of every version, also those from before there were comparisons. Plain: nothing
heavy is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.statistics.bootstrap import FEW

SLICES = {
    "task": "by task",
    "prompt_words": "by words of the prompt",
    "reference_words": "by words of the reference",
    "contamination": "clean and contaminated rows",
}
"""What rows are parted by, in words."""

HARNESS = "harness"
"""The kind of result that lm-evaluation-harness has given."""
UNPAIRED = "z, not paired"
BY_STDERR = "standard error of lm_eval"

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A table with what stands above it and below."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]


def interval(figure: Mapping[str, Any]) -> str:
    """A figure with its interval, if that is known; a dash where there is no number."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:.4f}" + ("" if low is None or high is None else f" [{low:.4f}, {high:.4f}]")


def title(name: str) -> str:
    """A figure's name in words; one of lm_eval's, `task/metric`, as it is there."""
    return name if "/" in name else name.replace("_", " ")


def figures(result: Result) -> Told:
    """Every figure of every system."""
    systems = result["systems"]
    names = list(dict.fromkeys(name for of in systems.values() for name in of))
    rows = [
        [title(name), *(interval(systems[system].get(name, {})) for system in systems)]
        for name in names
    ]
    notes = _of_harness(result) if result.get("kind") == HARNESS else _notes(result)
    return Told("", ["figure", *systems], rows, list(notes))


def changes(result: Result) -> Told | None:
    """What systems differ by from the base; None for a result without comparisons."""
    compared = result.get("comparisons")
    if not compared:
        return None
    return Told(
        f"change from {compared[0]['from']}",
        ["figure", "of", "change", "p", "p (Holm)", "rows"],
        [[title(one["measure"]), one["to"], *_change(one), str(one["n"])] for one in compared],
        [f"p: {_how(compared)}; Holm's correction for all {_tests(compared)} of these."],
    )


def degeneration(result: Result) -> Told | None:
    """What is wrong with outputs, by system; None for a result from before that was measured."""
    body = result.get("degeneration")
    if not body:
        return None
    systems, measures = body["systems"], result["measures"]
    compared = {(one["measure"], one["to"]): one for one in body["comparisons"]}
    others = list(systems)[1:]
    rows, silent = [], []
    for name in next(iter(systems.values())):
        of = [systems[system][name] for system in systems]
        if measures[name]["unit"] == "0 to 1" and not any(one["value"] for one in of):
            silent.append(name)
            continue
        scale, sign = (100, "%") if measures[name]["interval"] == "Wilson" else (1, "")
        cells = [_amount(one["value"], scale, sign) for one in of]
        for other in others:
            cells += _changed(compared.get((name, other)), scale)
        rows.append([name.replace("_", " "), *cells])
    alone = len(others) == 1
    named = [column if alone else f"{column} of {o}" for o in others for column in _CHANGED]
    notes = [f"In no output: {', '.join(silent)}."] if silent else []
    if (own := body["reference"].get("copied_words")) and own["value"] is not None:
        share = body["reference"]["copied"]["value"]
        notes.append(
            f"The references themselves share runs of {own['value']:.1f} words on average with "
            f"training rows; {share:.1%} have a long one."
        )
    return Told("what is wrong with outputs", ["mark", *systems, *named], rows, notes)


def slices(result: Result) -> Iterator[Told]:
    """The figures of parts of the rows, a table for each thing that they are parted by."""
    found = result.get("slices") or []
    for by in dict.fromkeys(part["by"] for part in found):
        parts = [part for part in found if part["by"] == by]
        systems = list(parts[0]["systems"])
        rows = []
        for part in parts:
            holm = {one["measure"]: one["p_holm"] for one in part["comparisons"]}
            for name in dict.fromkeys(one["measure"] for one in part["comparisons"]) or next(
                iter(part["systems"].values())
            ):
                of = [part["systems"][system][name] for system in systems]
                if any(one["n"] for one in of):
                    cells = [interval(one) for one in of]
                    p = [_p(holm.get(name))] if len(systems) == 2 else []
                    label = f"{part['name'] or '(none)'} ({part['rows']})"
                    rows.append([label, name.replace("_", " "), *cells, *p])
        headers = [by.replace("_", " "), "figure", *systems]
        holm_header = ["p (Holm)"] if len(systems) == 2 else []
        if rows:
            yield Told(SLICES.get(by, by), [*headers, *holm_header], rows, [])


def labels(result: Result) -> Iterator[Told]:
    """What systems answered where a label was wanted."""
    for task in result.get("labels") or []:
        rows = []
        for system, of in task["systems"].items():
            for wanted, given in of["answers"].items():
                told = ", ".join(
                    f"{name or '(no label)'} {count}"
                    for name, count in sorted(given.items(), key=lambda one: -one[1])
                )
                rows.append([system, wanted, str(sum(given.values())), told])
        none = ", ".join(f"{s} {of['no_label']}" for s, of in task["systems"].items())
        title = f"labels of {task['task']}" if task["task"] else "labels"
        yield Told(title, ["system", "reference", "rows", "answers"], rows, [f"no label: {none}"])


def markdown(told: Told) -> Iterator[str]:
    """A table as lines of Markdown."""
    if told.title:
        yield f"### {told.title[0].upper()}{told.title[1:]}"
        yield ""
    if told.rows:
        yield f"| {' | '.join(told.headers)} |"
        yield f"|{'---|' * len(told.headers)}"
        for row in told.rows:
            cells = (" ".join(cell.replace("|", "\\|").split()) for cell in row)
            yield f"| {' | '.join(cells)} |"
        yield ""
    yield from told.notes
    yield ""


_CHANGED = ("change", "p", "p (Holm)")


def _how(compared: Sequence[Mapping[str, Any]]) -> str:
    """The tests that there were."""
    paired = "McNemar's test (mid-p) for shares, else the paired bootstrap"
    if not any(one["test"] == UNPAIRED for one in compared):
        return paired
    apart = f"{UNPAIRED}, by the standard errors"
    if all(one["test"] in (UNPAIRED, None) for one in compared):
        return apart
    return f"{paired}; where no documents are logged {apart}"


def _of_harness(result: Result) -> Iterator[str]:
    versions = ", ".join(dict.fromkeys(filter(None, result["lm_eval"].values())))
    known = {name: about["interval"] for name, about in result["measures"].items()}
    told = [f"lm_eval {versions}" if versions else "lm_eval", "95 % intervals"]
    if by_error := [title(name) for name, how in known.items() if how == BY_STDERR]:
        some = "all" if len(by_error) == len(known) else ", ".join(by_error)
        told.append(f"by lm_eval's standard error: {some}")
    yield "; ".join(told)
    if few := [
        task for task, about in result["tasks"].items() if 0 < (about["documents"] or 0) < FEW
    ]:
        yield f"Of fewer than {FEW} documents the intervals are too narrow: {', '.join(few)}."
    yield from result["notes"]


def _notes(result: Result) -> Iterator[str]:
    counts = result["rows"]
    yield f"loss over {counts['loss']} rows, answers to {counts['answers']}; 95 % intervals"
    if 0 < counts["answers"] < FEW:
        yield f"Of fewer than {FEW} answers the intervals are too narrow."
    if missing := {s: n for s, n in (counts.get("without_output") or {}).items() if n}:
        told = ", ".join(f"{system} {count}" for system, count in missing.items())
        yield f"Rows without an output, which count for nothing: {told}."
    if without := counts.get("without_reference"):
        yield f"{without} rows have no reference."
    if contaminated := counts.get("contaminated"):
        yield f"A training row holds {contaminated} of these rows: they are apart in the slices."
    for one in result.get("problems") or []:
        rows = ", ".join(one["rows"])
        yield f"{one['measure']}: {one['what']}, of {one['outputs']} outputs ({rows}, …)."


def _tests(compared: Sequence[Mapping[str, Any]]) -> int:
    return sum(bool(one["differ"]) for one in compared)


def _change(one: Mapping[str, Any]) -> list[str]:
    if one["value"] is None:
        return ["–", "–", "–"]
    change = f"{one['value']:+.4f}"
    if one["low"] is not None:
        change += f" [{one['low']:+.4f}, {one['high']:+.4f}]"
    return [change, _p(one["p"]), _p(one["p_holm"])]


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _amount(value: float | None, scale: int, sign: str) -> str:
    if value is None:
        return "–"
    return f"{value * scale:.1f}{sign}" if sign else f"{value:.2f}"


def _changed(one: Mapping[str, Any] | None, scale: int) -> list[str]:
    """A change of shares is in points of per cent."""
    if one is None or one["value"] is None:
        return ["–", "–", "–"]
    digits = 1 if scale > 1 else 2
    value, low, high = (f"{one[n] * scale:+.{digits}f}" for n in ("value", "low", "high"))
    return [f"{value} [{low}, {high}]", _p(one["p"]), _p(one["p_holm"])]
