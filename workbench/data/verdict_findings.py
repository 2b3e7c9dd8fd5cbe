"""What a verdict's figures mean: each thing that is looked for, with its level and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.data.gate_findings import OK, RED, YELLOW, GateFinding, count_of
from workbench.data.lengths import TRUNCATE
from workbench.data.masking import CHANGED, NO_END, NOTHING, REFUSED

if TYPE_CHECKING:
    from workbench.data.verdict import Verdict

LOST = "responses-lost"
TOO_LONG = "too-long"
LOST_SHARE = 0.01
"""Of the rows: as many may lose a part of their response at a cutoff before it is red. A cutoff at
the 99th percentile is what is mostly advised; a row that is cut teaches to break off, since its
end marker is gone."""

_MENDING = "Mend or remove these rows; accepted, they are left out of the run."
_TEXTS = {
    NOTHING: ("{rows} with nothing to train: no response", _MENDING),
    NO_END: ("{rows} whose response has no end marker that is trained", _MENDING),
    CHANGED: (
        "{rows} of which the chat template doesn't keep what came before",
        "Put a template that keeps it into chat_template.jinja of the base's folder, or take "
        "earlier thoughts out of the rows; accepted, they are left out of the run.",
    ),
    REFUSED: ("{rows} whose trained tokens can't be told from the others", _MENDING),
}


def findings_of(
    verdict: Verdict, cutoff: int | None, too_long: str, base: str, listed: int
) -> Iterator[GateFinding]:
    """What is to be said of a verdict, good or bad; `base` is named in the commands, and `listed`
    rows of each finding."""
    of_base = f"{verdict.dataset} --model {shlex.quote(base)}"
    for kind, (text, advice) in _TEXTS.items():
        found = verdict.refused.get(kind)
        count, rows = (found.count, found.first[:listed]) if found else (0, ())
        yield GateFinding(
            name=kind,
            level=RED if count else OK,
            count=count,
            total=verdict.rows,
            text=text.format(rows=count_of(count, "row")),
            rows=tuple(row_line(*row) for row in rows),
            numbers=tuple(row for row, _, _ in rows),
            see=f"workbench data verdict {of_base}" if rows else "",
            advice=advice if rows else "",
        )
    if cutoff is not None:
        yield _at_cutoff(verdict, cutoff, too_long, f"{of_base} --max-length {cutoff}", listed)


def row_line(row: int, source: str, what: str) -> str:
    """A row in words: its number, from 1, its source and what there is to say of it."""
    return f"row {row:,}{f' ({source})' if source else ''}: {what}"


def _at_cutoff(verdict: Verdict, cutoff: int, too_long: str, of: str, listed: int) -> GateFinding:
    kept = verdict.lengths[""].at(cutoff, too_long)
    name, count = LOST, kept.cut
    text = f"longer than data.max_length ({cutoff} tokens)"
    level, advice = RED, "Raise data.max_length, or set data.too_long to drop or truncate."
    if too_long == TRUNCATE:
        count = kept.partly_lost + kept.wholly_lost
        text = f"losing trained tokens at data.max_length ({cutoff} tokens)"
        text += f", {kept.wholly_lost:,} of them all"
        level = RED if count > LOST_SHARE * verdict.rows else YELLOW
        advice = "Raise data.max_length, or set data.too_long to drop."
    elif too_long == "drop":
        text += ", left out"
        level, advice = YELLOW, "Raise data.max_length to keep them."
    else:
        name = TOO_LONG
    first = verdict.rows_where(cutoff, lost=too_long == TRUNCATE, most=listed) if count else []
    return GateFinding(
        name=name,
        level=level if count else OK,
        count=count,
        total=verdict.rows,
        text=f"{count_of(count, 'row')} {text}",
        rows=tuple(row_line(row, source, f"{tokens:,} tokens") for row, source, tokens in first),
        numbers=tuple(row for row, _, _ in first),
        see=f"workbench data verdict {of} --too-long {too_long}" if count else "",
        advice=f"{advice} The longest row has {verdict.lengths[''].longest:,}." if count else "",
        acceptable=name != TOO_LONG,
    )
