"""Scores of what is stored: an evaluation's folder, or a file of outputs from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.data import versions
from workbench.data.curate import contamination, store
from workbench.data.example import Example
from workbench.data.split import TRAIN, VALIDATION
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.evaluation import rows as rowing
from workbench.evaluation.labels import Tally
from workbench.evaluation.names import Settings
from workbench.evaluation.request import SCORES
from workbench.evaluation.rows import LOSSES, OUTPUTS, Row
from workbench.evaluation.scoring import Scored, score
from workbench.files import read_json_object, write_json, write_text
from workbench.jobs.progress import Tell, untold
from workbench.tracking import runs
from workbench.workspace import Workspace

ROWS = "scores.jsonl"
_CARRIED = ("loss", "perplexity")


@dataclass(frozen=True, slots=True)
class Data:
    """What the dataset says of held-out rows."""

    trained: Iterable[Example] | None = None
    """The rows that were trained on, read anew each time."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    contaminated: Mapping[str, bool] = field(default_factory=dict)
    """By the key of a validation row; empty where nobody looked."""


_NONE = Data()


def score_folder(
    folder: Path,
    settings: Settings | None = None,
    data: Data = _NONE,
    *,
    seed: int = 0,
    tell: Tell = untold,
) -> Scored:
    """Score the outputs and losses in an evaluation's folder.

    Without `settings` by those that it was scored by before. Of an evaluation that kept no losses
    by row, the figures of loss are those that it has. Raises WorkbenchError for damaged files, and
    as `scoring.score` does.
    """
    known = read_json_object(folder / SCORES) if (folder / SCORES).exists() else {}
    answered = rowing.read_outputs(folder / OUTPUTS) if _has_rows(folder / OUTPUTS) else []
    lost = rowing.read_losses(folder / LOSSES) if (folder / LOSSES).exists() else []
    together = rowing.together(answered, lost)
    looked_at = with_contamination(together, data)
    if settings is None:
        settings = settings_of(known)
    scored = score(
        looked_at, settings, seed=seed, labels=data.labels, trained=data.trained, tell=tell
    )
    if not lost and known:
        _carry(known, scored.result)
    return scored


def score_file(path: Path, settings: Settings, data: Data = _NONE, *, seed: int = 0) -> Scored:
    """Score a file of outputs, as `rows.read_outputs` reads it. Raises WorkbenchError as that
    and `scoring.score` do."""
    rows = rowing.read_outputs(path)
    return score(rows, settings, seed=seed, labels=data.labels, trained=data.trained)


def save(folder: Path, scored: Scored, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write what was measured into an evaluation's folder, and return it; `about` is what else its
    result holds, such as how the outputs were made."""
    result = {**about, **scored.result}
    lines = (json.dumps(row, ensure_ascii=False) for row in scored.rows)
    write_text(folder / ROWS, "".join(f"{line}\n" for line in lines))
    # Last: it says that all is there.
    write_json(folder / SCORES, result)
    return result


def settings_of(result: Mapping[str, Any]) -> Settings:
    """The settings that a result was made by; the defaults of one from before there were any."""
    known = result.get("settings") or {}
    return Settings(
        metrics=tuple(known.get("metrics", ())),
        labels=tuple(known.get("labels", ())),
        pattern=known.get("pattern", ""),
    )


def data_of(version: Version, train_rows: int | None = None) -> Data:
    """What a dataset version says: its training rows (the first `train_rows`), its labels, and
    which validation rows a training row holds, where the check of contamination has looked."""
    found = _contaminated_rows(version)
    tallies: dict[str, Tally] = {}
    contaminated: dict[str, bool] = {}
    place = 0
    for number, example in enumerate(versions.read(version)):
        if example.response:
            tallies.setdefault(example.task, Tally()).add(example.response)
        if example.split == VALIDATION:
            if found is not None:
                contaminated[f"validation-{place}"] = number in found
            place += 1
    labels = {task: names for task, tally in tallies.items() if (names := tally.labels())}
    return Data(_Trained(version, train_rows), labels, contaminated)


def data_of_run(run: Path) -> Data:
    """What the dataset of a run says; nothing where it isn't here any more: the outputs are enough
    to be scored."""
    try:
        config = runs.load_config(run)
        version = versions.resolve(Workspace(run.parent.parent), config.data.dataset)
        return data_of(version, config.data.train_rows)
    except WorkbenchError:
        return _NONE


class _Trained:
    """The training rows of a version, none of which is kept."""

    def __init__(self, version: Version, limit: int | None) -> None:
        self._version, self._limit = version, limit

    def __iter__(self) -> Iterator[Example]:
        return islice(versions.read(self._version, TRAIN), self._limit)

    def __len__(self) -> int:
        rows = self._version.splits.get(TRAIN, 0)
        return rows if self._limit is None else min(rows, self._limit)


def _contaminated_rows(version: Version) -> set[int] | None:
    """The rows of a version that a training row holds, from 0; None where nobody looked."""
    for found in store.list_findings(version):
        if found.check == contamination.NAME:
            return {
                finding.other.row
                for finding in found.read()
                if finding.other is not None and not finding.other.dataset
            }
    return None


def with_contamination(rows: Iterable[Row], data: Data) -> list[Row]:
    """Rows of an evaluation that say whether a training row holds them, where that is known."""
    return [
        replace(row, contaminated=data.contaminated.get(row.key, row.contaminated)) for row in rows
    ]


def _has_rows(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _carry(known: Mapping[str, Any], result: dict[str, Any]) -> None:
    for system, figures in result["systems"].items():
        before = known.get("systems", {}).get(system, {})
        kept = {name: before[name] for name in _CARRIED if name in before}
        result["systems"][system] = {**kept, **figures}
    result["rows"]["loss"] = known.get("rows", {}).get("loss", 0)
