"""The report of an imported review, or of a session that was unblinded: numbers and page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from workbench.errors import WorkbenchError
from workbench.review import page
from workbench.review.analysis import Analysis, analyse
from workbench.review.assessments import Assessment
from workbench.review.limits import limits
from workbench.review.report import Report
from workbench.review.sessions import Session
from workbench.review.studies import Study
from workbench.review.wording import report_lines


def of_study(study: Study, against: str = "", *, markdown: bool = False, width: int = 80) -> Any:
    """What an imported review says, as JSON has it, with the page under `page`.

    `against` is the system that others are held against. Raises WorkbenchError for one that
    doesn't take part.
    """
    analysis = _analysed(study.assessments, against, study.shown_in_order)
    about = _origin(study)
    blocks = page.blocks(
        analysis, f"Review {study.name}", about, shown_in_order=study.shown_in_order
    )
    return {
        "name": study.name,
        "source": study.source,
        "replaced": study.replaced,
        "refused": study.refused,
        **_found(analysis, study.shown_in_order),
        "page": page.as_markdown(blocks) if markdown else page.as_text(blocks, width),
    }


def of_session(
    session: Session,
    report: Report,
    against: str = "",
    *,
    markdown: bool = False,
    width: int = 80,
) -> Any:
    """A session's report as JSON has it, with the page under `page`; the analysis once it is
    unblinded and somebody has judged. Raises WorkbenchError as `of_study` does."""
    found = report.to_json()
    lines = report_lines(found)
    blocks: list[page.Block] = [
        page.Heading(f"Review {report.name}"),
        page.Points([line for line in lines if line]),
    ]
    assessments = session.assessments() if report.result else []
    if assessments:
        analysis = _analysed(assessments, against or session.systems[0], True)
        found |= _found(analysis, True)
        about = []
        if report.identical:
            about = [
                f"The {report.identical} items with identical outputs, which nobody judged, are "
                "ties above and left out here."
            ]
        blocks += page.blocks(analysis, "Analysis", about)
    if markdown:
        return {**found, "page": page.as_markdown(blocks)}
    text = "\n".join(lines)
    if assessments:
        text += f"\n\n{page.as_text(blocks[2:], width)}"
    return {**found, "page": text}


def _analysed(assessments: Sequence[Assessment], against: str, shown_in_order: bool) -> Analysis:
    systems = sorted({system for each in assessments for system in each.systems})
    if against and against not in systems:
        raise WorkbenchError(
            f"There is no system {against} in this review.", f"There are: {', '.join(systems)}."
        )
    return analyse(assessments, baseline=against, shown_in_order=shown_in_order)


def _found(analysis: Analysis, shown_in_order: bool) -> dict[str, Any]:
    return {
        "analysis": analysis.to_json(),
        "limits": limits(analysis, shown_in_order=shown_in_order),
        "methods": page.methods(analysis),
    }


def _origin(study: Study) -> list[str]:
    made = time.strftime("%Y-%m-%d", time.localtime(study.created))
    found = [
        f"Imported on {made} from {study.source['file']} (sha256 {study.source['sha256'][:12]}), "
        f"layout {study.source['layout']}. Whether the annotators were blind, and how items were "
        "chosen, is not in the file."
    ]
    if study.replaced:
        found.append(
            f"{study.replaced} judgements were replaced by a later one of the same annotator on "
            "the same outputs."
        )
    if study.refused:
        found.append(f"{study.refused} rows were no judgement and were left out.")
    return found
