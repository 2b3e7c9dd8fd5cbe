"""The rows of a recipe's sources, and what is wrong with those that can't be examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from workbench.data import hub, readers, repairs, split, versions
from workbench.data.example import Example
from workbench.data.formats import Converted, RowError, convert
from workbench.data.making import Making
from workbench.data.raw import RawRow, size
from workbench.data.reasons import Reasons
from workbench.data.recipe import DatasetSource, FileSource, HubSource, RowSource, Source
from workbench.data.table import Table
from workbench.data.turns import UNRECOGNISED
from workbench.data.versions import Removed, Step
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell
from workbench.workspace import Workspace

PAIRS = "preference_pairs"
"""In what is said of this step: how many rows were."""
_LISTED = 5
"""Bad rows that an error names; of more it gives the reasons with counts."""
_REASONS = 12
"""Reasons that an error gives."""
_MAPPING = (
    "Say which field is what: `--map prompt=FIELD --map response=FIELD`, or `--map messages=FIELD` "
    "for a list of turns, or `--map text=FIELD`."
)


class Reading:
    """The rows of all sources, one after another."""

    def __init__(
        self,
        workspace: Workspace,
        sources: Sequence[Source],
        tell: Tell,
        *,
        skip_bad: bool,
        kinds: Sequence[str] = (),
    ) -> None:
        """`kinds` are the repairs that rows may be mended by."""
        self._workspace = workspace
        self.sources = list(sources)
        """As they are found: once they are read, those of the hub name their commit."""
        self._skip_bad = skip_bad
        self._kinds = kinds
        self._tell = tell
        self._count = 0
        self._kept = [0] * len(sources)
        self._mended: Counter[str] = Counter()
        """Rows by the repairs that they took."""
        self._made = 0
        """Examples of rows that were mended."""
        self._pairs = 0
        self._bad = 0
        self._origins = array("I")
        """Of each row the place of its source."""
        self._listed: list[Removed] = []
        """The first bad rows."""
        self._reasons = Reasons()
        self._unrecognised = False

    def into(self, rows: Making) -> None:
        """Raises WorkbenchError when a source can't be read, for rows that can't be examples
        (unless they may be skipped), and for a split without rows."""
        rows.read(self._rows())
        rows.origins = self._origins
        whole = len(rows.table)
        pairs = {PAIRS: self._pairs} if self._pairs else {}
        rows.steps.append(Step("read", self._count, whole - self._made, pairs))
        if self._kinds:
            about = {"kinds": list(self._kinds), "mended": dict(self._mended)}
            rows.steps.append(Step("repair", whole - self._made, whole, about, self._made))
        if self._bad and (not self._skip_bad or not any(self._kept)):
            raise self._refusal()
        for part in (split.TRAIN, split.VALIDATION):
            of_part = [
                (source, kept)
                for source, kept in zip(self.sources, self._kept, strict=True)
                if isinstance(source, RowSource) and source.split == part
            ]
            if of_part and not any(kept for _, kept in of_part):
                raise WorkbenchError(f"There are no rows in {_names(s for s, _ in of_part)}.")

    def _rows(self) -> Iterator[Example | Removed]:
        sizes = [self._size(source) for source in self.sources]
        behind, total = 0, sum(sizes)
        self._tell("reading", 0, total, "bytes")
        for number, (source, whole) in enumerate(zip(self.sources, sizes, strict=True)):
            if isinstance(source, DatasetSource):
                yield from self._from(number, self._rows_of(source, number))
            else:
                for raw in self._raw(source, number):
                    self._count += 1
                    yield from self._from(number, self._convert(raw, source, number))
                    self._tell("reading", min(behind + raw.reached, total), total, "bytes")
            behind += whole
            self._tell("reading", behind, total, "bytes")

    def _from(self, number: int, rows: Iterable[Example | Removed]) -> Iterator[Example | Removed]:
        """The rows, noted down as those of source `number`."""
        for row in rows:
            if isinstance(row, Example):
                self._origins.append(number)
            yield row

    def _raw(self, source: RowSource, number: int) -> Iterator[RawRow]:
        if isinstance(source, HubSource):
            found = hub.find(source.hub, source.config, source.part, source.revision, self._tell)
            as_found = {"revision": found.commit or source.revision, "part": found.part}
            self.sources[number] = source.model_copy(update=as_found)
            return hub.read(source.hub, found)
        return readers.read(source.path, source.encoding)

    def _size(self, source: Source) -> int:
        if isinstance(source, FileSource):
            return size(source.path)
        if isinstance(source, HubSource):
            return 0  # nobody knows before it is here
        return size(versions.resolve(self._workspace, source.dataset).data_path)

    def _rows_of(self, source: DatasetSource, number: int) -> Iterator[Example]:
        version = versions.resolve(self._workspace, source.dataset)
        versions.verify(version)
        for example in Table(version.data_path):
            self._count += 1
            self._kept[number] += 1
            yield example

    def _convert(self, raw: RawRow, source: RowSource, number: int) -> Iterator[Example | Removed]:
        problem = raw.problem
        useful: tuple[str, ...] = ()
        if not problem:
            try:
                made = _converted(raw, source, self._kinds)
            except RowError as error:
                problem = str(error)
                self._unrecognised |= error.fault == UNRECOGNISED
                useful = _useful(raw, source) if error.fault else ()
            else:
                self._kept[number] += len(made.examples)
                self._pairs += made.pair
                if made.repairs:
                    self._mended["+".join(made.repairs)] += 1
                    self._made += len(made.examples)
                yield from (replace(example, split=source.split) for example in made.examples)
                return
        bad = Removed("read", raw.place, problem, raw.value, useful)
        self._bad += 1
        self._reasons.add(bad)
        if len(self._listed) < _LISTED:
            self._listed.append(bad)
        yield bad

    def _refusal(self) -> WorkbenchError:
        names, bad, lines = _names(self.sources), self._bad, self._lines()
        offer = self._reasons.offer("--repair")
        hints = [offer] if offer else []
        if self._unrecognised:
            hints.append(_MAPPING)
        if bad == self._count:
            if all(
                row.reason.startswith("it is not") and ":row " not in row.source
                for row in self._listed
            ):
                return WorkbenchError(
                    f"{names} is not JSONL:\n{lines}",
                    "JSONL has one JSON object in each line. JSON, CSV, TSV and Parquet are told "
                    "by the end of the name.",
                )
            return WorkbenchError(f"No row of {names} can be used:\n{lines}", "\n".join(hints))
        hints.append(
            "Mend them, or leave them out with --skip-bad: they are kept aside with their reasons."
        )
        return WorkbenchError(
            f"{bad:,} of {self._count:,} rows of {names} can't be used:\n{lines}",
            "\n".join(hints),
        )

    def _lines(self) -> str:
        """The bad rows, or where there are many the reasons with counts."""
        if self._bad <= _LISTED:
            return "\n".join(f"  {row.source}: {row.reason}" for row in self._listed)
        groups = self._reasons.groups
        lines = [f"  {g.count:,} × {g.reason} (first {g.first})" for g in groups[:_REASONS]]
        more = sum(group.count for group in groups[_REASONS:])
        return "\n".join([*lines, *([f"  and {more:,} for other reasons"] if more else [])])


def _converted(raw: RawRow, source: RowSource, kinds: Sequence[str]) -> Converted:
    return convert(
        raw.value, task=source.task, source=raw.place, mapping=source.mapping, kinds=kinds
    )


def _useful(raw: RawRow, source: RowSource) -> tuple[str, ...]:
    """The repairs that would make an example of a row; none where they wouldn't."""
    try:
        return _converted(raw, source, repairs.NAMES).repairs
    except RowError:
        return ()


def _names(sources: Iterable[Source]) -> str:
    return ", ".join(map(name_of, sources))


def name_of(source: Source) -> str:
    """A source as messages name it."""
    if isinstance(source, FileSource):
        return str(source.path)
    return source.hub if isinstance(source, HubSource) else source.dataset
