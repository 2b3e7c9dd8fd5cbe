"""Content: wording that may do harm, texts that may be somebody's, what pages say around them.

Everything is for a person to look at: lists and rules know words, not what is meant. Each span
says which list or rule it hit. All of a row's texts are looked through, prompts too; passages
that many rows have are looked for in what is learnt, since prompts have them on purpose.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data.curate import markers, wordlists
from workbench.data.curate.findings import Finding, Part, Span, parts, row_by_row
from workbench.data.curate.passages import Passages
from workbench.data.curate.wordlists import Matcher
from workbench.data.curate.words import quoted
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.jobs.progress import Tell, untold, watched

NAME = "content"
VERSION = 2
LISTS = {
    "slurs": "toxic",
    "insults": "toxic",
    "threats": "harmful",
    "self-harm": "harmful",
    "minors": "harmful",
    "weapons-drugs": "harmful",
    "malware": "harmful",
    "boilerplate": "boilerplate",
}
"""What a hit of each list is."""
LISTED = "listed"
"""What a hit of a person's own list is."""
_COPYRIGHT = "copyright"
KINDS = (*dict.fromkeys(LISTS.values()), LISTED, _COPYRIGHT)
_LEARNT = ("assistant", "text")
_SPANS = 50
"""Places that a finding names."""
_QUOTED = 3
"""Places that a reason quotes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is looked for besides the workbench's own lists and rules. Raises WorkbenchError for
    a list that can't be read."""

    lists: tuple[str, ...] = ()
    """Files of words and phrases, an entry a line, whose hits are of the kind `listed`."""
    repeated: int = 10
    """The least number of rows with the same sentence that make it boilerplate."""
    digests: tuple[str, ...] = ()
    """The SHA-256 of each list's entries, filled in: findings are of these very entries."""

    def __post_init__(self) -> None:
        if self.repeated < 2:
            raise WorkbenchError(
                f"A sentence is repeated from 2 rows on, not {self.repeated}.",
                "10 finds what pages have around their texts.",
            )
        # The task that looks may run in another folder.
        paths = tuple(str(user_path(path).absolute()) for path in self.lists)
        digests = tuple(_digest(Path(path)) for path in paths)
        if self.digests and self.digests != digests:
            raise WorkbenchError(
                "The lists are no longer those that were asked for.",
                "Ask again, without their digests.",
            )
        names = [Path(path).stem for path in paths]
        if twice := next((name for name in names if names.count(name) > 1 or name in LISTS), ""):
            raise WorkbenchError(f"There are two lists {twice}.", "Rename yours.")
        object.__setattr__(self, "lists", paths)
        object.__setattr__(self, "digests", digests)


def _digest(path: Path) -> str:
    return hashlib.sha256("\n".join(wordlists.read(path)).encode()).hexdigest()


_DEFAULT = Options()


def annotate(
    rows: Sequence[Example], options: Options = _DEFAULT, *, tell: Tell = untold
) -> Iterator[Finding]:
    """What each row holds that a person should see, one finding of a kind a row.

    Rows are read twice; takes eight bytes a sentence. The same rows give the same findings.
    """
    own = {Path(path).stem: wordlists.read(Path(path)) for path in options.lists}
    matcher = Matcher({**{name: wordlists.bundled(name) for name in LISTS}, **own})
    passages = Passages()
    for example in watched(rows, "passages", tell):
        passages.add(part.text for part in parts(example) if part.role in _LEARNT)
    passages.settle(options.repeated)

    def look(row: int, example: Example) -> Iterator[Finding]:
        hits: defaultdict[str, list[tuple[str, Span]]] = defaultdict(list)
        for part in parts(example):
            for kind, quotation, span in _of_part(part, matcher, passages):
                hits[kind].append((quotation, span))
        for kind, found in hits.items():
            yield _found(row, kind, found)

    yield from row_by_row(rows, look, "looking", tell)


def _of_part(part: Part, matcher: Matcher, passages: Passages) -> Iterator[tuple[str, str, Span]]:
    """The kind of each hit, the hit as a reason quotes it, and its span."""
    for start, end, name in matcher.find(part.text):
        span = Span(part.where, start, end, name)
        yield LISTS.get(name, LISTED), f"“{quoted(part.text[start:end])}” ({name})", span
    for start, end, rule in markers.find(part.text):
        span = Span(part.where, start, end, rule)
        yield _COPYRIGHT, f"“{quoted(part.text[start:end])}” ({rule})", span
    if part.role in _LEARNT:
        for start, end, rows in passages.find(part.text):
            quotation = f"“{quoted(part.text[start:end])}” ({rows:,} rows have it)"
            yield "boilerplate", quotation, Span(part.where, start, end, "repeated")


def _found(row: int, kind: str, hits: Sequence[tuple[str, Span]]) -> Finding:
    quotations = list(dict.fromkeys(quotation for quotation, _ in hits))
    more = len(quotations) - _QUOTED
    reason = "; ".join(quotations[:_QUOTED]) + (f"; {more:,} more" if more > 0 else "")
    return Finding(row, kind, f"It has {reason}.", spans=tuple(span for _, span in hits[:_SPANS]))
