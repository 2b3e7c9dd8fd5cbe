"""A report as one HTML file with charts: no script, nothing from a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.reporting import svg
from workbench.reporting.html import document, table
from workbench.reporting.svg import LABEL, ROW, WIDTH, Interval, label, safe
from workbench.review.analysis import Analysis, Contest
from workbench.review.page import Block, Heading, Points, Table, is_text

_BARS = WIDTH - LABEL - 20
# Told apart also without colour, by lightness, and by most who don't see red or green.
_WIN, _TIE, _LOSS = "#1f5fa8", "#cfcfcf", "#e08a2e"


def as_html(blocks: Sequence[Block], analysis: Analysis | None) -> str:
    """The page, whose first heading is its title; charts of the analysis come after that."""
    title = next((safe(block.text) for block in blocks if isinstance(block, Heading)), "Review")
    body: list[str] = []
    for number, block in enumerate(blocks):
        body += _block(block, "h2" if number else "h1")
        if isinstance(block, Heading) and block.text == "What can't be concluded":
            body[-1:-1] = _charts(analysis) if analysis else []
    return document(title, body)


def _block(block: Block, heading: str) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"<{heading}>{safe(block.text)}</{heading}>"
    elif isinstance(block, Table):
        yield table(block.headers, block.rows, [is_text(header) for header in block.headers])
    elif isinstance(block, Points):
        yield "<ul>\n" + "".join(f"<li>{safe(point)}</li>\n" for point in block.points) + "</ul>"
    else:
        yield f"<p>{safe(block)}</p>"


def _charts(analysis: Analysis) -> Iterator[str]:
    for criterion in sorted({contest.criterion for contest in analysis.contests}):
        found = [contest for contest in analysis.contests if contest.criterion == criterion]
        yield f"<h2>Charts: {safe(criterion)}</h2>"
        yield _shares(found)
        yield "<p>Wins, ties and losses of the first of the two, a judgement each.</p>"
        means = [
            Interval(f"{c.candidate} – {c.baseline}", c.mean.value, c.mean.low, c.mean.high)
            for c in found
        ]
        yield svg.intervals("Win rate", means, 0.0, 1.0, 0.5)
        yield "<p>Win rate, a tie as half, with its 95 % interval over items.</p>"
    for criterion in sorted({rated.criterion for rated in analysis.rated}):
        of = [rated for rated in analysis.rated if rated.criterion == criterion]
        values = [Interval(r.system, r.mean.value, r.mean.low, r.mean.high) for r in of]
        yield f"<h2>Chart: {safe(criterion)}</h2>"
        low, high = (0.0, 1.0) if all(r.share for r in of) else (1.0, 5.0)
        low, high = min(low, *(v.low for v in values)), max(high, *(v.high for v in values))
        yield svg.intervals("Mean rating", values, low, high)
        yield "<p>Mean rating with its 95 % interval over items.</p>"


def _shares(contests: Sequence[Contest]) -> str:
    parts = []
    for row, contest in enumerate(contests):
        tally = contest.tally
        total = tally.wins + tally.ties + tally.losses
        x = float(LABEL)
        parts.append(label(row, f"{contest.candidate} – {contest.baseline}"))
        for amount, colour, ink in (
            (tally.wins, _WIN, "#fff"),
            (tally.ties, _TIE, "#000"),
            (tally.losses, _LOSS, "#000"),
        ):
            wide = _BARS * amount / total
            parts.append(
                f'<rect x="{x:.1f}" y="{row * ROW + 4}" width="{wide:.1f}" height="22" '
                f'fill="{colour}"/>'
            )
            if wide > 24:
                parts.append(
                    f'<text x="{x + wide / 2:.1f}" y="{row * ROW + 20}" fill="{ink}" '
                    f'text-anchor="middle">{amount}</text>'
                )
            x += wide
    told = "; ".join(
        f"{c.candidate} – {c.baseline} {c.tally.wins}, {c.tally.ties}, {c.tally.losses}"
        for c in contests
    )
    return svg.document(len(contests) * ROW + 4, parts, "Wins, ties and losses", told)
