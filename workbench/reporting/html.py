"""A report as one HTML file: no script, nothing from a network, for light and dark screens and for
paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from workbench.reporting.page import Block, Chart, Code, Heading, Points, Table
from workbench.reporting.svg import safe
from workbench.text import visible

_STYLE = """\
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56em; margin: 2em auto; padding: 0 1em;
       color: #1b1b1b; background: #fff; overflow-wrap: anywhere }
div.table { overflow-x: auto }
table { border-collapse: collapse; margin: .6em 0 }
th, td { padding: .2em .8em .2em 0; text-align: right; vertical-align: top;
         border-bottom: 1px solid #ddd; overflow-wrap: normal }
th.text, td.text { text-align: left }
figure { margin: .8em 0 }
figcaption { font-size: .9em }
svg { display: block; margin: .8em 0; font-size: 13px; width: 100%; max-width: 720px }
pre { white-space: pre-wrap; padding: .6em .8em; background: #8882; font-size: .9em }
code { font-size: .92em }
h2 { margin-top: 1.6em; font-size: 1.25em }
h3 { margin-top: 1.2em; font-size: 1.05em }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616 } th, td { border-color: #444 }
}
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; color: #000; background: #fff }
  div.table { overflow-x: visible } table { font-size: .85em }
  th, td { border-color: #bbb; overflow-wrap: anywhere }
  figure, svg, tr, li { break-inside: avoid } h1, h2, h3 { break-after: avoid }
}
"""
_CODE = re.compile("`([^`]+)`")


def document(title: str, body: Sequence[str]) -> str:
    """A whole page; `title` and `body` are HTML already."""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>\n{_STYLE}</style>\n{chr(10).join(body)}\n</html>\n"
    )


def as_html(page: Sequence[Block]) -> str:
    """The page; its first heading is its title."""
    title = next((safe(block.text) for block in page if isinstance(block, Heading)), "Report")
    return document(title, [part for block in page for part in _block(block)])


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[bool]) -> str:
    """A table; `text` says of each column whether it stands to the left."""

    def cells(kind: str, values: Sequence[str]) -> str:
        styles = (' class="text"' if left else "" for left in text)
        return "".join(
            f"<{kind}{style}>{_marked(value)}</{kind}>"
            for value, style in zip(values, styles, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f'<div class="table"><table>\n<tr>{cells("th", headers)}</tr>\n{body}</table></div>'


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"<h{block.level}>{_marked(block.text)}</h{block.level}>"
    elif isinstance(block, Table):
        if block.rows:
            yield table(block.headers, block.rows, [not number for number in block.numeric()])
    elif isinstance(block, Points):
        points = "".join(f"<li>{_marked(point)}</li>\n" for point in block.points)
        yield f"<ul>\n{points}</ul>"
    elif isinstance(block, Code):
        yield f"<pre>{escape(visible(block.text))}</pre>"
    elif isinstance(block, Chart):
        caption = f"<figcaption>{_marked(block.caption)}</figcaption>"
        yield f"<figure>\n{block.svg}\n{caption}\n</figure>"
    else:
        yield f"<p>{_marked(block)}</p>"


def _marked(text: str) -> str:
    """Text with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", safe(text))
