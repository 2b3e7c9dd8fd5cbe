"""The verdict of a whole dataset under a base's template, before anything is trained on it.

Every row is encoded once, and what decides a cutoff is kept beside the version, in
`datasets/NAME/VERSION/verdicts/KEY/`: `verdict.json` and, of each row, `rows.u32`. KEY is a SHA-256
over the tokenizer, the template and the date that it writes, what ends an answer and the version
of this code; the rows are the version's own. So nothing there is ever out of date.
"""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections import defaultdict
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.data.gate_findings import LISTED, GateFinding
from workbench.data.lengths import TRUNCATE, LengthCounts, Lengths
from workbench.data.measure_worker import Measured, measure
from workbench.data.template import ChatTemplate
from workbench.data.verdict_findings import findings_of
from workbench.data.versions import DATA, SPLITS, Version
from workbench.errors import WorkbenchError
from workbench.files import building_folder, explain_os_error, read_json_object, writing
from workbench.jobs.progress import Tell, untold

CODE = 1
"""Of the code that measures rows; raised whenever it would say something else of one."""
PHASE = "measuring rows"
_VERDICT, _ROWS = "verdict.json", "rows.u32"
_FOLDER = "verdicts"
_DIGITS = 12
_NAMED = 1000
"""Refused rows of a kind that are named; the others are counted."""
_COLUMNS = 5
"""Of rows.u32, each 4 bytes, little end first: tokens, trained tokens, the place of the first
trained one, the place after the last, and the split (0 train, 1 validation); 0 tokens for a row
that is refused."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows of one kind that can't be trained on as they are."""

    count: int
    first: tuple[tuple[int, str, str], ...]
    """Number from 1, source, reason."""


