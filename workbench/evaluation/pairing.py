"""What runs answered to the same held-out rows, in evaluations of their own, held against each
other row by row.

Rows of evaluations on one dataset version are the same by their keys, others by what is asked and
what is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation import measures
from workbench.evaluation import rows as rowing
from workbench.evaluation.choosing import choose
from workbench.evaluation.comparing import Table, corrected
from workbench.evaluation.problems import Problems
from workbench.evaluation.request import SCORES
from workbench.evaluation.rescoring import settings_of
from workbench.evaluation.rows import LOSSES, OUTPUTS, Row
from workbench.files import read_json_object

Place = tuple[str]
"""The key of a row in the first evaluation."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run's evaluation."""

    run: str
    folder: Path
    system: str
    """What in it the run has made."""


def pair(evaluations: Sequence[Evaluated], *, seed: int = 0) -> dict[str, Any]:
    """What each run differs by from the first on the rows that both have.

    `rows` (those that all have), `figures` by run over these rows, each with its 95 % interval, and
    `comparisons` as `comparing.Table` makes them, with Holm's correction for all of them. The
    metrics are those that the first evaluation was scored by. Raises WorkbenchError where no rows
    are the same, and for damaged files.
    """
    found = [_rows(one) for one in evaluations]
    first = _by_key(found[0])
    joined = dict(first)
    for rows, one in zip(found[1:], evaluations[1:], strict=True):
        for place, row in _placed(rows, first, found[0].dataset == rows.dataset):
            joined[place] = _with(joined[place], row, one.run)
    names = [one.run for one in evaluations]
    together = [row for row in joined.values() if len({*row.outputs, *row.losses}) > 1]
    if not together:
        raise WorkbenchError("No held-out row of the first run was answered by another one.")
    chosen = choose(together, settings_of(found[0].result), Problems(), {})
    losses = measures.losses() if any(row.losses for row in together) else []
    table = Table.of(together, [*losses, *chosen.measures], names)
    compared = table.comparisons(range(len(together)), seed)
    corrected(compared)
    common = [n for n, row in enumerate(together) if _of_all(row, names)]
    return {
        "rows": len(common),
        "figures": table.figures(common, seed) if common else {},
        "comparisons": compared,
    }


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: list[Row]
    dataset: str
    result: Mapping[str, Any]


def _rows(one: Evaluated) -> _Rows:
    """The rows of an evaluation with what the run itself answered, under its name."""
    result = read_json_object(one.folder / SCORES)
    path, lost = one.folder / OUTPUTS, one.folder / LOSSES
    answered = rowing.read_outputs(path) if path.exists() and path.stat().st_size else []
    together = rowing.together(answered, rowing.read_losses(lost) if lost.exists() else [])
    rows = [
        replace(
            row,
            outputs=_own(row.outputs, one),
            losses=_own(row.losses, one),
            stopped=_own(row.stopped, one),
            tokens=_own(row.tokens, one),
        )
        for row in together
    ]
    return _Rows(rows, str(result.get("dataset", "")), result)


def _own(of: Mapping[str, Any], one: Evaluated) -> dict[str, Any]:
    return {one.run: of[one.system]} if one.system in of else {}


def _by_key(found: _Rows) -> dict[Place, Row]:
    return {(row.key,): row for row in found.rows}


def _placed(
    found: _Rows, first: Mapping[Place, Row], same_data: bool
) -> Iterator[tuple[Place, Row]]:
    """The rows of an evaluation with where the first one has the same."""
    mine = _by_key(found)
    if same_data:
        yield from ((p, row) for p, row in mine.items() if p in first and _alike(first[p], row))
        return
    known = dict(_asked(first))
    for asked, place in _asked(mine):
        if asked in known:
            yield known[asked], mine[place]


def _asked(rows: Mapping[Place, Row]) -> Iterator[tuple[tuple[str, tuple[str, ...], int], Place]]:
    """What each row asks and wants, and which time that is."""
    seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for place, row in rows.items():
        if row.prompt:
            text = (row.prompt, row.references)
            yield (*text, seen[text]), place
            seen[text] += 1


def _alike(one: Row, other: Row) -> bool:
    return not one.prompt or not other.prompt or one.prompt == other.prompt


def _with(row: Row, other: Row, run: str) -> Row:
    """The row with what another run answered to it. Losses are of so many tokens: those of another
    tokenizer say nothing beside these."""
    losses = dict(row.losses)
    if other.trained_tokens == row.trained_tokens and run in other.losses:
        losses[run] = other.losses[run]
    return replace(
        row,
        prompt=row.prompt or other.prompt,
        references=row.references or other.references,
        outputs={**row.outputs, **other.outputs},
        stopped={**row.stopped, **other.stopped},
        tokens={**row.tokens, **other.tokens},
        losses=losses,
    )


def _of_all(row: Row, names: Sequence[str]) -> bool:
    return all(name in row.outputs or name in row.losses for name in names)
