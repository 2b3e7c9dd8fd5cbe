"""Personal data: addresses, accounts, numbers, keys and dates that lead to a person.

Recognisers of our own find them by their public forms, by check digits and by the words beside
them; `presidio`, where it is installed, adds the numbers of more countries. Names and places are
not looked for: no list and no rule finds them well enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.data.curate.findings import Finding, Span, parts, row_by_row
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
VERSION = 1
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
        for part in parts(example):
            for hit in find(part.text, options):
                span = Span(part.where, hit.start, hit.end, hit.rule)
                spans.setdefault(hit.kind, []).append(span)
        for kind in KINDS:
            if kind in spans:
                yield Finding(
                    number, kind, _reason(kind, len(spans[kind])), spans=tuple(spans[kind])
                )

    return row_by_row(rows, look, "personal data", tell)


def _reason(kind: str, count: int) -> str:
    one, more = KINDS[kind]
    return one if count == 1 else f"{count:,} {more}"


def find(text: str, options: Options = _DEFAULT) -> list[Hit]:
    """The personal data of a text, in order; no two overlap.

    A type is found in the same places whichever others are asked for.
    """
    taken = bytearray(len(text))
    hits = []
    of_presidio = (presidio.recognise,) if options.engine == "presidio" else ()
    for recogniser in (*_OURS, *of_presidio, phones.phones):
        for hit in recogniser(text):
            if taken.find(1, hit.start, hit.end) < 0:
                taken[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
                hits.append(hit)
    return sorted(hit for hit in hits if not options.types or hit.kind in options.types)
