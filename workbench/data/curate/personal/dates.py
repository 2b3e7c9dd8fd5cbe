"""Dates of birth, and dates that name a day.

A day's date is what joins a person's record with another: US law counts every part of a date that
is finer than its year as identifying (45 CFR 164.514(b)(2)(i)(C)). A year alone, a weekday or a
month isn't, and a day before 1900 is history's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.data.curate.personal.hits import Hit, mentions

_MONTHS = (
    # English, German, French, Spanish, Italian, Portuguese, Dutch.
    "jan(?:uary|uar|vier|uari)?|feb(?:ruary|ruar|ruari)?|f[ée]v(?:r(?:ier)?)?|mar(?:ch|s)?|märz"
    "|maart|apr(?:il)?|avr(?:il)?|ma[iy]|mei|jun[ei]?|juin|jul[yi]?|juillet|aug(?:ust(?:us)?)?"
    "|ao[ûu]t|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre|iembre)?"
    "|de[cz](?:ember|embre)?|d[ée]c(?:embre)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto"
    "|septiembre|octubre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre"
    "|dicembre|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro"
)
_YEAR = "(?:19|20)[0-9]{2}"
_YEARS = re.compile(rf"{_YEAR}(?![0-9])")
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th|\.)?"
_CLOCK = (
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_DATE = re.compile(
    r"(?<!\w)(?<![0-9][.,/-])(?:"
    rf"{_YEAR}(?P<iso>[-/])(?P<month>[0-9]{{1,2}})(?P=iso)(?P<day>[0-9]{{1,2}}){_CLOCK}"
    # With dots and one digit it is a version: PyCharm 2024.3.1.
    rf"|{_YEAR}\.(?:0[1-9]|1[0-2])\.(?:0[1-9]|[12][0-9]|3[01])"
    rf"|(?P<first>[0-9]{{1,2}})(?P<sep>[-/.])(?P<second>[0-9]{{1,2}})(?P=sep){_YEAR}{_CLOCK}"
    rf"|{_DAY}\s(?:of\s|de\s)?(?:{_MONTHS})\b\.?,?\s(?:de\s)?{_YEAR}"
    rf"|(?:{_MONTHS})\b\.?\s{_DAY},?\s{_YEAR}"
    r")(?!\w|[./-][0-9])",
    re.IGNORECASE,
)
_BORN = re.compile(
    r"\b(?:(?P<field>born on|date of birth|birth ?dates?|d\.?o\.?b\b\.?|geburtsdatum"
    r"|date de naissance|fecha de nacimiento|data di nascita|data de nascimento|geboortedatum)"
    r"|born|birthday|geboren|geb\.|née? le|nacid[oa]|nat[oa] il|nascid[oa])(?!\w)",
    re.IGNORECASE,
)
_BORN_WORDS = (
    "born",
    "birth",
    "dob",
    "d.o.b",
    "geb.",
    "gebor",
    "geburt",
    "geboorte",
    "né le",
    "née le",
    "naissance",
    "nacid",
    "nacimiento",
    "nascita",
    "nato il",
    "nata il",
    "nascid",
    "nasciment",
)
_REACH = 30
"""Characters between a word of birth and the end of its date's beginning."""
_SHORT_DATE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"(?P<first>[0-9]{1,2})(?P<sep>[-/.])(?P<second>[0-9]{1,2})(?P=sep)[0-9]{2}"
    rf"|{_DAY}\s(?:of\s|de\s)?(?:{_MONTHS})\b|(?:{_MONTHS})\b\.?\s{_DAY}"
    # With a year it is a whole date, or one of long ago.
    r")(?!\w|[./-][0-9]|,?\s[0-9]{4})",
    re.IGNORECASE,
)
_YEAR_ONLY = re.compile(rf"(?<![\w.,/-]){_YEAR}(?!\w|[.,/-][0-9]|\s?[-+*/])")
_LONGEST = 48
"""Characters of the longest date that can be read."""


def births(text: str) -> Iterator[Hit]:
    """Dates after a word of birth; a year alone only where a date is asked for: `born in 1977`
    says no more than an age does."""
    if not mentions(text, _BORN_WORDS):
        return
    for word in _BORN.finditer(text):
        forms = [_DATE, _SHORT_DATE] + ([_YEAR_ONLY] if word["field"] else [])
        for form in forms:
            # Of the text's own, so that what stands around the date is seen.
            match = form.search(text, word.end(), word.end() + _REACH + _LONGEST)
            if match and match.start() <= word.end() + _REACH and _has_day_and_month(match):
                yield Hit(match.start(), match.end(), "birth-date", "after a word of birth")
                break


def dates(text: str) -> Iterator[Hit]:
    """Days from 1900 on, with their year."""
    end = 0
    for year in _YEARS.finditer(text):
        # The months of seven languages are looked for where they may stand, not all over a text.
        window = max(end, year.start() - _LONGEST), year.end() + _LONGEST
        for match in _DATE.finditer(text, *window) if year.start() >= end else ():
            if _has_day_and_month(match):
                yield Hit(match.start(), match.end(), "date", "day")
                end = match.end()


def _has_day_and_month(match: re.Match[str]) -> bool:
    """Whether the numbers of a date can be a day and a month, whichever comes first."""
    numbers = match.groupdict()
    if numbers.get("month"):
        return 1 <= int(numbers["month"]) <= 12 and 1 <= int(numbers["day"]) <= 31
    if numbers.get("first"):
        low, high = sorted((int(numbers["first"]), int(numbers["second"])))
        return 1 <= low <= 12 and high <= 31
    return True
