"""A report as one HTML file with charts: no script, nothing from a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from workbench.review.analysis import Analysis, Contest
from workbench.review.page import Block, Heading, Points, Table, is_text
from workbench.text import visible

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56em; margin: 2em auto; padding: 0 1em;
       color: #1b1b1b; background: #fff }
table { border-collapse: collapse; margin: .6em 0 }
th, td { padding: .2em .8em .2em 0; text-align: right; border-bottom: 1px solid #ddd }
th.text, td.text { text-align: left }
svg { display: block; margin: .8em 0; font-size: 13px; max-width: 100% }
h2 { margin-top: 1.6em; font-size: 1.15em }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616 } th, td { border-color: #444 }
  svg { background: #fff }
}
"""
_WIDTH, _LABEL, _ROW = 720, 240, 30
_BARS = _WIDTH - _LABEL - 20
# Told apart also without colour, by lightness, and by most who don't see red or green.
_WIN, _TIE, _LOSS, _LINE = "#1f5fa8", "#cfcfcf", "#e08a2e", "#333333"


def as_html(blocks: Sequence[Block], analysis: Analysis | None) -> str:
    """The page, whose first heading is its title; charts of the analysis come after that."""
    title = next((_safe(block.text) for block in blocks if isinstance(block, Heading)), "Review")
    body: list[str] = []
    for number, block in enumerate(blocks):
        body += _block(block, "h2" if number else "h1")
        if isinstance(block, Heading) and block.text == "What can't be concluded":
            body[-1:-1] = _charts(analysis) if analysis else []
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>\n{_STYLE}</style>\n{chr(10).join(body)}\n</html>\n"
    )


def _block(block: Block, heading: str) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"<{heading}>{_safe(block.text)}</{heading}>"
    elif isinstance(block, Table):
        head = "".join(_cell("th", title, title) for title in block.headers)
        rows = (
            "".join(_cell("td", name, cell) for name, cell in zip(block.headers, row, strict=True))
            for row in block.rows
        )
        yield (
            f"<table>\n<tr>{head}</tr>\n"
            + "".join(f"<tr>{row}</tr>\n" for row in rows)
            + "</table>"
        )
    elif isinstance(block, Points):
        yield "<ul>\n" + "".join(f"<li>{_safe(point)}</li>\n" for point in block.points) + "</ul>"
    else:
        yield f"<p>{_safe(block)}</p>"


def _cell(kind: str, header: str, text: str) -> str:
    style = ' class="text"' if is_text(header) else ""
    return f"<{kind}{style}>{_safe(text)}</{kind}>"


def _charts(analysis: Analysis) -> Iterator[str]:
    for criterion in sorted({contest.criterion for contest in analysis.contests}):
        found = [contest for contest in analysis.contests if contest.criterion == criterion]
        yield f"<h2>Charts: {_safe(criterion)}</h2>"
        yield _shares(found)
        yield "<p>Wins, ties and losses of the first of the two, a judgement each.</p>"
        names = [f"{c.candidate} – {c.baseline}" for c in found]
        means = [(c.mean.value, c.mean.low, c.mean.high) for c in found]
        yield _intervals(names, means, 0.0, 1.0, 0.5)
        yield "<p>Win rate, a tie as half, with its 95 % interval over items.</p>"
    for criterion in sorted({rated.criterion for rated in analysis.rated}):
        of = [rated for rated in analysis.rated if rated.criterion == criterion]
        values = [(r.mean.value, r.mean.low, r.mean.high) for r in of]
        yield f"<h2>Chart: {_safe(criterion)}</h2>"
        low, high = (0.0, 1.0) if all(r.share for r in of) else (1.0, 5.0)
        low, high = min(low, *(v[1] for v in values)), max(high, *(v[2] for v in values))
        yield _intervals([rated.system for rated in of], values, low, high, None)
        yield "<p>Mean rating with its 95 % interval over items.</p>"


def _shares(contests: Sequence[Contest]) -> str:
    parts = []
    for row, contest in enumerate(contests):
        tally = contest.tally
        total = tally.wins + tally.ties + tally.losses
        x = float(_LABEL)
        parts.append(_label(row, f"{contest.candidate} – {contest.baseline}"))
        for amount, colour, ink in (
            (tally.wins, _WIN, "#fff"),
            (tally.ties, _TIE, "#000"),
            (tally.losses, _LOSS, "#000"),
        ):
            wide = _BARS * amount / total
            parts.append(
                f'<rect x="{x:.1f}" y="{row * _ROW + 4}" width="{wide:.1f}" height="22" '
                f'fill="{colour}"/>'
            )
            if wide > 24:
                parts.append(
                    f'<text x="{x + wide / 2:.1f}" y="{row * _ROW + 20}" fill="{ink}" '
                    f'text-anchor="middle">{amount}</text>'
                )
            x += wide
    return _svg(len(contests) * _ROW + 4, parts, "wins, ties and losses")


def _intervals(
    names: Sequence[str],
    values: Sequence[tuple[float, float, float]],
    low: float,
    high: float,
    mark: float | None,
) -> str:
    def place(value: float) -> float:
        return _LABEL + _BARS * (value - low) / ((high - low) or 1)

    bottom = len(names) * _ROW + 4
    parts = [
        f'<line x1="{_LABEL}" x2="{_WIDTH - 20}" y1="{bottom}" y2="{bottom}" stroke="{_LINE}"/>'
    ]
    for tick in (low, (low + high) / 2, high):
        parts.append(
            f'<text x="{place(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    if mark is not None:
        x = f"{place(mark):.1f}"
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="0" y2="{bottom}" stroke="{_LINE}" stroke-dasharray="3"/>'
        )
    for row, (name, (value, bottom_end, top_end)) in enumerate(zip(names, values, strict=True)):
        y = row * _ROW + 16
        parts += [
            _label(row, f"{name}  {value:.3f}"),
            f'<line x1="{place(bottom_end):.1f}" x2="{place(top_end):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{_WIN}" stroke-width="3"/>',
            f'<circle cx="{place(value):.1f}" cy="{y}" r="5" fill="{_WIN}"/>',
        ]
    return _svg(bottom + 24, parts, "intervals")


def _label(row: int, text: str) -> str:
    return (
        f'<text x="{_LABEL - 10}" y="{row * _ROW + 20}" text-anchor="end">{_safe(text[:34])}</text>'
    )


def _svg(height: int, parts: Sequence[str], what: str) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{what}" font-family="sans-serif">\n{inside}\n</svg>'
    )


def _safe(text: str) -> str:
    return escape(visible(text, one_line=True))
