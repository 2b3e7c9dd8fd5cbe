"""The gate before a run: what the verdict, the search for duplicates and that for contamination
say of its data, held against what its config accepts.

All of it is kept beside the rows, so that a second start reads what the first has found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workbench.config.schema import RunConfig
from workbench.data import verdict, versions
from workbench.data.curate import across, checks, contamination, duplicates, looking
from workbench.data.curate.findings import Finding
from workbench.data.gate_findings import LISTED, OK, RED, YELLOW, GateFinding, count_of, reds
from workbench.data.split import TRAIN, VALIDATION
from workbench.data.template import ChatTemplate
from workbench.data.verdict import Verdict
from workbench.data.verdict_findings import TOO_LONG, row_line
from workbench.data.versions import Version
from workbench.jobs.progress import Tell
from workbench.workspace import Workspace

ACROSS = across.NAME
WITHIN = "near-duplicates-in-train"
OF_VALIDATION = "contamination-of-validation"
OF_EVALUATION = "contamination-of-evaluation"
WITHIN_SHARE = 0.05
"""Of the training rows: so many may be near-duplicates of earlier ones before it is said, since
each counts twice in an epoch. Sets that nobody would mend have fewer: GSM8K none in 6,757, Python's
documentation 15 in 5,690, AG News 2 in 180; adversarial QA, each passage of which stands there
several times, 126 in 178."""
CONTAMINATED_SHARE = 0.02
"""Of an evaluation set's rows: with more of them in the training rows its score isn't to be
trusted (the share above which Tülu 3 takes a set out, Lambert et al. 2024, arXiv:2411.15124)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate has found, and what becomes of it."""

    dataset: str
    """`NAME@VERSION`."""
    findings: tuple[GateFinding, ...]
    accept: tuple[str, ...]
    """The names that the config accepts."""

    @property
    def refused(self) -> list[GateFinding]:
        """The red findings that nobody accepts: with one of them nothing is trained."""
        return [f for f in reds(self.findings) if not (f.acceptable and f.name in self.accept)]

    @property
    def accepted(self) -> list[GateFinding]:
        """The red findings that the config accepts."""
        return [f for f in reds(self.findings) if f.acceptable and f.name in self.accept]

    @property
    def unneeded(self) -> list[str]:
        """Names that the config accepts and that nothing red has."""
        return [name for name in self.accept if name not in {f.name for f in self.accepted}]

    def to_json(self) -> dict[str, Any]:
        """For a run's manifest."""
        return {
            "passed": not self.refused,
            "accepted": {finding.name: finding.count for finding in self.accepted},
            "unneeded": self.unneeded,
            "findings": [finding.to_json() for finding in self.findings],
        }


def look(
    workspace: Workspace, version: Version, template: ChatTemplate, config: RunConfig, tell: Tell
) -> Gate:
    """What there is to say of a config's data; what was looked for before is read.

    Raises what `tell` raises, and WorkbenchError when a dataset that rows are compared with is
    not there, or nothing can be written beside the rows.
    """
    data = config.data
    found = verdict.look(version, template, tell)
    findings = found.findings(data.max_length, data.too_long, config.model.base)
    if data.train_rows is not None or data.validation_rows is not None:
        # Which rows are used is known when they are encoded, and one that is too long told then.
        findings = [finding for finding in findings if finding.name != TOO_LONG]
    against = tuple(versions.resolve(workspace, r).reference for r in config.evaluation.against)
    if version.splits.get(VALIDATION):
        findings.append(_across(workspace, version, tell))
    findings.append(_within(workspace, version, found, tell))
    if against or version.splits.get(VALIDATION):
        findings += _contamination(workspace, version, against, tell)
    return Gate(version.reference, tuple(findings), tuple(config.accept))


