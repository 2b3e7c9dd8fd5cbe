"""One row as a person reads it: its turns, set as Markdown, with what was found in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.style import Style
from rich.table import Table
from rich.text import Text

from screens import diff_text
from workbench.data.browse import Looked
from workbench.data.curate.findings import Finding, Other, Span, parts, parts_beside
from workbench.data.example import Example
from workbench.data.word_diff import Piece
from workbench.text import beginning, visible

_LONGEST = 20_000
_MOST_TURNS = 100
"""Characters and turns of a row that are laid out; it may have megabytes, and would block."""
_LONGEST_SET = 5_000
"""Characters of a row that are set as Markdown, some 30 ms of work."""
_AROUND = 2_000
"""Characters that are shown of a turn in which something was found, however long the row is."""
_ROLE = Style(bold=True, color="cyan")
_FOUND = Style(color="yellow", reverse=True)
_BEFORE = 500
"""Characters that are shown before what was found far down a text."""


def turns(looked: Looked) -> Text:
    """The turns of a row under their roles, or its text, or why it is none."""
    if looked.problem:
        return Text(visible(f"{looked.problem}\n\n{beginning(looked.text, _LONGEST)}"))
    out = Text()
    for example in looked.examples:
        for role, text in _within(_texts(example), _LONGEST):
            out.append(f"{role}\n", _ROLE)
            out.append(visible(text) + "\n\n")
        out.append(visible(f"{example.split}  {example.task}  {example.source}\n"), "dim")
    return out


def with_spans(looked: Looked, found: Finding, spans: Sequence[Span]) -> Text:
    """The turns of a row under what was found in it, the words that it is about in reverse."""
    out = Text(f"{visible(f'{found.kind}: {found.reason}', one_line=True)}\n", "bold yellow")
    labels = dict.fromkeys(span.label for span in spans)
    out.append(f"{visible('  '.join(labels), one_line=True)}\n\n", "yellow")
    for example in looked.examples:
        out.append_text(_marked(example, spans))
        out.append(visible(f"{example.split}  {example.task}  {example.source}\n"), "dim")
    return out


def beside_other(shown: Text, other: Example, found: Other) -> RenderableType:
    """What is found in a row, beside the row that it is compared with and what is the same
    there."""
    dataset = f" of {found.dataset}" if found.dataset else ""
    title = Text(f"row {found.row + 1:,}{visible(dataset)}\n\n", "bold")
    side = Table.grid(padding=(0, 2), expand=True)
    side.add_column(ratio=1)
    side.add_column(ratio=1)
    side.add_row(shown, title.append_text(_marked(other, found.spans)))
    return side


def _marked(example: Example, spans: Sequence[Span]) -> Text:
    """All that is learnt, and what stands beside it where something is found there; of a long row
    the turns in which there is a span."""
    found = {span.where for span in spans}
    beside = [part for part in parts_beside(example) if part.where in found] if found else []
    shown = [*((part.role, part) for part in parts(example)), *((p.where, p) for p in beside)]
    out, room, passed = Text(), _LONGEST, 0
    for title, part in shown:
        here = sorted((s.start, s.end) for s in spans if s.where == part.where)
        longest = max(room, _AROUND if here else 0)
        if not longest:
            passed += 1
            continue
        out.append(f"{visible(title, one_line=True)}\n", _ROLE)
        _append_marked(out, part.text, here, longest)
        out.append("\n\n")
        room -= min(room, len(part.text))
    if passed:
        out.append(f"… and {passed:,} turns more\n", "dim")
    return out


def _append_marked(out: Text, text: str, spans: Sequence[tuple[int, int]], longest: int) -> None:
    """A text with spans of it marked, from some lines before the first one on."""
    begin = max(0, spans[0][0] - _BEFORE) if spans and spans[0][0] > longest - _BEFORE else 0
    if begin:
        out.append(f"… {begin:,} characters\n", "dim")
    end, place = begin + longest, begin
    for start, stop in spans:
        out.append(visible(text[place : min(start, end)]))
        out.append(visible(text[max(place, start) : min(stop, end)]), _FOUND)
        place = max(place, min(stop, end))
    out.append(visible(text[place:end]))
    if (more := len(text) - end) > 0:
        out.append(f"\n… and {more:,} characters more", "dim")


def differing(pieces: Sequence[Piece]) -> Text:
    """What two texts have in common, and what only one has."""
    out = Text()
    for what, text in pieces:
        before, after = diff_text.SIGNS[what]
        out.append(f"{before}{visible(text)}{after}", diff_text.STYLES[what])
    return out


def markdown(looked: Looked) -> RenderableType:
    """The turns of a row set as Markdown; addresses are shown, and no terminal opens them."""
    if looked.problem:
        return turns(looked)
    shown: list[RenderableType] = []
    for example in looked.examples:
        for role, text in _within(_texts(example), _LONGEST_SET):
            shown.append(Text(role, _ROLE))
            shown.append(Markdown(visible(text), hyperlinks=False))
            shown.append(Text())
    return Group(*shown)


def _texts(example: Example) -> list[tuple[str, str]]:
    """What is read of a row, each with its role."""
    texts = [("plain text", example.text), ("tools", example.tools)]
    turns = [(message.role, message.written) for message in example.messages]
    return [(role, text) for role, text in texts if text] + turns


def _within(texts: Sequence[tuple[str, str]], room: int) -> Iterator[tuple[str, str]]:
    """The texts up to so many characters, and how many are left out."""
    for number, (role, text) in enumerate(texts):
        if number == _MOST_TURNS or room <= 0:
            yield "…", f"and {len(texts) - number:,} turns more"
            return
        yield role, beginning(text, room)
        room -= len(text)
