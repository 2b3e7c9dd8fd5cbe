"""Numbers that a state gives to a person: social security, licences, passports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.data.curate.personal.hits import Hit, Nearby, digits_of, has_long_number, mentions

# Areas 000 and 666, group 00 and serial 0000 are never given out (20 CFR 422.103); 900 to 999 are
# those of tax numbers and of advertisements.
_SSN = re.compile(
    r"(?<![\w-])(?<![0-9][.,/])(?!000|666)[0-9]{3}(?P<sep>[- \u00a0]?)(?!00)[0-9]{2}(?P=sep)"
    r"(?!0000)[0-9]{4}(?![\w-]|[.,/][0-9])"
)
_SSN_WORDS = Nearby(re.compile(r"\b(?:ssn|social|itin)\b", re.IGNORECASE), before=40, after=20)
_DOCUMENT = re.compile(
    r"\b(?:(?P<licence>driv(?:er|ing)(?:['’]?s?['’]?)?\s(?:licen[cs]e|permit)|führerschein)"
    r"|(?P<passport>passport|reisepass|passeport|pasaporte)"
    r"|(?:national id|identity card|id card|personalausweis))"
    r"(?:[\s:#=.]|\b(?:number|no|nr|num|id|is|was|nummer|ist)\b){1,8}"
    r"(?P<number>[A-Z]{0,6}[0-9][A-Z0-9]{0,17}(?:-[A-Z0-9]{1,8}){0,3})(?![\w-])",
    re.IGNORECASE,
)
_DOCUMENT_WORDS = (
    "licen",
    "permit",
    "führerschein",
    "pass",
    "pasaporte",
    "national id",
    "identity card",
    "id card",
    "personalausweis",
)
_FEWEST_DIGITS = 5
"""Of a document's number: four are a year."""


def ssns(text: str) -> Iterator[Hit]:
    """United States social security numbers: with hyphens by their form, else where a word says
    so."""
    if not has_long_number(text):
        return
    for match in _SSN.finditer(text):
        round_groups = all(group.endswith("0") for group in match.group().split("-"))
        by_form = match["sep"] == "-" and not round_groups and match.group()[0] != "9"
        if by_form or _SSN_WORDS.found(text, match.start(), match.end()):
            yield Hit(match.start(), match.end(), "ssn", "us")


def documents(text: str) -> Iterator[Hit]:
    """Numbers that follow the name of a document. Their forms alone prove nothing."""
    if not mentions(text, _DOCUMENT_WORDS):
        return
    for match in _DOCUMENT.finditer(text):
        if len(digits_of(match["number"])) >= _FEWEST_DIGITS:
            rule = next((rule for rule in ("licence", "passport") if match[rule]), "identity")
            yield Hit(match.start("number"), match.end("number"), "id", rule)
