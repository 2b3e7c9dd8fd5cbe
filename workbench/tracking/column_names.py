"""Which columns the names of a person mean in a list of runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from workbench.errors import WorkbenchError
from workbench.tracking.columns import BASE, OWN, Column, at, config_column, metric_column, paths
from workbench.tracking.listing import Line

USUAL = (
    "run",
    "state",
    "step",
    "loss",
    "first_validation_loss",
    "validation_loss",
    "rouge_l",
    "dataset",
    "base",
    "started",
    "tags",
)
_ALIASES = {
    "id": "run",
    "name": "run",
    "status": "state",
    "tag": "tags",
    "notes": "note",
    "alarm": "alarms",
    "trainloss": "loss",
    "trainingloss": "loss",
    "valloss": "validation_loss",
    "evalloss": "validation_loss",
    "bestvalidationloss": "validation_loss",
    "created": "started",
    "lora.r": "lora.rank",
    "r": "lora.rank",
    "lr": "training.learning_rate",
    "seed": "training.seed",
    "batch": "training.batch_size",
    "batchsize": "training.batch_size",
    "epochs": "training.epochs",
    "method": "training.method",
    "model": "base",
}
"""Other names, without signs between letters."""


def _plain(name: str) -> str:
    """A name as it is compared: in small letters, without spaces, `_` and `-`."""
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")


_BY_PLAIN = {_plain(name): name for name in OWN}


def find(name: str, lines: Sequence[Line]) -> Column:
    """The column that a name means in these runs.

    An own one, a metric of evaluations (`rouge_l`; `base.rouge_l` is the base model's), or a field
    of the config by its path or, where that is plain, its last part. Case, spaces, `_` and `-`
    don't count. Raises WorkbenchError with the nearest names where it means none, or several.
    """
    wanted = name.strip()
    known = _ALIASES.get(_plain(wanted), wanted)
    if (own := _BY_PLAIN.get(_plain(known))) is not None:
        return OWN[own]
    metric = _metric_name(known, lines)
    if metric is not None:
        return metric_column(metric)
    path = _config_path(known, lines)
    if path is not None:
        return config_column(path)
    raise _unknown(wanted, lines)


def _metric_name(name: str, lines: Sequence[Line]) -> str | None:
    system, _, metric = name.rpartition(".")
    known = {
        found
        for line in lines
        for of, scores in _measured(line)
        if not system or of == system
        for found in scores
    }
    found = next((one for one in sorted(known) if _plain(one) == _plain(metric)), None)
    return found and (f"{system}.{found}" if system else found)


def _config_path(name: str, lines: Sequence[Line]) -> str | None:
    """Raises WorkbenchError where the last part of several paths is meant."""
    if "." in name:
        wanted = _plain(name)
        if not lines:
            return name
        for line in lines:
            if at(line.config, name) is not None:
                return name
            for path in paths(line.config):
                if _plain(path) == wanted:
                    return path
        return None
    for line in lines:
        ending = [p for p in paths(line.config) if _plain(p.rpartition(".")[2]) == _plain(name)]
        if len(ending) > 1:
            raise WorkbenchError(
                f"Several fields of the config end with {name}.", f"Name {' or '.join(ending)}."
            )
        if ending:
            return ending[0]
    return None


def _unknown(name: str, lines: Sequence[Line]) -> WorkbenchError:
    known = {_plain(column.name): column.name for column in available(lines)}
    known |= {_plain(n): n for n in _ALIASES.values()}
    short = {_plain(n.rpartition(".")[2]): n for n in known.values()}
    near = difflib.get_close_matches(_plain(name), [*known, *short], 3, 0.6)
    names = dict.fromkeys(known.get(n) or short[n] for n in near)
    hint = f"Did you mean {', '.join(names)}?" if names else "`workbench runs columns` lists them."
    return WorkbenchError(f"No run has {name}.", hint)


def parse(text: str, lines: Sequence[Line]) -> list[Column]:
    """The columns of a text `run, lora.rank, rouge_l`. Raises WorkbenchError as `find` does."""
    asked = [part.strip() for part in text.split(",") if part.strip()]
    if not asked:
        raise WorkbenchError("No column is named.", "For example: run,state,lora.rank,rouge_l")
    found = [find(name, lines) for name in asked]
    return list({column.name: column for column in found}.values())


def chosen(saved: Sequence[str], lines: Sequence[Line]) -> list[Column]:
    """The columns that a person has saved (none: the usual ones). What no run has is an empty
    column: one that will have it may come."""
    found = []
    for name in saved or USUAL:
        try:
            found.append(find(name, lines))
        except WorkbenchError:
            found.append(config_column(name) if "." in name else metric_column(name))
    return list({column.name: column for column in found}.values())


def available(lines: Sequence[Line]) -> list[Column]:
    """Every column that these runs can have: their own, metrics, fields of the config."""
    metrics: dict[str, None] = {}
    fields: dict[str, None] = {}
    for line in lines:
        for system, scores in _measured(line):
            names = scores if system != BASE else (f"{BASE}.{name}" for name in scores)
            metrics.update(dict.fromkeys(names))
        fields.update(dict.fromkeys(paths(line.config)))
    return [
        *OWN.values(),
        *(metric_column(name) for name in sorted(metrics) if _plain(name) not in _BY_PLAIN),
        *map(config_column, fields),
    ]


def _measured(line: Line) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The figures of each system: of the newest evaluation, and of lm-evaluation-harness."""
    yield from line.summary.scores.items()
    yield from line.summary.harness.items()
