"""The rows of a recipe's sources, and what is wrong with those that can't be examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from workbench.data import readers, split, versions
from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples
from workbench.data.making import Making
from workbench.data.readers import RawRow
from workbench.data.recipe import DatasetSource, FileSource, Source
from workbench.data.table import Table
from workbench.data.versions import Removed, Step
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell
from workbench.workspace import Workspace

_LISTED = 5
"""Bad rows that an error names; the count says how many there are."""


class Reading:
    """The rows of all sources, one after another."""

    def __init__(
        self, workspace: Workspace, sources: Sequence[Source], tell: Tell, *, skip_bad: bool
    ) -> None:
        self._workspace = workspace
        self._sources = sources
        self._skip_bad = skip_bad
        self._tell = tell
        self._count = 0
        self._kept: Counter[Source] = Counter()
        self._bad = 0
        self._origins = array("I")
        """Of each row the place of its source."""
        self._listed: list[Removed] = []
        """The first bad rows."""

    def into(self, rows: Making) -> None:
        """Raises WorkbenchError when a source can't be read, for rows that can't be examples
        (unless they may be skipped), and for a split without rows."""
        rows.read(self._rows())
        rows.origins = self._origins
        rows.steps.append(Step("read", self._count, len(rows.table), {}))
        if self._bad and (not self._skip_bad or not self._kept):
            names = _names(self._sources)
            raise _refusal(names, self._listed, self._bad, self._count)
        for part in (split.TRAIN, split.VALIDATION):
            of_part = [s for s in self._sources if isinstance(s, FileSource) and s.split == part]
            if of_part and not any(self._kept[source] for source in of_part):
                raise WorkbenchError(f"There are no rows in {_names(of_part)}.")

    def _rows(self) -> Iterator[Example | Removed]:
        sizes = [self._size(source) for source in self._sources]
        behind, total = 0, sum(sizes)
        self._tell("reading", 0, total, "bytes")
        for number, (source, size) in enumerate(zip(self._sources, sizes, strict=True)):
            if isinstance(source, DatasetSource):
                yield from self._from(number, self._rows_of(source))
            else:
                for raw in readers.read(source.path):
                    self._count += 1
                    yield from self._from(number, self._convert(raw, source))
                    self._tell("reading", min(behind + raw.reached, total), total, "bytes")
            behind += size
            self._tell("reading", behind, total, "bytes")

    def _from(self, number: int, rows: Iterable[Example | Removed]) -> Iterator[Example | Removed]:
        """The rows, noted down as those of source `number`."""
        for row in rows:
            if isinstance(row, Example):
                self._origins.append(number)
            yield row

    def _size(self, source: Source) -> int:
        if isinstance(source, FileSource):
            return readers.size(source.path)
        return readers.size(versions.resolve(self._workspace, source.dataset).data_path)

    def _rows_of(self, source: DatasetSource) -> Iterator[Example]:
        version = versions.resolve(self._workspace, source.dataset)
        versions.verify(version)
        for example in Table(version.data_path):
            self._count += 1
            self._kept[source] += 1
            yield example

    def _convert(self, raw: RawRow, source: FileSource) -> Iterator[Example | Removed]:
        problem = raw.problem
        if not problem:
            try:
                examples = to_examples(raw.value, task=source.task, source=raw.place)
            except RowError as error:
                problem = str(error)
            else:
                self._kept[source] += len(examples)
                yield from (replace(example, split=source.split) for example in examples)
                return
        bad = Removed("read", raw.place, problem, raw.value)
        self._bad += 1
        if len(self._listed) < _LISTED:
            self._listed.append(bad)
        yield bad


def _refusal(names: str, listed: Sequence[Removed], bad: int, count: int) -> WorkbenchError:
    lines = "\n".join(f"  {row.source}: {row.reason}" for row in listed)
    lines += f"\n  and {bad - len(listed):,} more" if bad > len(listed) else ""
    if bad == count:
        if all(row.reason.startswith("it is not") and ":row " not in row.source for row in listed):
            return WorkbenchError(
                f"{names} is not JSONL:\n{lines}",
                "JSONL has one JSON object in each line. JSON, CSV, TSV and Parquet are told "
                "by the end of the name.",
            )
        return WorkbenchError(f"No row of {names} can be used:\n{lines}")
    return WorkbenchError(
        f"{bad:,} of {count:,} rows of {names} can't be used:\n{lines}",
        "Mend them, or leave them out with --skip-bad: they are kept aside with their reasons.",
    )


def _names(sources: Iterable[Source]) -> str:
    return ", ".join(str(s.path) if isinstance(s, FileSource) else s.dataset for s in sources)
