"""The report of an imported review, or of a session: numbers and page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from workbench.errors import WorkbenchError
from workbench.review import comparing, html, page
from workbench.review.analysis import Analysis, analyse
from workbench.review.assessments import Assessment
from workbench.review.comparing import Ranked
from workbench.review.limits import limits
from workbench.review.report import Report
from workbench.review.session import Session
from workbench.review.studies import Study
from workbench.review.wording import report_lines

Form = Literal["text", "markdown", "html"]


def of_study(study: Study, against: str = "", *, form: Form = "text", width: int = 80) -> Any:
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
        "page": _written(blocks, form, width, analysis),
    }


def of_session(
    session: Session, report: Report, against: str = "", *, form: Form = "text", width: int = 80
) -> Any:
    """A session's report as JSON has it, with the page under `page`; the analysis once it is
    unblinded and somebody has judged. Raises WorkbenchError as `of_study` does."""
    found = report.to_json()
    lines = report_lines(found)
    blocks: list[page.Block] = [
        page.Heading(f"Review {report.name}"),
        page.Points([line for line in lines if line]),
    ]
    assessments = session.assessments() if report.unblinded else []
    analysis = None
    if assessments:
        own = session.assessments(resolved=False)
        analysis = _analysed(assessments, against or session.systems[0], True, own)
        ranked = comparing.rank(session)
        found |= _found(analysis, True)
        found["metrics"] = [each.to_json() for each in ranked]
        blocks += page.blocks(analysis, "Analysis", list(_how(session, report)))
        blocks[-4:-4] = _metrics(ranked)
    if form != "text":
        return {**found, "page": _written(blocks, form, width, analysis)}
    text = "\n".join(lines)
    if assessments:
        text += f"\n\n{page.as_text(blocks[2:], width)}"
    return {**found, "page": text}


def _written(
    blocks: Sequence[page.Block], form: Form, width: int, analysis: Analysis | None
) -> str:
    if form == "html":
        return html.as_html(blocks, analysis)
    return page.as_markdown(blocks) if form == "markdown" else page.as_text(blocks, width)


def _analysed(
    assessments: Sequence[Assessment],
    against: str,
    shown_in_order: bool,
    independent: Sequence[Assessment] | None = None,
) -> Analysis:
    systems = sorted({system for each in assessments for system in each.systems})
    if against and against not in systems:
        raise WorkbenchError(
            f"There is no system {against} in this review.", f"There are: {', '.join(systems)}."
        )
    return analyse(
        assessments, baseline=against, shown_in_order=shown_in_order, independent=independent
    )


def _found(analysis: Analysis, shown_in_order: bool) -> dict[str, Any]:
    return {
        "analysis": analysis.to_json(),
        "limits": limits(analysis, shown_in_order=shown_in_order),
        "methods": page.methods(analysis),
    }


def _how(session: Session, report: Report) -> Iterator[str]:
    """How the judgements came about, a paragraph each."""
    sides = "side and order" if session.form.pairs else "order"
    yield (
        f"Outputs were shown without names, {sides} drawn for each annotator and item. What an "
        "output says of itself can't be hidden; annotators could flag it."
    )
    if report.identical:
        ties = "ties above and " if report.result else ""
        yield (
            f"The {report.identical} pairs of identical outputs, which nobody judged, are "
            f"{ties}left out here."
        )
    if report.adjudicated:
        yield (
            f"Annotators disagreed on {report.disputed}; on {report.adjudicated} another one "
            "decided, and there the decision alone counts. Agreement and habits are of the "
            "verdicts before."
        )
    if any(many for _, many in report.consistency.values()):
        yield "Of what an annotator was shown twice the first verdict counts."


def _metrics(ranked: Sequence[Ranked]) -> list[page.Block]:
    if not ranked:
        return []
    return [
        page.Heading("Metrics, by their agreement with people"),
        page.Table(
            ("METRIC", "N", "AGREES", "95 %", "SAME"),
            [
                [
                    each.metric,
                    str(each.agreement.n),
                    f"{each.agreement.value:.3f}",
                    f"{each.agreement.low:.3f}–{each.agreement.high:.3f}",
                    str(each.same),
                ]
                for each in ranked
            ],
        ),
        "How often the metric gives more to the output that people prefer; where it gives both the "
        "same (last column), one half. One that agrees in half of them knows nothing of what "
        "people want, and one well below a half gives less to what is better.",
    ]


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