def _across(workspace: Workspace, version: Version, tell: Tell) -> GateFinding:
    found = looking.look(workspace, version, checks.get(ACROSS), across.Options(), tell)
    first = list(islice(found.read(), LISTED))
    return GateFinding(
        name=ACROSS,
        level=RED if found.flagged else OK,
        count=found.flagged,
        total=version.splits[VALIDATION],
        text=f"{count_of(found.flagged, 'validation row')} saying almost what a training row says",
        **_listed(version, first),
        see=_see(ACROSS, version) if first else "",
        advice=f"`workbench data drop {version.reference} {ACROSS}` makes a version without them."
        if first
        else "",
    )


def _within(workspace: Workspace, version: Version, of: Verdict, tell: Tell) -> GateFinding:
    check = checks.get(duplicates.NAME)
    found = looking.look(workspace, version, check, duplicates.Options(), tell)

    def trained(finding: Finding) -> bool:
        rows = (finding.row, finding.other.row if finding.other else finding.row)
        return all(of.split_of(row) == TRAIN for row in rows)

    first: list[Finding] = []
    count = 0
    for finding in filter(trained, found.read()):
        count += 1
        if count <= LISTED:
            first.append(finding)
    total = version.splits.get(TRAIN, 0)
    level = OK if count <= WITHIN_SHARE * total else YELLOW
    return GateFinding(
        name=WITHIN,
        level=level,
        count=count,
        total=total,
        text=f"{count_of(count, 'training row')} saying almost what an earlier one says",
        **_listed(version, first),
        see=_see(duplicates.NAME, version) if first else "",
        advice=f"`workbench data drop {version.reference} {duplicates.NAME}` makes a version "
        "without them."
        if level != OK
        else "",
    )


def _contamination(
    workspace: Workspace, version: Version, against: tuple[str, ...], tell: Tell
) -> Iterator[GateFinding]:
    options = contamination.Options(against=against)
    found = looking.look(workspace, version, checks.get(contamination.NAME), options, tell)
    names = [""] if version.splits.get(VALIDATION) else []
    held: dict[str, set[int]] = {name: set() for name in (*names, *against)}
    first: dict[str, list[Finding]] = {name: [] for name in held}
    for finding in found.read():
        other = finding.other
        if other is None or other.dataset not in held or other.row in held[other.dataset]:
            continue
        held[other.dataset].add(other.row)
        if len(first[other.dataset]) < LISTED:
            # Of each evaluation row the first training row that holds it.
            first[other.dataset].append(finding)
    if names:
        total = version.splits[VALIDATION]
        yield _held(version, OF_VALIDATION, "", len(held[""]), total, first[""], against)
    for name in against:
        total = versions.resolve(workspace, name).rows
        yield _held(version, OF_EVALUATION, name, len(held[name]), total, first[name], against)


def _held(
    version: Version,
    name: str,
    dataset: str,
    count: int,
    total: int,
    first: list[Finding],
    against: tuple[str, ...],
) -> GateFinding:
    """What training rows hold of one evaluation set."""
    red = count > CONTAMINATED_SHARE * total
    of = f"row of {dataset}" if dataset else "validation row"
    asked = f" --set 'against=[{', '.join(against)}]'" if against else ""
    what = count_of(count, "row") + f" of {dataset}" if dataset else count_of(count, of)
    return GateFinding(
        name=name,
        level=RED if red else YELLOW if count else OK,
        count=count,
        total=total,
        text=f"{what} that training rows hold",
        **_listed(version, first),
        see=_see(contamination.NAME, version) + asked if count else "",
        advice=f"`workbench data drop {version.reference} {contamination.NAME}{asked}` makes a "
        "version without the training rows that do."
        if count
        else "",
    )


def _listed(version: Version, first: list[Finding]) -> dict[str, Any]:
    """The rows of findings, in words and by number."""
    sources = verdict.sources(version.data_path, {finding.row for finding in first})
    lines = (row_line(f.row + 1, sources[f.row], f.reason) for f in first)
    return {"rows": tuple(lines), "numbers": tuple(f.row + 1 for f in first)}


def _see(check: str, version: Version) -> str:
    return f"workbench data {check} {version.reference}"
