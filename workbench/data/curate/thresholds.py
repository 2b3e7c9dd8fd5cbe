"""Near-duplicates at every threshold that a person may want to compare.

Signatures are made once, so that eleven thresholds take little more than one: each is kept as the
findings of a check of its own.
"""

from __future__ import annotations

from workbench.data.curate import checks, duplicates, store
from workbench.data.curate.duplicates import Options
from workbench.data.curate.findings import Finding
from workbench.data.curate.store import Findings
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.jobs.progress import Tell, untold

STEP = 0.05
THRESHOLDS = tuple(round(0.5 + STEP * n, 2) for n in range(11))
"""From the lowest at which the bands find what there is to the very same words."""


def look(version: Version, tell: Tell = untold) -> None:
    """Look at every threshold that was not looked at yet."""
    missing = [threshold for threshold in THRESHOLDS if threshold not in known(version)]
    if not missing:
        return
    candidates = duplicates.Candidates(Table(version.data_path), tell)
    for threshold in missing:
        found = candidates.alike(threshold, f"comparing at {threshold:.2f}")
        store.write(version, _check(), Options(threshold), found)


def known(version: Version) -> dict[float, Findings]:
    """What was found, by threshold."""
    looked = {t: store.find(version, _check(), Options(t)) for t in THRESHOLDS}
    return {threshold: found for threshold, found in looked.items() if found is not None}


def border(found: dict[float, Findings], threshold: float) -> list[tuple[Finding, bool]]:
    """The pairs nearest to a threshold, on either side, the nearest first, each with whether the
    later row goes at that threshold."""
    goes = [f for f in found[threshold].read() if _within(f, threshold, threshold + STEP)]
    below = found.get(round(threshold - STEP, 2))
    stays = [f for f in below.read() if _within(f, threshold - STEP, threshold)] if below else []
    pairs = [(finding, True) for finding in goes] + [(finding, False) for finding in stays]
    return sorted(pairs, key=lambda pair: (abs((pair[0].score or 0) - threshold), pair[0].row))


def _within(finding: Finding, low: float, high: float) -> bool:
    return low <= (finding.score or 0) < high


def _check() -> checks.Check:
    return checks.get(duplicates.NAME)
