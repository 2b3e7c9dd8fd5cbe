"""Telephone numbers: of any country in international form, of many in their own, and bare ones
where a word beside them says what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from workbench.data.curate.personal.hits import Hit, digits_of, has_long_number

_SEP = r"[ \u00a0\u2011.-]"
# Not a part of a longer number, a sum of money, a product, a quotient or a range.
_START = r"(?<![\w$€£¥+])(?<![0-9][.,/:+*=-])"
_EXTENSION = r"(?:\s?(?:x|ext\.?|extension)\s?[0-9]{1,6})?"
_END = r"(?![\w%€£¥])(?![.,/:*+=-][0-9]|-[A-Za-z]\b|\s?[=*×÷])"
_NO_ZIP = r"(?![0-9]{5}-[0-9]{4}(?![0-9]))"

# The country codes that are given out (ITU-T E.164).
_COUNTRY = (
    "(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    "|2[1-69][0-9]|3[578][0-9]|42[013]|5[09][0-9]|6[7-9][0-9]|8[058][0-9]|9[679][0-9])"
)
_INTERNATIONAL = re.compile(
    # A trunk prefix in brackets, as in +41 (0)44, is written and not dialled.
    rf"{_START}(?<![0-9] )(?P<plus>\(?\+|00{_SEP}?){_COUNTRY}\)?{_SEP}?(?:\(0\){_SEP}?)?"
    rf"(?:\([0-9]{{1,5}}\){_SEP}?)?[0-9]{{1,14}}(?:{_SEP}[0-9]{{1,9}}){{0,6}}{_EXTENSION}{_END}"
)
# NXX-NXX-XXXX (North American Numbering Plan), where N isn't 0 or 1. Numbers that are made up
# often break the second part's rule, as 555-123-4567 does.
_NORTH_AMERICAN = re.compile(
    rf"{_START}(?:1[ .-])?(?:\([2-9][0-9]{{2}}\)[ -]?|[2-9][0-9]{{2}}(?P<sep>[.-]))"
    rf"(?P<exchange>[0-9])[0-9]{{2}}(?(sep)(?P=sep)|[ .-])[0-9]{{4}}{_EXTENSION}{_END}"
)
# After the trunk prefix 0 comes one sign between all groups: 020 7946 0018, 01.23.45.67.89,
# 0961-7596216; or brackets or a stroke after the first: (02) 5550 1234, 030/123 45 67.
_NATIONAL = re.compile(
    # After a group of four it is the rest of an account.
    rf"{_START}{_NO_ZIP}(?<![0-9]{{4}}[ -])(?:"
    r"\(0[1-9][0-9]{0,4}\)[ .-]?[0-9]{2,8}(?:[ .-][0-9]{2,5}){0,4}"
    r"|0[1-9][0-9]{1,4} ?/ ?[0-9]{2,8}(?:[ -][0-9]{2,5}){0,4}"
    r"|0[1-9][0-9]{0,4}-[0-9]{2,8}(?: [0-9]{2,5}){1,4}"
    r"|0[1-9][0-9]{0,4}(?P<sep>[ \u00a0-])[0-9]{2,8}(?:(?P=sep)[0-9]{2,5}){0,4}"
    r"|0[1-9][0-9]{0,3}(?:\.[0-9]{2,4}){3,4}"
    rf"){_EXTENSION}{_END}"
)
# Grouped as telephone numbers are somewhere, or not grouped at all.
_BARE = re.compile(
    # Neither a ZIP code nor one of a catalogue's, such as CVE-2023-12345.
    rf"{_START}{_NO_ZIP}(?<![A-Z]-)"
    rf"(?:\([0-9]{{1,5}}\)[ .-]?[0-9]{{2,8}}|[0-9]{{7,15}}|[0-9]{{1,5}}(?:/|{_SEP})[0-9]{{2,8}})"
    rf"(?:{_SEP}[0-9]{{2,7}}){{0,4}}{_EXTENSION}{_END}"
)

_WORD = re.compile(
    r"(?P<phone>\b(?:(?:tele|mobile ?|cell ?|smart)?phones?|tel|mobiles?|mob|cell|cellular|landline"
    r"|fax|hot ?line|voice ?mail|pager|whats ?app|sms|viber|gsm|ph(?=\s?[.:#])"
    r"|call(?:s|ed|ing)?|dial(?:l?ed|l?ing)?|ring|text(?:ed|ing)? (?:me|us|him|her|them|to)"
    r"|reach(?:ed|ing|able)?|contact|messages?|answering|desk|office|direct"
    r"|(?:my|your|his|her|our|their) (?:\w{2,9} )?(?:number|no\.)"
    r"|telefon\w{0,7}|handy|rufnummer|mobil\w{0,7}|anrufen|téléphone|tél|portable|appele[rz]"
    r"|teléfono|móvil|celular|llam\w{1,5}|telefono|cellulare|chiam\w{1,5}|telefone|telemóvel"
    r"|telefoon|puhelin)\b)"
    # A number that such a word comes before is none, whatever else is near it.
    r"|(?P<other>\b(?:orders?|account|invoice|serial|isbn|issn|tracking|ticket|case|ref|reference"
    r"|cards?|passport|policy|licen[cs]e|zip|post ?code|version|model|part|item|id|ssn|iban|vat"
    r"|tax|sku|room|flight|price|costs?|total|sum|population|doi|page|pages)\b)",
    re.IGNORECASE,
)
_BEFORE, _BEFORE_A_SHORT_ONE = 40, 15
"""Characters before a number that are looked through for a word. Seven or eight digits without a
group may be anything, a few words further on."""
_WORD_AFTER = re.compile(
    r"[ \t,\\(/|-]{0,4}(?:office|fax|mobile|cell|home|work|desk|direct|phone|tel|whats ?app)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?:^|[\s|,;(])[TMPFOHWC]:\s?$")
"""How the lines of a letter's foot begin: `T: …`, `M: …`."""

