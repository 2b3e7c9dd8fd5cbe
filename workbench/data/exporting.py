"""A dataset version as files of the formats that are imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.data import dataset_info, schemas, writers
from workbench.data.example import Example
from workbench.data.reasons import Reasons
from workbench.data.table import Table
from workbench.data.versions import Removed, Version, verify
from workbench.errors import WorkbenchError
from workbench.files import building_folder, scratch_folder
from workbench.jobs.progress import Tell, untold, watched

_REASONS = 12
"""Reasons that an error gives."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a version is written."""

    schema: str = "rows"
    """One of `schemas.SCHEMAS`."""
    split: str = ""
    """The split whose rows are written; empty: all rows, for a file only if they are of one."""
    info: str = ""
    """The name of an entry in the `dataset_info.json` beside the file; empty: none is made."""


def check(version: Version, path: Path, options: Options) -> None:
    """Raises WorkbenchError for what can be told before a row is read."""
    schemas.check(options.schema)
    if path.exists():
        raise WorkbenchError(f"{path} exists already.", "Remove it first, or choose another name.")
    if options.split and options.split not in version.splits:
        known = ", ".join(version.splits)
        raise WorkbenchError(
            f"{version.reference} has no rows of the split {options.split!a}.", f"It has {known}."
        )
    if not path.suffix:
        if options.info:
            raise WorkbenchError("dataset_info.json names files: give the export a file's name.")
        return
    writers.check_suffix(path)
    if not options.split and len(version.splits) > 1:
        raise WorkbenchError(
            f"{version.reference} has rows of {' and '.join(version.splits)}, and {path.name} is "
            "one file.",
            "Choose one with --split; a folder, a name without an end, holds both.",
        )
    if options.info:
        dataset_info.check_addition(path, options.info)


def export(
    version: Version, path: Path, options: Options | None = None, tell: Tell = untold
) -> dict[str, Any]:
    """Write a version, whole, and return what was written: the rows by split, and the path.

    A path with an end is a file of that kind; one without is a folder as `Dataset.save_to_disk`
    writes it. Raises WorkbenchError, with nothing written, when rows can't be of that format, and
    for what `check` does.
    """
    options = options or Options()
    check(version, path, options)
    verify(version)
    rows = Table(version.data_path)
    columns, counts = _look(version, rows, options, tell)
    if path.suffix:
        writers.write(path, _rows(rows, options, options.split, tell), columns)
        if options.info:
            dataset_info.add(path, options.info, options.schema, columns.kinds)
    else:
        _write_folder(path, rows, options, columns, counts, tell)
    return {"reference": version.reference, "path": str(path), "rows": counts, **asdict(options)}


def _look(
    version: Version, rows: Table, options: Options, tell: Tell
) -> tuple[writers.Columns, dict[str, int]]:
    """The columns, and the rows by split. Raises WorkbenchError for rows that don't fit."""
    columns, counts, unfit = writers.Columns(), dict[str, int](), Reasons()
    for example in _chosen(rows, options.split, "looking whether the rows fit", tell):
        counts[example.split] = counts.get(example.split, 0) + 1
        try:
            columns.add(schemas.row_of(example, options.schema))
        except schemas.Unfit as error:
            unfit.add(Removed("read", example.source, str(error), None))
    if groups := unfit.groups:
        lines = [f"  {g.count:,} × {g.reason} (first {g.first})" for g in groups[:_REASONS]]
        more = sum(group.count for group in groups[_REASONS:])
        listed = "\n".join([*lines, *([f"  and {more:,} for other reasons"] if more else [])])
        bad, count = sum(group.count for group in groups), sum(counts.values())
        raise WorkbenchError(
            f"{bad:,} of {count:,} rows of {version.reference} don't fit the format "
            f"{options.schema}:\n{listed}",
            "Choose another: `rows` holds conversations of every kind and plain texts.",
        )
    return columns, counts


def _rows(rows: Table, options: Options, split: str, tell: Tell) -> Iterator[dict[str, Any]]:
    for example in _chosen(rows, split, "writing", tell):
        yield schemas.row_of(example, options.schema)


def _chosen(rows: Table, split: str, phase: str, tell: Tell) -> Iterator[Example]:
    return (row for row in watched(rows, phase, tell) if split in ("", row.split))


def _write_folder(
    path: Path,
    rows: Table,
    options: Options,
    columns: writers.Columns,
    counts: dict[str, int],
    tell: Tell,
) -> None:
    """A `DatasetDict` of the splits, as `datasets` saves it; of one split that was chosen its
    `Dataset`."""
    import datasets

    datasets.disable_progress_bars()
    with scratch_folder(path.parent / f"{path.name}-parts") as parts, building_folder(path) as made:
        loaded = {}
        for split in counts:
            file = parts / f"{split}.parquet"
            writers.write(file, _rows(rows, options, split, tell), columns)
            loaded[split] = datasets.Dataset.from_parquet(str(file), cache_dir=str(parts / "cache"))
        saved = loaded[options.split] if options.split else datasets.DatasetDict(loaded)
        saved.save_to_disk(str(made))
