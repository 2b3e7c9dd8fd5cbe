"""Near-duplicates: rows that say almost what another one says.

MinHash signatures find candidates; each is proved by the Jaccard similarity of what the two
rows hold, counted out. A row is compared with those before it that are no duplicates
themselves: a chain of small changes, each row alike to the next, makes no cluster of rows that
have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workbench.data.curate.findings import Finding, Other
from workbench.data.curate.words import WORD
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold, watched

NAME = "near-duplicates"
VERSION = 2
KINDS = ("same-words", "near-duplicate")
GRAM = 3
"""Words of a shingle. At 5 a text with one word in twenty changed is under the threshold:
mean similarity 0.67, where 3 gives 0.78."""
THRESHOLD = 0.7
LOWEST = 0.5
"""Below it the bands miss more than one pair in eight."""
PERMUTATIONS = 128
BANDS = 32
"""Bands of four: of pairs at a similarity of 0.7 all but 2 in 10,000 meet in one of them."""
_SEED = 1
_CHUNK = 512
"""Rows whose signatures are computed at once."""
_KEPT = 4096
"""Rows whose shingles are kept for the next comparison."""


@dataclass(frozen=True, slots=True)
class Options:
    """How near-duplicates are looked for. Raises WorkbenchError for a threshold at which they
    can't be found."""

    threshold: float = THRESHOLD
    """The least Jaccard similarity: what two rows share of all that they hold, in shingles."""

    def __post_init__(self) -> None:
        if not LOWEST <= self.threshold <= 1:
            raise WorkbenchError(
                f"The threshold must be from {LOWEST} to 1, not {self.threshold}.",
                f"{THRESHOLD} finds rows with one word in twenty changed; 1 those with the same "
                "words.",
            )


_DEFAULT = Options()


def annotate(
    rows: Sequence[Example], options: Options = _DEFAULT, *, tell: Tell = untold
) -> Iterator[Finding]:
    """The rows that are alike enough to an earlier one, in order; the other row of a finding is
    the most alike, which is no duplicate itself, and its score the Jaccard similarity.

    Rows are read twice, and those that have candidates once more: `rows` need not be in
    memory. Takes some 400 bytes a row. The same rows give the same findings.
    """
    return Candidates(rows, tell).alike(options.threshold)


class Candidates:
    """Rows that may be alike; what they are compared at can be chosen afterwards."""

    def __init__(self, rows: Sequence[Example], tell: Tell = untold) -> None:
        self._tell = tell
        self._keys = band_keys(rows, tell)
        self._shared = shared_only(self._keys, tell)
        self._held = lru_cache(maxsize=_KEPT)(lambda row: shingles(text_of(rows[row])))

    def alike(self, threshold: float, phase: str = "comparing") -> Iterator[Finding]:
        """What `annotate` finds at that threshold."""
        index: list[dict[int, list[int]]] = [{} for _ in range(BANDS)]
        for row in watched(self._shared, phase, self._tell):
            meets = [(band, key) for band, key in enumerate(self._keys[row].tolist()) if key]
            candidates = sorted({c for band, key in meets for c in index[band].get(key, ())})
            held = self._held
            # Of those that are alike to the same degree, the first.
            best = max(((jaccard(held(row), held(c)), -c) for c in candidates), default=(0.0, 0))
            if best[0] >= threshold:
                yield _found(row, -best[1], best[0])
                continue
            for band, key in meets:
                index[band].setdefault(key, []).append(row)


def _found(row: int, earlier: int, similarity: float) -> Finding:
    if similarity == 1:
        kind, reason = "same-words", f"it has the very words of row {earlier + 1:,}"
    else:
        kind = "near-duplicate"
        reason = f"{100 * similarity:.0f} % of the threes of words are those of row {earlier + 1:,}"
    return Finding(row, kind, reason, similarity, other=Other(earlier))


def text_of(example: Example) -> str:
    """What of an example is compared: its plain text, or all of its turns but the system's,
    which many rows have in common."""
    return example.text or "\n".join(m.written for m in example.messages if m.role != "system")


def shingles(text: str) -> frozenset[str]:
    """Each three words that follow each other, without case and punctuation.

    A text that is shorter is one shingle; so is one without words, as it stands: texts that
    have no shingles would all be alike.
    """
    words = WORD.findall(text.casefold())
    if len(words) < GRAM:
        return frozenset([" ".join(words or text.split())])
    return frozenset(" ".join(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """What two sets have in common, as a share of what is in either."""
    common = len(first & second)
    return common / (len(first) + len(second) - common)


def band_keys(rows: Sequence[Example], tell: Tell) -> Any:
    """A number for each band of each row's signature, shape (rows, BANDS), uint64, never 0."""
    import numpy as np
    from rensa import RMinHash

    keys = np.empty((len(rows), BANDS), np.uint64)
    mix = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
    tell("signatures", 0, len(rows), "rows")
    for start in range(0, len(rows), _CHUNK):
        places = range(start, min(start + _CHUNK, len(rows)))
        sets = [shingles(text_of(rows[place])) for place in places]
        digests = RMinHash.digests_from_token_sets(sets, num_perm=PERMUTATIONS, seed=_SEED)
        # Two numbers of 64 bits hold the four values of a band.
        pairs = np.array(digests, np.uint32).view(np.uint64).reshape(len(sets), BANDS, 2)
        keys[places.start : places.stop] = (pairs * mix).sum(axis=2, dtype=np.uint64) | 1
        tell("signatures", places.stop, len(rows), "rows")
    return keys


def shared_only(keys: Any, tell: Tell) -> list[int]:
    """Put 0 for every key that no other row has; returns the rows that share one."""
    import numpy as np

    for band in watched(range(BANDS), "candidates", tell, "bands"):
        column = keys[:, band]
        order = np.argsort(column, kind="stable")
        same = column[order][1:] == column[order][:-1]
        lone = np.ones(len(column), bool)
        lone[order[1:][same]] = lone[order[:-1][same]] = False
        column[lone] = 0
    return [int(row) for row in np.flatnonzero(keys.any(axis=1))]
