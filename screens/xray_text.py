"""A row as a model sees it: its tokens in the text, or each on a line with its id and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.style import Style
from rich.text import Text

from workbench.data.browse import Looked
from workbench.data.template import ChatTemplate
from workbench.data.xray import REASONS, Xray, XrayToken, xray
from workbench.text import visible

_LONGEST = 80_000
"""Characters of a row that are looked through at once, some 30 ms; more would block the keys."""
_MOST_TOKENS = 4_000
_MOST_LINES = 1_000
_STYLES = {
    "trained": (
        Style(color="color(34)", reverse=True),
        Style(color="color(30)", reverse=True, underline=True),
    ),
    "lost": (Style(color="red", strike=True), Style(color="red", strike=True, underline=True)),
    "": (Style(dim=True), Style(dim=True, underline=True)),
}
"""Of trained tokens, of those that the cutoff takes away, of the others; two each, so that one
sees where a token ends, in 256 colours and without any."""
_PART = "‹"
"""Stands for a token that is a further part of the character before it."""
_MARKS = {"trained": "+", "lost": "x", "": " "}


def in_text(looked: Looked, template: ChatTemplate, base: str, cutoff: int | None) -> Text:
    """The rendered row, the trained tokens in reverse: it must be seen without colours, too."""
    out = Text()
    for found in _rays(looked, template, cutoff, out):
        _append_about(out, found, base)
        for place, token in enumerate(found.tokens[:_MOST_TOKENS]):
            if place == found.cut:
                out.append(f"\n──── cut at {found.cut:,} tokens ────\n", "bold red")
            out.append(visible(token.text) or _PART, _STYLES[_kind(token)][place % 2])
        _append_more(out, len(found.tokens) - _MOST_TOKENS)
        _append_reasons(out, found)
    return out


def listed(looked: Looked, template: ChatTemplate, base: str, cutoff: int | None) -> Text:
    """Each token on a line: its place, its id, whether it is trained, why not, its text."""
    out = Text()
    for found in _rays(looked, template, cutoff, out):
        _append_about(out, found, base)
        _append_reasons(out, found)
        for place, token in enumerate(found.tokens[:_MOST_LINES]):
            if place == found.cut:
                out.append(f"──── cut at {found.cut:,} tokens ────\n", "bold red")
            kind = _kind(token)
            line = f"{place:>6} {token.id:>7} {_MARKS[kind]} {token.reason:<9} "
            out.append(f"{line}{visible(token.text, one_line=True) or _PART}\n", _STYLES[kind][0])
        _append_more(out, len(found.tokens) - _MOST_LINES)
    return out


def _rays(looked: Looked, template: ChatTemplate, cutoff: int | None, out: Text) -> Iterator[Xray]:
    for example in looked.examples:
        size = len(example.text) + sum(len(message.written) for message in example.messages)
        if size > _LONGEST:
            out.append(f"{size:,} characters are too many to show as tokens here.\n\n")
            continue
        yield xray(example, template, cutoff)


def _append_about(out: Text, found: Xray, base: str) -> None:
    """How many tokens are trained, by which template, and what the cutoff does."""
    if found.problem:
        out.append(visible(f"Not a row to train on: {found.problem}\n"), "bold red")
    trained = f"{found.trained_tokens:,} of {len(found.tokens):,}"
    out.append(f"{trained} tokens are trained (in reverse), by the template of\n", "bold")
    out.append(f"{visible(base)}\n", "bold")
    if found.cut is not None:
        lost = f"; its response is {found.response}" if found.lost_tokens else ""
        out.append(f"Cut at {found.cut:,} tokens{lost}.\n", "bold red")
    out.append("\n")


def _append_reasons(out: Text, found: Xray) -> None:
    """Why tokens aren't trained, with how many they are."""
    counts = Counter(token.reason for token in found.tokens if token.reason)
    for reason, count in counts.most_common():
        out.append(f"{count:>6,}  {reason}: {REASONS[reason]}\n", "dim")
    out.append("\n")


def _append_more(out: Text, more: int) -> None:
    out.append(f"\n… and {more:,} tokens more\n\n" if more > 0 else "\n\n", "bold")


def _kind(token: XrayToken) -> str:
    return "trained" if token.trained else "lost" if token.lost else ""
