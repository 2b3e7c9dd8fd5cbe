"""The numbers that states give out, as presidio's recognisers know them (the extra `pii`).

Only these are taken. What presidio finds of addresses, accounts, cards, dates and links on 1,500
labelled texts, our own recognisers find all of; its telephone numbers are false 122 times in 7,473
rows of sums. Its engine isn't used either: it wants a model of a language, which it fetches by
itself and ends the process where it can't, and its words of context raise no number that a check
digit has proved already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from workbench.data.curate.personal.hits import Hit, Nearby

_BY_FORM = (
    "DeSocialSecurity",
    "EsNie",
    "EsNif",
    "FiPersonalIdentityCode",
    "ItFiscalCode",
    "KrRrn",
    "UkNino",
)
"""Letters and digits in an order of their own, most with a check digit: none is found in 12
million characters of sums, news and programs."""
_BESIDE_A_WORD = (
    "AuMedicare",
    "AuTfn",
    "CaSin",
    "DeHealthInsurance",
    "DeIdCard",
    "DePassport",
    "DeTaxId",
    "InAadhaar",
    "NgNin",
    "Nhs",
    "PlPesel",
    "SePersonnummer",
    "SgFin",
    "ThTnin",
    "TrNationalId",
    "UkDrivingLicence",
    "UsItin",
    "UsMbi",
    "ZaIdNumber",
)
"""Digits that a check digit proves in one case of ten by chance: a word must say what they are."""
_SURE = 0.5
"""The score of presidio's that a form of its own has; what is checked has 1."""
_SOME_DIGITS = re.compile("[0-9](?:[^0-9]{0,6}[0-9]){4}")
"""Fewer are in none of them."""


@dataclass(frozen=True, slots=True)
class _Known:
    """One of presidio's recognisers, and the words that it must stand beside."""

    recogniser: Any
    entities: list[str]
    words: Nearby | None


def is_installed() -> bool:
    """Whether presidio can be imported; it isn't yet."""
    return find_spec("presidio_analyzer") is not None


def recognise(text: str) -> Iterator[Hit]:
    """Numbers of people of seventeen countries. Raises ImportError where presidio is not
    installed."""
    if not _SOME_DIGITS.search(text):
        return
    for known in _known():
        for result in known.recogniser.analyze(text, known.entities, None):
            beside = known.words is not None and known.words.found(text, result.start, result.end)
            if beside or (known.words is None and result.score >= _SURE):
                yield Hit(result.start, result.end, "id", result.entity_type.lower())


@lru_cache(maxsize=1)
def _known() -> tuple[_Known, ...]:
    """Made once for all rows."""
    from presidio_analyzer import predefined_recognizers

    known = []
    for name in (*_BY_FORM, *_BESIDE_A_WORD):
        recogniser = getattr(predefined_recognizers, f"{name}Recognizer")(supported_language="en")
        words = "|".join(map(re.escape, recogniser.context))
        nearby = Nearby(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), before=60, after=20)
        known.append(
            _Known(
                recogniser,
                recogniser.supported_entities,
                nearby if name in _BESIDE_A_WORD else None,
            )
        )
    return tuple(known)
