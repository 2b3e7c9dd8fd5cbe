"""What can be done to the rows of a table: each step yields what becomes of which row.

The rows that a step says nothing of stay as they are. Steps read the table row by row, and keep
little of each.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from workbench.data import leakage, split
from workbench.data.curate.findings import Finding
from workbench.data.curate.redaction import Placeholders, redact
from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples, without_end_markers
from workbench.data.making import Change, Gone
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, watched


def strip_end_markers(rows: Sequence[Example], tell: Tell) -> Iterator[Change]:
    """Take another template's end markers off the responses."""
    for place, example in enumerate(watched(rows, "looking for end markers", tell)):
        stripped = without_end_markers(example)
        if stripped is not example:
            yield place, stripped


def exact_duplicates(
    rows: Sequence[Example], tell: Tell, keep: Collection[str] = ()
) -> Iterator[Change]:
    """Remove rows whose conversation or text came before, word for word, in the same split; those
    whose ids are in `keep` stay."""
    keys = array("Q", map(_content_key, watched(rows, "looking for duplicates", tell)))
    others: dict[int, list[int]] = {}
    for place, head in _alike_before(keys):
        example = rows[place]
        if keep and example.id in keep:
            continue
        candidates = [head, *others.get(head, ())]
        for first in map(rows.__getitem__, candidates):
            if (first.split, first.content) == (example.split, example.content):
                yield place, Gone(f"the same as {first.source}")
                break
        else:
            # The key leaves out tools and the ids of their calls; and by chance two rows have one.
            others.setdefault(head, []).append(place)


def _content_key(example: Example) -> int:
    content = example.text or [(m.role, m.written) for m in example.messages]
    return _number(json.dumps([example.split, content]).encode())


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _alike_before(keys: array[int]) -> Iterator[tuple[int, int]]:
    """The places whose key came before, in order, each with the first place of that key."""
    import numpy as np

    numbers = np.asarray(keys)
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    again = np.flatnonzero(numbers[1:] == numbers[:-1]) + 1
    # Those of one key stand beside each other, after the first of it.
    begins = np.diff(again, prepend=-1) != 1
    later, heads = order[again], order[again[begins] - 1][np.cumsum(begins) - 1]
    del numbers, order, again, begins
    by_place = np.argsort(later)
    yield from zip(later[by_place].data, heads[by_place].data, strict=True)


def assign_splits(
    rows: Sequence[Example], share: float, seed: int, key: Callable[[Example], str], tell: Tell
) -> Iterator[Change]:
    """Hold out about `share` of the rows for validation, as `split.held_out` does."""
    places, held_before = array("d"), bytearray()
    for example in watched(rows, "splitting", tell):
        places.append(split.place_of(example, seed, key))
        held_before.append(example.split == split.VALIDATION)
    for place, held_out in enumerate(split.held_out(places, share)):
        if held_out != held_before[place]:
            side = split.VALIDATION if held_out else split.TRAIN
            yield place, replace(rows[place], split=side)


def leaks(
    rows: Sequence[Example],
    tell: Tell,
    *,
    near_duplicates: float | None = None,
    keep: Collection[str] = (),
    scratch: Path | None = None,
) -> Iterator[Change]:
    """Remove training rows that ask what a validation row asks: they would inflate it; and those
    whose Jaccard similarity to one is at least `near_duplicates`. Those whose ids are in `keep`
    stay.

    `scratch` is as `Join` has it. Raises WorkbenchError when no training row would be left.
    """
    alike: Mapping[int, tuple[int, float]] = {}
    if near_duplicates is not None:
        alike = leakage.alike_across(rows, near_duplicates, tell, scratch)
    asked = split.asked(rows)
    left = 0
    for place, example in enumerate(watched(rows, "looking for leaks", tell)):
        found = split.leak(example, asked)
        if keep and example.id in keep:
            left += example.split == split.TRAIN
        elif found is not None:
            yield place, Gone(f"it has the prompt of the validation row {rows[found].source}")
        elif place in alike:
            other, similarity = alike[place]
            share = f"{100 * similarity:.0f} % of its threes of words"
            yield place, Gone(f"{share} are those of the validation row {rows[other].source}")
        else:
            left += example.split == split.TRAIN
    if not left:
        raise WorkbenchError("No training row is left: every prompt is in the validation files.")


def drop(
    rows: Sequence[Example], found: Iterable[Finding], kinds: Collection[str], keep: Collection[str]
) -> Iterator[Change]:
    """Remove the rows that findings, in the order of the rows, are about: of the `kinds`, or of
    any; the rows whose ids are in `keep` stay."""
    last = -1
    for finding in found:
        if finding.row == last or (kinds and finding.kind not in kinds):
            continue
        if keep and rows[finding.row].id in keep:
            continue
        last = finding.row
        yield finding.row, Gone(f"{finding.kind}: {finding.reason}")


def remove(
    rows: Sequence[Example], ids: Collection[str], reason: str, tell: Tell
) -> Iterator[Change]:
    """Remove the rows of these ids. Raises WorkbenchError for an id that no row has."""
    for place, _ in _named(rows, ids, tell):
        yield place, Gone(reason)


def edit(
    rows: Sequence[Example], edits: Mapping[str, dict[str, Any]], tell: Tell
) -> Iterator[Change]:
    """Put what a person wrote in place of the rows of these ids.

    Raises WorkbenchError for an id that no row has, and for fields that make no example.
    """
    for place, example in _named(rows, edits, tell):
        yield place, rewritten(example, edits[example.id])


def rewritten(example: Example, fields: Mapping[str, Any]) -> Example:
    """A row as a person rewrote it: what of it isn't among the fields stays.

    Raises WorkbenchError for fields that make no example.
    """
    try:
        made = to_examples({**fields, "task": fields.get("task", example.task)})
    except RowError as error:
        raise WorkbenchError(f"The edit of row {example.id} is no row: {error}.") from error
    if len(made) != 1:
        raise WorkbenchError(f"The edit of row {example.id} makes {len(made)} rows.")
    (new,) = made
    return replace(
        new,
        split=example.split,
        source=example.source,
        extra=example.extra,
        tools=new.tools or example.tools,
    )


def redacted(
    rows: Sequence[Example], found: Iterable[Finding], kinds: Collection[str], tell: Tell
) -> Iterator[Change]:
    """Put placeholders in place of what findings of these kinds, in the order of the rows, are
    about: the same one for the same value in all rows."""
    placeholders = Placeholders()
    for example in watched(rows, "looking for placeholders", tell):
        placeholders.reserve(example)
    of_kinds = (finding for finding in found if finding.kind in kinds)
    for row, findings in groupby(of_kinds, key=lambda finding: finding.row):
        example = rows[row]
        clean = redact(example, findings, placeholders)
        if clean != example:
            yield row, clean


def _named(
    rows: Sequence[Example], ids: Collection[str], tell: Tell
) -> Iterator[tuple[int, Example]]:
    """The rows of these ids, with their places."""
    missing = set(ids)
    for place, example in enumerate(watched(rows, "looking for the rows", tell)):
        if (id := example.id) in ids:
            missing.discard(id)
            yield place, example
    if missing:
        raise WorkbenchError(
            f"There is no row {min(missing)} where the recipe wants to change one.",
            "A row's id changes with its text: a step before this one may have changed it.",
        )
