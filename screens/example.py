"""One row as a person reads it: its turns, or its tokens."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text

from workbench.data.browse import Looked
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.text import visible

_LONGEST = 20_000
"""Characters of a turn that are laid out; a row may have megabytes, and would block."""
_MOST_TOKENS = 4_000
_TOKEN_STYLES = {
    True: (
        Style(color="color(34)", reverse=True),
        Style(color="color(30)", reverse=True, underline=True),
    ),
    False: (Style(dim=True), Style(dim=True, underline=True)),
}
"""Of trained tokens and of the others; two each, so that one sees where a token ends, in
256 colours and without any."""
_PART = "‹"
"""Stands for a token that is a further part of the character before it."""


def turns(looked: Looked) -> Text:
    """The turns of a row under their roles, or its text, or why it is none."""
    if looked.problem:
        return Text(visible(f"{looked.problem}\n\n{_cut(looked.text)}"))
    out = Text()
    for example in looked.examples:
        if example.text:
            out.append("plain text\n", Style(bold=True, color="cyan"))
            out.append(visible(_cut(example.text)) + "\n\n")
        if example.tools:
            out.append("tools\n", Style(bold=True, color="cyan"))
            out.append(visible(_cut(example.tools)) + "\n\n")
        for message in example.messages:
            out.append(f"{message.role}\n", Style(bold=True, color="cyan"))
            out.append(visible(_cut(message.written)) + "\n\n")
        out.append(visible(f"{example.split}  {example.task}  {example.source}\n"), "dim")
    return out


def tokens(looked: Looked, template: ChatTemplate, base: str) -> Text:
    """The tokens of a row by the template of `base`, the trained ones in reverse: it must
    be seen without colours, too."""
    if looked.problem:
        return turns(looked)
    out = Text()
    for example in looked.examples:
        size = len(example.text) + sum(len(message.written) for message in example.messages)
        if size > _LONGEST * 4:
            out.append(f"{size:,} characters are too many to show as tokens here.\n\n")
            continue
        try:
            encoded = template.encode(example)
        except WorkbenchError as error:
            out.append(visible(f"Not a row to train on: {error}\n\n"))
            continue
        count = f"{encoded.trained_tokens} of {len(encoded.ids)}"
        out.append(f"{count} tokens are trained (in reverse), by the template of\n", "bold")
        out.append(f"{visible(base)}\n\n", "bold")
        for place, token in enumerate(encoded.tokens[:_MOST_TOKENS]):
            shown = visible(token.text) or _PART
            out.append(shown, _TOKEN_STYLES[token.trained][place % 2])
        if (more := len(encoded.ids) - _MOST_TOKENS) > 0:
            out.append(f"\n… and {more:,} tokens more", "bold")
        out.append("\n\n")
    return out


def _cut(text: str) -> str:
    more = len(text) - _LONGEST
    return text if more <= 0 else f"{text[:_LONGEST]}\n… and {more:,} characters more"