@dataclass(frozen=True)
class Verdict:
    """What is known of a version's rows under one template."""

    folder: Path
    dataset: str
    """`NAME@VERSION`."""
    rows: int
    parts: tuple[dict[str, Any], ...]
    """Of each split and task: `split`, `task`, `rows`, `refused`, `tokens`, `trained_tokens`."""
    refused: dict[str, Refused]
    """By kind, as MaskError has them."""
    lengths: dict[str, Lengths]
    """By split; of all rows under an empty name. Refused rows are in none."""

    def findings(
        self,
        cutoff: int | None = None,
        too_long: str = TRUNCATE,
        base: str = "default",
        listed: int = LISTED,
    ) -> list[GateFinding]:
        """What is to be said of the set, good or bad, where no row may have more than `cutoff`
        tokens (None: any length) and longer ones are handled as `data.too_long` says; `base` is
        the name that the commands in it have, and `listed` rows are named of each.

        Reads the rows' lengths from disk where some are too long. Raises WorkbenchError when
        these can't be read.
        """
        return list(findings_of(self, cutoff, too_long, base, listed))

    def rows_where(self, cutoff: int, *, lost: bool, most: int) -> list[tuple[int, str, int]]:
        """The first `most` rows of more than `cutoff` tokens, or of those that lose a trained token
        then: number from 1, source, tokens."""
        table, found = self.table, []
        for place in range(0, len(table), _COLUMNS):
            tokens, end = table[place], table[place + 3]
            if (end if lost else tokens) > cutoff:
                found.append((place // _COLUMNS, tokens))
                if len(found) == most:
                    break
        by = sources(self.folder.parent.parent / DATA, {row for row, _ in found})
        return [(row + 1, by[row], tokens) for row, tokens in found]

    def split_of(self, row: int) -> str:
        """The split of a row, from 0."""
        return SPLITS[self.table[row * _COLUMNS + 4]]

    @cached_property
    def table(self) -> array[int]:
        """`rows.u32`, a row after another."""
        return _read_table(self.folder / _ROWS, self.rows)

    def to_json(self) -> dict[str, Any]:
        """Figures and lengths, for `--json`."""
        return {
            "dataset": self.dataset,
            "rows": self.rows,
            "parts": list(self.parts),
            "refused": {kind: list(of.first) for kind, of in self.refused.items()},
            "lengths": {
                name or "all": {"rows": of.rows, "tokens": of.tokens, **of.spread()}
                for name, of in self.lengths.items()
            },
            "folder": str(self.folder),
        }


def find(version: Version, template: ChatTemplate) -> Verdict | None:
    """The verdict that is there; None where nobody has asked for it yet."""
    folder = _folder(version, template)
    return read(folder) if folder.exists() else None


def look(version: Version, template: ChatTemplate, tell: Tell = untold) -> Verdict:
    """The verdict of a version's rows, from disk or made now, by a process a core where there is
    much to do.

    Raises what `tell` raises, with nothing written, and WorkbenchError when it can't be written
    or a line is none that workbench wrote.
    """
    folder = _folder(version, template)
    if not folder.exists():
        try:
            with building_folder(folder) as building:
                _write(building, version, template, tell)
        except WorkbenchError:
            # Somebody else may have been faster.
            if not folder.exists():
                raise
    return read(folder)


def read(folder: Path) -> Verdict:
    """The verdict in a folder. Raises WorkbenchError when that holds none."""
    body = read_json_object(folder / _VERDICT)
    try:
        lengths = {split: Lengths.from_json([of]) for split, of in body["lengths"].items()}
        refused = {
            kind: Refused(
                of["count"], tuple((row, source, why) for row, source, why in of["first"])
            )
            for kind, of in body["refused"].items()
        }
        return Verdict(
            folder,
            dataset=body["dataset"],
            rows=body["rows"],
            parts=tuple(body["parts"]),
            refused=refused,
            lengths={**lengths, "": Lengths.from_json(body["lengths"].values())},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkbenchError(
            f"{folder / _VERDICT} was changed: it describes no verdict.",
            f"Remove {folder}, and look again.",
        ) from error


def _folder(version: Version, template: ChatTemplate) -> Path:
    import jinja2
    import tokenizers

    decisive = [
        template.encoding_key(),
        sorted(template.stop_ids),
        [CODE, tokenizers.__version__, jinja2.__version__],
    ]
    digest = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
    return version.folder / _FOLDER / digest[:_DIGITS]


class _Counts:
    """What is counted of rows, in their order."""

    def __init__(self) -> None:
        self.rows = 0
        self.parts: dict[tuple[str, str], dict[str, int]] = {}
        self.refused: dict[str, dict[str, Any]] = {}
        self.lengths: dict[str, LengthCounts] = defaultdict(LengthCounts)

    def add(self, row: Measured) -> list[int]:
        """Take in a row; returns its line of rows.u32."""
        self.rows += 1
        split = row["split"]
        part = self.parts.setdefault(
            (split, row["task"]), {"rows": 0, "refused": 0, "tokens": 0, "trained_tokens": 0}
        )
        part["rows"] += 1
        if "refused" in row:
            kind, source, why = row["refused"]
            of = self.refused.setdefault(kind, {"count": 0, "first": []})
            of["count"] += 1
            if len(of["first"]) < _NAMED:
                of["first"].append([self.rows, source, why])
        if "tokens" not in row:
            part["refused"] += 1
            return [0, 0, 0, 0, SPLITS.index(split)]
        tokens, runs = row["tokens"], row["runs"]
        trained = sum(runs[1::2]) - sum(runs[::2])
        part["tokens"] += tokens
        part["trained_tokens"] += trained
        self.lengths[split].add(tokens, runs)
        return [tokens, trained, runs[0], runs[-1], SPLITS.index(split)]

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "parts": [
                {"split": split, "task": task, **part} for (split, task), part in self.parts.items()
            ],
            "refused": self.refused,
            "lengths": {split: counts.to_json() for split, counts in self.lengths.items()},
        }


def _write(folder: Path, version: Version, template: ChatTemplate, tell: Tell) -> None:
    counts = _Counts()
    tell(PHASE, 0, version.rows, "rows")
    # Closed at once where `tell` ends the work: no worker goes on.
    with (
        writing(folder / _ROWS) as stream,
        closing(measure(version.data_path, template, folder)) as batches,
    ):
        for rows in batches:
            stream.write(_bytes(array("I", (n for row in rows for n in counts.add(row)))))
            tell(PHASE, counts.rows, version.rows, "rows")
    about = {"v": 1, "dataset": version.reference, "template": template.fingerprint()}
    # In one line: of many lengths each would have a line of its own.
    text = json.dumps({**about, **counts.to_json()}, ensure_ascii=True)
    (folder / _VERDICT).write_text(f"{text}\n", encoding="utf-8")


def _bytes(table: array[int]) -> bytes:
    if sys.byteorder == "big":
        table.byteswap()
    return table.tobytes()


def _read_table(path: Path, rows: int) -> array[int]:
    table = array("I")
    try:
        table.frombytes(path.read_bytes())
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except ValueError:
        table = array("I")
    if len(table) != rows * _COLUMNS:
        raise WorkbenchError(
            f"{path} was changed: it is not of {rows:,} rows.",
            f"Remove {path.parent}, and look again.",
        )
    if sys.byteorder == "big":
        table.byteswap()
    return table


def sources(path: Path, wanted: Collection[int]) -> dict[int, str]:
    """Where the rows of a version's data file, named from 0, come from."""
    last = max(wanted, default=-1)
    with path.open("rb") as stream:
        lines = enumerate(islice(stream, last + 1))
        return {row: json.loads(line).get("source", "") for row, line in lines if row in wanted}
