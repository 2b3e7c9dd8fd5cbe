"""Bank accounts and cards: numbers that prove themselves by a check digit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from workbench.data.curate.personal.hits import Hit, Nearby, has_long_number, luhn

# The length by country, from SWIFT's IBAN registry.
_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 "
        "DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 "
        "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 "
        "MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 "
        "RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 "
        "VA22 VG24 XK20 YE30",
    )
}
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}[0-9]{2}(?=[ \u00a0-]?[A-Za-z0-9])")

_CARD = re.compile(
    r"(?<!\w)(?<![0-9][.,/-])"
    r"(?:[0-9]{12,19}|[0-9]{4}(?:(?P<sep>[ \u00a0-])[0-9]{3,6})(?:(?P=sep)[0-9]{1,6}){1,4})"
    r"(?!\w|[.,/-][0-9])"
)
_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4), (4, 4, 5), (4, 3, 3, 3)}
"""How cards are printed: Visa and most others, American Express, Diners, then those of 19, 12
and 13 digits."""
# What the first digits say of the issuer, with the lengths that it gives out (ISO/IEC 7812; the
# ranges that the networks publish).
_ISSUERS = (
    ("visa", "4", "4", (13, 16, 19)),
    ("mastercard", "51", "55", (16,)),
    ("mastercard", "2221", "2720", (16,)),
    ("american-express", "34", "34", (15,)),
    ("american-express", "37", "37", (15,)),
    ("discover", "6011", "6011", (16, 19)),
    ("discover", "644", "659", (16, 19)),
    ("diners", "300", "305", (14, 16, 19)),
    ("diners", "3095", "3095", (14, 16, 19)),
    ("diners", "36", "36", (14, 16, 19)),
    ("diners", "38", "39", (14, 16, 19)),
    ("jcb", "3528", "3589", (16, 19)),
    ("jcb", "2131", "2131", (15,)),
    ("jcb", "1800", "1800", (15,)),
    ("unionpay", "62", "62", (16, 17, 18, 19)),
    ("mir", "2200", "2204", (16,)),
    ("rupay", "60", "60", (16,)),
    ("rupay", "81", "82", (16,)),
    ("troy", "9792", "9792", (16,)),
    ("maestro", "5018", "5018", tuple(range(12, 20))),
    ("maestro", "5020", "5020", tuple(range(12, 20))),
    ("maestro", "5038", "5038", tuple(range(12, 20))),
    ("maestro", "56", "58", tuple(range(12, 20))),
    ("maestro", "6304", "6304", tuple(range(12, 20))),
    ("maestro", "67", "67", tuple(range(12, 20))),
)
_SURE = (14, 15, 16)
"""Digits of a card that is one without a word beside it. Those of 12 and 13 are also goods (EAN)
and milliseconds since 1970, those of 17 and more the numbers of posts. Maestro's come in all
lengths: only the commonest is sure."""
_CARD_WORDS = Nearby(
    re.compile(
        r"\b(?:cards?|credit|debit|visa|mastercard|maestro|amex|american express|discover|diners"
        r"|jcb|unionpay|cc|ccn|pan|pay|paid|payments?|charged?|billing|kreditkarte|karte|carte"
        r"|tarjeta|carta|cartão|kaart|kort)\b|card_?num|kartennummer",
        re.IGNORECASE,
    ),
    before=60,
    after=40,
)


def ibans(text: str) -> Iterator[Hit]:
    """Accounts of a country's own length, whose remainder is right (ISO 13616)."""
    if not has_long_number(text):
        return
    for match in _IBAN.finditer(text):
        length = _LENGTHS.get(match.group()[:2].upper())
        account = _of_length(length).match(text, match.start()) if length else None
        if account and _remainder(account.group()) == 1:
            yield Hit(account.start(), account.end(), "iban", match.group()[:2].upper())


@lru_cache
def _of_length(length: int) -> re.Pattern[str]:
    """So many signs, in fours with one space or hyphen between them, or without."""
    fours, rest = divmod(length - 4, 4)
    last = rf"[ \u00a0-]?[A-Za-z0-9]{{{rest}}}" if rest else ""
    return re.compile(rf"[A-Za-z0-9]{{4}}(?:[ \u00a0-]?[A-Za-z0-9]{{4}}){{{fours}}}{last}(?!\w)")


def _remainder(account: str) -> int:
    """Of the account as one number, its first four signs last, letters as 10 to 35."""
    signs = re.sub(r"[^A-Za-z0-9]", "", account)
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97


def cards(text: str) -> Iterator[Hit]:
    """Numbers of 12 to 19 digits with the right last one, that begin as an issuer's do; where a
    word beside it says card, whoever issued it."""
    if not has_long_number(text):
        return
    for match in _CARD.finditer(text):
        groups = re.split("[ \u00a0-]", match.group())
        # The three digits of the back may follow a card's last group.
        for count in (len(groups), len(groups) - 1):
            number = "".join(groups[:count])
            end = match.start() + len(number) + count - 1
            if count > 1 and tuple(map(len, groups[:count])) not in _GROUPS:
                continue
            if rule := _issuer(text, number, match.start(), end):
                yield Hit(match.start(), end, "card", rule)
                break


def _issuer(text: str, number: str, start: int, end: int) -> str:
    """Who gave the card out; empty when it is none."""
    if not 12 <= len(number) <= 19 or len(set(number)) < 2 or not luhn(number):
        return ""
    known = next(
        (
            name
            for name, low, high, lengths in _ISSUERS
            if len(number) in lengths and low <= number[: len(low)] <= high
        ),
        "",
    )
    if known and len(number) in (_SURE if known != "maestro" else (16,)):
        return known
    return (known or "card") if _CARD_WORDS.found(text, start, end) else ""
