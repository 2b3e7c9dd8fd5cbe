"""Redaction: what was found in a row gives way to placeholders, such as `[EMAIL_1]`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from workbench.data.curate.findings import Finding, parts, parts_beside, places_in
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

_EXACT = ("key", "url")
"""Kinds of which a capital or a sign more makes another value."""
_PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]*)_([1-9][0-9]{0,8})\]")


class Placeholders:
    """The placeholders that were given out: the same value of a kind has one, another value has
    another. With one for a whole dataset they agree over all of its rows.

    It holds no value, only hashes under a key of its own, and can be pickled to nowhere: nothing
    that is written anywhere leads back to a value.
    """

    def __init__(self) -> None:
        self._secret = os.urandom(16)
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._last: dict[str, int] = {}

    def __reduce__(self) -> NoReturn:
        raise TypeError("Placeholders stay in the process that gave them out.")

    def reserve(self, example: Example) -> None:
        """Give out none that stands in a row already, as in rows that were redacted before. Where
        a whole dataset is redacted, every row comes by here first."""
        for part in (*parts(example), *parts_beside(example)):
            for kind, number in _PLACEHOLDER.findall(part.text):
                self._last[kind] = max(self._last.get(kind, 0), int(number))

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value."""
        name = kind.upper().replace("-", "_")
        plain = value
        if kind not in _EXACT:
            # Full-width letters are the same letters.
            plain = re.sub(r"[\s().-]", "", unicodedata.normalize("NFKC", value).casefold())
        known = (
            name,
            hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), key=self._secret).digest(),
        )
        if known not in self._numbers:
            self._numbers[known] = self._last[name] = self._last.get(name, 0) + 1
        return f"[{name}_{self._numbers[known]}]"


def redact(
    example: Example, findings: Iterable[Finding], placeholders: Placeholders | None = None
) -> Example:
    """The row with a placeholder for each span of its findings, in its extra fields and its tools
    as well; all else is as it was.

    Spans that overlap become one, of the kind of the longest. Raises WorkbenchError for a span
    that isn't in the row: findings of another row, or of another version.
    """
    given = placeholders or Placeholders()
    given.reserve(example)
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for finding in findings:
        for span in finding.spans:
            spans.setdefault(span.where, []).append((span.start, span.end, finding.kind))
    texts = {part.where: part.text for part in (*parts(example), *parts_beside(example))}
    for where, places in spans.items():
        if where not in texts or any(not 0 <= a < b <= len(texts[where]) for a, b, _ in places):
            raise WorkbenchError(
                f"The findings are of another row: there is no such place in its {where}.",
                "Look for personal data in this version, and redact what is found there.",
            )
    return _with_texts(
        example,
        {where: _replaced(text, spans.get(where, []), given) for where, text in texts.items()},
    )


def _replaced(text: str, places: list[tuple[int, int, str]], given: Placeholders) -> str:
    pieces, last = [], 0
    for start, end, kind in _joined(places):
        pieces += [text[last:start], given.of(kind, text[start:end])]
        last = end
    return "".join([*pieces, text[last:]])


def _joined(places: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The places in order, those that overlap as one with the kind of the longest of them."""
    joined: list[tuple[int, int, str]] = []
    longest = 0
    for start, end, kind in sorted(places):
        if not joined or start >= joined[-1][1]:
            joined.append((start, end, kind))
            longest = end - start
            continue
        first, last, known = joined[-1]
        joined[-1] = first, max(last, end), kind if end - start > longest else known
        longest = max(longest, end - start)
    return joined


def _with_texts(example: Example, texts: dict[str, str]) -> Example:
    messages = tuple(
        _with_turn_texts(message, f"messages[{number}]", texts)
        for number, message in enumerate(example.messages)
    )
    tools = example.tools
    if tools and (described := _with_texts_in(known := json.loads(tools), "tools", texts)) != known:
        tools = json.dumps(described, ensure_ascii=False)
    return replace(
        example,
        messages=messages,
        text=texts.get("text", ""),
        extra=_with_texts_in(example.extra, "extra", texts),
        tools=tools,
    )


def _with_texts_in(value: Any, where: str, texts: dict[str, str]) -> Any:
    """A value of JSON with the texts that stand at its places."""
    if isinstance(value, str):
        return texts[where]
    inner = [_with_texts_in(inside, place, texts) for place, inside in places_in(value, where)]
    if isinstance(value, dict):
        return dict(zip(value, inner, strict=True))
    return inner if isinstance(value, list) else value


def _with_turn_texts(message: Message, where: str, texts: dict[str, str]) -> Message:
    calls = tuple(
        replace(call, arguments=_as_json(texts[f"{where}.tool_calls[{place}].arguments"], where))
        for place, call in enumerate(message.calls)
    )
    content = texts.get(f"{where}.content", message.content)
    return replace(message, content=content, calls=calls)


def _as_json(text: str, where: str) -> str:
    """The arguments of a call, if they still are JSON. Raises WorkbenchError."""
    try:
        json.loads(text)
    except ValueError as error:
        raise WorkbenchError(
            f"What {where} calls a tool with can't be redacted: a finding goes beyond one of its "
            "values.",
            "Edit the row by hand, or remove it.",
        ) from error
    return text
