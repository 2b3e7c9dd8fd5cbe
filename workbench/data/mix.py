"""Mixtures: how many training rows of each task or source, and which.

With the sizes n_i, at most the cap K each, a part's share is in proportion to min(n_i, K)^(1/T):
examples-proportional mixing with its artificial limit K at T = 1, temperature-scaled mixing above
it, near equal mixing for a large T (Raffel et al., Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer, JMLR 2020, section 3.5.2; the same for languages: Arivazhagan et
al., Massively Multilingual Neural Machine Translation in the Wild, 2019). Or the shares are given
as weights.

A row that is taken k times stands k times in the version, one line after another: an epoch over
the version is then an epoch over the mixture, and its order, its resume and its losses by line
need to know nothing of it. Rows are named by what is learnt from them, so an edit, a removal or a
redaction is of all of them. Validation rows stay as they are.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data import split
from workbench.data.example import Example
from workbench.data.making import Change, Gone, Times
from workbench.data.recipe import FileSource, HubSource, Mix, Source
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, watched

MOST_EPOCHS = 4
"""Repeated up to so often, data is nearly as good as new data; of more repeats less and less is
left (Muennighoff et al., Scaling Data-Constrained Language Models, NeurIPS 2023)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A task or a source in a mixture."""

    name: str
    rows: int
    """Training rows that there are."""
    used: int
    """Of them, those that may be taken: no more than the cap."""
    taken: int
    """Rows of the mixture, with repeats."""

    @property
    def epochs(self) -> float:
        """How often each row that is there is seen in a pass over the mixture, on average."""
        return self.taken / self.rows

    @property
    def repeats(self) -> float:
        """How often each row that is taken is seen in a pass, on average: more than `epochs` under
        a cap."""
        return self.taken / self.used

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "used": self.used,
            "taken": self.taken,
            "epochs": round(self.epochs, 4),
            "repeats": round(self.repeats, 4),
        }


def plan(sizes: Mapping[str, int], step: Mix) -> list[Part]:
    """How many rows of each part a mixture takes, with `sizes` the training rows that there are.

    They add up to `step.rows`, or else to the rows that count; of each part it is one at least.
    Raises WorkbenchError for weights of parts that aren't there, or not of all, and for fewer rows
    than parts.
    """
    names = sorted(name for name, size in sizes.items() if size)
    if not names:
        raise WorkbenchError("There is no row to train on that could be mixed.")
    used = {name: min(sizes[name], step.cap or sizes[name]) for name in names}
    wanted = sum(used.values()) if step.rows is None else step.rows
    if wanted < len(names):
        raise WorkbenchError(f"{wanted:,} rows are too few for {len(names):,} {step.by}s.")
    if step.weights:
        rates = _weights(names, step)
    else:
        # By the largest, so that no power is out of a float's range.
        largest = max(used.values())
        rates = {name: (used[name] / largest) ** (1 / step.temperature) for name in names}
    taken = _apportioned(rates, wanted)
    return [Part(name, sizes[name], used[name], taken[name]) for name in names]


def _weights(names: Sequence[str], step: Mix) -> dict[str, float]:
    """The weight of each part, by its name or by the dataset's without the version."""
    found, known = {}, set()
    for name in names:
        keys = [name, name.partition("@")[0]] if step.by == "source" else [name]
        for key in keys:
            if key in step.weights:
                found[name] = step.weights[key]
                known.add(key)
                break
    listed = ", ".join(name or "(none)" for name in names)
    if unknown := sorted(step.weights.keys() - known):
        raise WorkbenchError(
            f"There is no {step.by} {unknown[0]} with rows to train on.", f"There are {listed}."
        )
    if missing := [name or "(none)" for name in names if name not in found]:
        raise WorkbenchError(
            f"The {step.by} {missing[0]} has no weight.", f"Give one to each of {listed}."
        )
    return found


def _apportioned(rates: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to the rates that add up to `total`, none of them 0: by largest
    remainders."""
    # One row each first: a part that rounding leaves out would be gone in silence.
    whole = sum(rates.values())
    exact = {name: rate / whole * total for name, rate in rates.items()}
    counts = {name: max(1, int(share)) for name, share in exact.items()}
    by_need = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for place in range(total - sum(counts.values())):
        counts[by_need[place % len(by_need)]] += 1
    while sum(counts.values()) > total:
        several = [name for name in counts if counts[name] > 1]
        counts[max(several, key=lambda name: (counts[name] - exact[name], name))] -= 1
    return counts


@dataclass(frozen=True)
class Mixture:
    """Rows on their way into a mixture."""

    parts: Sequence[Part]
    names: Sequence[str]
    """What the numbers of `of_row` stand for."""
    of_row: array[int]
    """Of each training row the number of its part; of a validation row -1."""
    times: array[int]
    """How often each row is there."""

    def changes(self) -> Iterator[Change]:
        """What becomes of the rows that aren't there just once."""
        by_name = {part.name: part for part in self.parts}
        for place, (number, count) in enumerate(zip(self.of_row, self.times, strict=True)):
            if number >= 0 and count == 0:
                part = by_name[self.names[number]]
                called = part.name or "(none)"
                yield place, Gone(f"{part.taken:,} of the {part.rows:,} rows of {called} are taken")
            elif count > 1:
                yield place, Times(count)

    def to_json(self) -> list[dict[str, Any]]:
        return [part.to_json() for part in self.parts]


def mixture(rows: Sequence[Example], names: Iterable[str], step: Mix, tell: Tell) -> Mixture:
    """The mixture of `rows`, whose tasks or sources are `names`.

    Of each part every row is taken as often as goes evenly, and of the rest those with the least
    hash of seed and content. So the order of the rows decides nothing, and rows that are added
    take the place of few others. 20 bytes of memory a row. Raises WorkbenchError as `plan` does.
    """
    import numpy as np

    numbers: dict[str, int] = {}
    of_row, hashes, sizes = array("i"), array("Q"), Counter[str]()
    for example, name in zip(watched(rows, "mixing", tell), names, strict=True):
        trained = example.split == split.TRAIN
        sizes[name] += trained
        of_row.append(numbers.setdefault(name, len(numbers)) if trained else -1)
        digest = hashlib.sha256(f"{step.seed}/{example.id}".encode()).digest()
        hashes.append(int.from_bytes(digest[:8]))
    parts = plan(sizes, step)
    owners, keys = np.array(of_row, np.int32), np.array(hashes, np.uint64)
    times = np.where(owners < 0, 1, 0).astype(np.uint32)
    for part in parts:
        own = np.flatnonzero(owners == numbers[part.name])
        chosen = own[np.argsort(keys[own], kind="stable")][: part.used]
        whole, rest = divmod(part.taken, part.used)
        times[chosen] = whole
        times[chosen[:rest]] += 1
    return Mixture(parts, list(numbers), of_row, array("I", times.tobytes()))


def labels(sources: Sequence[Source]) -> list[str]:
    """What each source is called in a mixture: its dataset version, its id of the hub, or its
    file's name; the path where two files have one name."""
    named = Counter(source.path.name for source in sources if isinstance(source, FileSource))
    return [_label(source, named) for source in sources]


def _label(source: Source, named: Counter[str]) -> str:
    if isinstance(source, FileSource):
        return source.path.name if named[source.path.name] == 1 else str(source.path)
    return source.hub if isinstance(source, HubSource) else source.dataset