_FEWEST, _MOST = 7, 15
"""Digits of a subscriber's number with or without its codes; E.164 allows 15."""
_MOST_NATIONAL = 13


def phones(text: str) -> Iterator[Hit]:
    """The numbers that prove themselves by their form, then the bare ones beside a word."""
    if not has_long_number(text):
        return
    for match in _INTERNATIONAL.finditer(text):
        digits = digits_of(_number(match))
        grouped = not match.group().isdigit()
        sure = "+" in match["plus"] or (grouped and len(digits) > _FEWEST + 3)
        if (
            sure
            and not _is_a_fraction(match)
            and _FEWEST < len(digits) <= _MOST
            and not _is_round(digits)
        ):
            yield Hit(match.start(), match.end(), "phone", "international")
    for match in _NORTH_AMERICAN.finditer(text):
        by_the_plan = match["exchange"] not in "01"
        if not _are_round(_groups(match)) and (
            by_the_plan or _nearest_word(text, match.start()) != "other"
        ):
            yield Hit(match.start(), match.end(), "phone", "north-american")
    for match in _NATIONAL.finditer(text):
        fits = _FEWEST + 2 <= len(digits_of(_number(match))) <= _MOST_NATIONAL
        if fits and not _in_a_list(text, match):
            yield Hit(match.start(), match.end(), "phone", "national")
    for match in _BARE.finditer(text):
        if _may_be_one(match) and _is_said_to_be(text, match):
            yield Hit(match.start(), match.end(), "phone", "beside a word")


def _number(match: re.Match[str]) -> str:
    """What was found without an extension."""
    return re.split(r"\s?[xe]", match.group(), maxsplit=1)[0]


def _groups(match: re.Match[str]) -> list[str]:
    return re.findall("[0-9]+", _number(match))


def _is_a_fraction(match: re.Match[str]) -> bool:
    return re.fullmatch(r"\+?[0-9]+\.[0-9]+", match.group()) is not None


def _are_round(groups: list[str]) -> bool:
    return all(group.endswith("0") for group in groups)


def _is_round(digits: str) -> bool:
    return digits.endswith("0000") or len(set(digits)) < 3


def _in_a_list(text: str, match: re.Match[str]) -> bool:
    """Whether it is pairs of digits that count, or go on before or after it, as bytes do."""
    groups = _groups(match)
    if any(len(group) != 2 for group in groups):
        return False
    if all(int(after) - int(before) == 1 for before, after in pairwise(groups)):
        return True
    more = r"[0-9A-Fa-f]{2}"
    before, after = text[max(0, match.start() - 3) : match.start()], text[match.end() :][:4]
    return bool(re.fullmatch(rf"{more}[ .-]", before) or re.match(rf"[ .-]{more}(?!\w)", after))


def _may_be_one(match: re.Match[str]) -> bool:
    """Whether a bare number has as many digits as one, and is neither a sum nor a range."""
    if _is_a_fraction(match):
        return False
    groups = _groups(match)
    digits = "".join(groups)
    if not _FEWEST <= len(digits) <= (_MOST if len(groups) == 1 else _MOST - 2):
        return False
    years = all(re.fullmatch("(?:19|20)[0-9]{2}", group) for group in groups)
    a_range = len(groups) == 2 and "-" in match.group() and _are_round(groups)
    return not (years or a_range or _is_round(digits))


def _is_said_to_be(text: str, match: re.Match[str]) -> bool:
    """Whether the nearest word that says what a number is, says telephone."""
    start, end = match.span()
    is_short = match.group().isdigit() and end - start < 9
    if _WORD_AFTER.match(text, end, end + 16) or _LETTER.search(text, max(0, start - 4), start):
        return True
    return _nearest_word(text, start, _BEFORE_A_SHORT_ONE if is_short else _BEFORE) == "phone"


def _nearest_word(text: str, start: int, reach: int = _BEFORE) -> str | None:
    """Whether the last word before a number that says what it is says `phone` or `other`."""
    words = _WORD.finditer(text, max(0, start - reach), start)
    return max(((word.start(), word.lastgroup) for word in words), default=(0, None))[1]
