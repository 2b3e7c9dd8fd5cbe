"""Outputs as text: a row in the table, a row beside it, what stands over an output."""

from __future__ import annotations

from rich.text import Text

from screens.widgets.row_table import Column
from screens.widgets.texts import answer_text
from workbench.evaluation.outputs import Answered, Outputs, Said
from workbench.evaluation.telling_outputs import flags, number
from workbench.text import visible

_SHOWN = 2_000
"""Characters of an output beside the table."""
_REST = ": enter"
_METRICS = 3
"""Metrics that stand over an output."""


def columns(outputs: Outputs) -> tuple[Column, ...]:
    """What the table shows: what is first stays in view on a narrow screen."""
    many = len(outputs.systems)
    return (
        Column("row", 5, right=True),
        Column("task", 5, grow=1),
        *(Column(letter, 5, right=True) for letter in outputs.letters),
        Column("change" if many == 2 else "spread", 6, right=True),
        Column("words", max(5, 4 * many - 1)),
        Column("flags", max(5, 2 * many + 1), grow=1),
        Column("prompt", 10, grow=8),
    )


def cells(outputs: Outputs, row: Answered, metric: str) -> tuple[str, ...]:
    """A row of the table."""
    said = [row.said.get(system) for system in outputs.systems]
    values = (number(None if of is None else of.scores.get(metric)) for of in said)
    lengths = (f"{'–' if of is None else of.words:>3}" for of in said)
    return (
        str(row.number),
        row.task,
        *values,
        difference(outputs, row, metric),
        " ".join(lengths),
        flags(None if of is None else of.marks for of in said),
        row.prompt,
    )


def difference(outputs: Outputs, row: Answered, metric: str) -> str:
    """The change of a metric from the first to the second system; of more, its spread."""
    if len(outputs.systems) == 2:
        return number(row.change(metric, outputs.systems), signed=True)
    return number(row.spread(metric))


def beside(outputs: Outputs, row: Answered, metric: str) -> Text:
    """A row whole: what was asked, what the dataset answers, what each system does."""
    out = Text()
    _part(out, f"row {row.number}  {row.task}", row.prompt)
    for reference in row.references:
        _part(out, "reference", reference)
    for letter, system in outputs.letters.items():
        if (said := row.said.get(system)) is not None:
            out.append_text(head(letter, system, said, metric)).append("\n")
            out.append_text(answer_text(said.text, _SHOWN, _REST)).append("\n\n")
    return out


def head(letter: str, system: str, said: Said | None, metric: str) -> Text:
    """What stands over an output: whose it is, how long, its scores and marks."""
    out = Text(visible(f"{letter} {system}", one_line=True), "bold cyan")
    if said is None:
        return out.append("  no output", "not bold")
    told = [f"{said.words} words"]
    told += [f"{said.tokens} tokens"] if said.tokens is not None else []
    names = [metric, *(name for name in said.scores if name != metric)][:_METRICS]
    told += [f"{name} {number(said.scores[name])}" for name in names if name in said.scores]
    out.append(visible("  " + "  ".join(told), one_line=True), "not bold")
    if said.marks:
        out.append(visible("  " + " ".join(said.marks), one_line=True), "not bold yellow")
    return out


def about(row: Answered, place: int, found: int, query: str) -> str:
    """Which row it is, of how many, and how far its outputs are from each other."""
    told = [f"row {row.number}", row.key, row.task]
    if row.apart is not None:
        told.append(f"apart {number(row.apart)}" if row.disagrees else "the same words")
    if row.contaminated:
        told.append("a training row holds it")
    told.append(f"{place + 1:,} of {found:,}{f' with {query!r}' if query else ''}")
    return visible("  ·  ".join(part for part in told if part), one_line=True)


def _part(out: Text, title: str, text: str) -> None:
    out.append(visible(f"{title}\n", one_line=False), "bold cyan")
    out.append_text(answer_text(text, _SHOWN, _REST)).append("\n\n")
