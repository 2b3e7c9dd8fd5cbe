"""Personal data: addresses, accounts, numbers, keys and dates that lead to a person.

Recognisers of our own find them by their public forms, by check digits and by the words beside
them; `presidio`, where it is installed, adds the numbers of more countries. Names and places are
not looked for: no list and no rule finds them well enough. All texts of a row are looked through,
those of its extra fields and its tools as well: they are exported, and a template writes the tools.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from workbench.data.curate.findings import Finding, Span, parts, parts_beside, row_by_row
from workbench.data.curate.personal import (
    contact,
    dates,
    identity,
    keys,
    money,
    network,
    phones,
    presidio,
)
from workbench.data.curate.personal.hits import Hit, Recogniser
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold

NAME = "personal-data"
VERSION = 2
KINDS = {
    "key": ("a key or token", "keys or tokens"),
    "email": ("an e-mail address", "e-mail addresses"),
    "phone": ("a telephone number", "telephone numbers"),
    "card": ("a card number", "card numbers"),
    "iban": ("a bank account", "bank accounts"),
    "ssn": ("a social security number", "social security numbers"),
    "id": ("an identity number", "identity numbers"),
    "birth-date": ("a date of birth", "dates of birth"),
    "date": ("a date", "dates"),
    "ip": ("an IP address", "IP addresses"),
    "mac": ("a hardware address", "hardware addresses"),
    "url": ("a link", "links"),
}
"""What there is to find, in words: one, and more."""

_NAMED = 3
"""Places that a reason names."""
_FULL_WIDTH = {code: code - 0xFEE0 for code in map(ord, "＠．－＿＋")}
_FULL_WIDTH |= {
    code: code - 0xFEE0
    for first, last in ("０９", "ＡＺ", "ａｚ")
    for code in range(ord(first), ord(last) + 1)
}
"""Letters, digits and the signs of addresses as they are written among Chinese ones: one for one,
so that places stay what they are."""

_OURS: tuple[Recogniser, ...] = (
    keys.keys,
    contact.links,
    contact.emails,
    network.macs,
    network.ips,
    money.ibans,
    money.cards,
    identity.ssns,
    dates.births,
    dates.dates,
    identity.documents,
)
"""The surest first: what two of them claim is the earlier one's. Telephone numbers come last."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is looked for, and with what. Raises WorkbenchError for a type that there isn't, and
    for an engine that isn't here."""

    types: tuple[str, ...] = ()
    """Of `KINDS`; empty for all of them."""
    engine: str = "auto"
    """`light`: our own recognisers; `presidio`: with its own added; `auto`: what is installed.
    It becomes one of the first two at once, since what was found is kept by the options."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.types) - KINDS.keys()):
            raise WorkbenchError(
                f"Personal data has no type {unknown[0]}.", f"There are {', '.join(KINDS)}."
            )
        if self.engine not in ("auto", "light", "presidio"):
            raise WorkbenchError(
                f"There is no engine {self.engine} for personal data.",
                "There are auto, light and presidio.",
            )
        if self.engine == "presidio" and not presidio.is_installed():
            raise WorkbenchError(
                "The engine presidio is not installed.",
                "Install it with `pip install 'finetune-workbench[pii]'`, or take the engine "
                "light, which needs nothing more.",
            )
        if self.engine == "auto":
            here = "presidio" if presidio.is_installed() else "light"
            object.__setattr__(self, "engine", here)


_DEFAULT = Options()


def annotate(
    rows: Sequence[Example], options: Options = _DEFAULT, *, tell: Tell = untold
) -> Iterator[Finding]:
    """A finding for each row and type, with all of its places; no finding's reason holds any of
    the data. The same rows give the same findings."""

    def look(number: int, example: Example) -> Iterator[Finding]:
        spans: dict[str, list[Span]] = {}
        beside = list(parts_beside(example))
        for part in (*parts(example), *beside):
            for hit in find(part.text, options):
                span = Span(part.where, hit.start, hit.end, hit.rule)
                spans.setdefault(hit.kind, []).append(span)
        for kind in KINDS:
            if kind in spans:
                reason = _reason(kind, spans[kind], {part.where for part in beside})
                yield Finding(number, kind, reason, spans=tuple(spans[kind]))

    return row_by_row(rows, look, "personal data", tell)


def _reason(kind: str, spans: Sequence[Span], beside: Collection[str]) -> str:
    """Says where it is, if that is among what a row's turns are shown without."""
    one, more = KINDS[kind]
    what = one if len(spans) == 1 else f"{len(spans):,} {more}"
    where = list(dict.fromkeys(span.where for span in spans if span.where in beside))
    if not where:
        return what
    rest = len(where) - _NAMED
    named = ", ".join(where[:_NAMED]) + (f" and {rest:,} more places" if rest > 0 else "")
    return f"{what}, {'also ' * any(s.where not in beside for s in spans)}in {named}"


def find(text: str, options: Options = _DEFAULT) -> list[Hit]:
    """The personal data of a text, in order; no two overlap.

    A type is found in the same places whichever others are asked for.
    """
    text = text if text.isascii() else text.translate(_FULL_WIDTH)
    taken = bytearray(len(text))
    hits = []
    of_presidio = (presidio.recognise,) if options.engine == "presidio" else ()
    for recogniser in (*_OURS, *of_presidio, phones.phones):
        for hit in recogniser(text):
            if taken.find(1, hit.start, hit.end) < 0:
                taken[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
                hits.append(hit)
    return sorted(hit for hit in hits if not options.types or hit.kind in options.types)
