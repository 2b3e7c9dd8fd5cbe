"""Parquet, folders that `datasets` saved, and data sets of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.data.raw import RawRow, plain_name, plain_value, size
from workbench.errors import WorkbenchError


def read_parquet(path: Path) -> Iterator[RawRow]:
    import pyarrow
    from pyarrow import parquet

    name = plain_name(path)
    try:
        file = parquet.ParquetFile(path)
        whole, rows = size(path), file.metadata.num_rows
        number = 0
        for batch in file.iter_batches(1000):
            for value in batch.to_pylist():
                number += 1
                place = f"{name}:row {number}"
                yield RawRow(place, plain_value(value), "", whole * number // rows)
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} has text that is not UTF-8: {error}.") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"{path} is not Parquet that can be read: {reason}") from error


def read_datasets_folder(path: Path) -> Iterator[RawRow]:
    if not ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
        raise WorkbenchError(
            f"{path} is a folder, but not one that `datasets` saved.",
            "Name a file, or a folder that Dataset.save_to_disk wrote.",
        )
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever its readers of JSON and Arrow raise
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"{path} can't be read by `datasets`: {reason}") from error
    name = plain_name(path)
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    whole, count, done = size(path), sum(map(len, splits.values())), 0
    for split, rows in splits.items():
        for number, value in enumerate(rows, start=1):
            done += 1
            place = f"{name}{f'/{split}' if split else ''}:row {number}"
            yield RawRow(place, plain_value(value), "", whole * done // count)
