"""What says that a text is somebody's: notices, licences, agencies' credits."""

from __future__ import annotations

import re
from collections.abc import Iterator

_YEAR = r"(?:19|20)\d\d"
_FEW = r"\s{0,3}"
"""White space where more may follow: two runs without an end would be tried in every way."""
_WORKS = r"(?:publication|book|work|document|article|report|site|website|volume)"
_RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "rights reserved": (("reserved",), r"\ball\s+rights\s+(?:are\s+)?reserved\b"),
    "copyright notice": (
        ("copyright", "©", "(c)", "&copy;"),
        rf"(?:©|&copy;|\bcopyright\b){_FEW}(?:©|\(c\)|&copy;)?{_FEW}(?:by\s+)?{_YEAR}\b"
        rf"|\(c\)\s*(?:copyright\s+)?{_YEAR}\b"
        rf"|©\s*[^\W\d_][^\n©]{{0,40}}?\b{_YEAR}\b"
        rf"|\bcopyright\s+(?:©|\(c\))\s*[^\W\d_]",
    ),
    "SPDX tag": (("spdx",), r"\bSPDX-License-Identifier:[ \t]*[\w.+-]+"),
    "GPL": (
        ("gnu", "free software"),
        r"\bGNU\s+(?:(?:affero|lesser|library)\s+)?general\s+public\s+licen[cs]e"
        r"|\bthis\s+program\s+is\s+free\s+software[;:]\s+you\s+can\s+redistribute",
    ),
    "Creative Commons": (
        ("commons", "cc by", "cc-by"),
        r"\bcreative\s+commons\s+(?:attribution|zero|public)\b"
        r"|\bcreativecommons\.org/licen[cs]es/[\w./-]+"
        r"|\bCC[ -]BY(?:-(?:SA|NC|ND))*(?:[ -]\d\.\d)?\b",
    ),
    "software licence": (
        ("licen", "permission", "redistribution", "warranty"),
        r"\blicen[cs]ed\s+under\s+the\s+(?:apache|mit|bsd|mozilla|eclipse)\b"
        r"|\bpermission\s+is\s+hereby\s+granted,\s+free\s+of\s+charge"
        r"|\bredistribution\s+and\s+use\s+in\s+source\s+and\s+binary\s+forms"
        r"|\bprovided\s+[\"“]?as\s+is[\"”]?,?\s+without\s+warranty",
    ),
    "no reproduction": (
        ("prohibited", "may not", "must not", "no part of", "permission", "consent"),
        r"\b(?:reproduction|redistribution|duplication|unauthori[sz]ed\s+(?:use|copying"
        r"|reproduction|distribution))\b[^.\n]{0,60}\bprohibited\b"
        rf"|\bno\s+part\s+of\s+this\s+{_WORKS}\s+may\s+be\b"
        r"|\b(?:may|must)\s+not\s+be\s+(?:copied|published|reproduced|redistributed|republished)"
        r"(?:\s*,|\s+(?:or|without|in\s+any))"
        r"|\bwithout\s+(?:the\s+)?(?:prior|express|explicit)\s+(?:written\s+)?(?:permission"
        r"|consent)\s+(?:of|from)\s+the\s+(?:publisher|author|copyright|owner)",
    ),
    "paywall": (
        ("reading", "subscri", "to read"),
        r"\b(?:subscribe|sign\s+in|log\s+in|register)\s+(?:now\s+)?to\s+(?:continue|keep)\s+reading"
        r"|\balready\s+a\s+subscriber\s*\?|\bto\s+read\s+the\s+full\s+(?:article|story),?\s+"
        r"(?:please\s+)?(?:subscribe|sign|log|register)"
        r"|\bthis\s+(?:article|content|story)\s+is\s+(?:only\s+)?(?:for|available\s+(?:only\s+)?to"
        r"|reserved\s+for|exclusive\s+to)\s+(?:our\s+)?subscribers",
    ),
    "terms of use": (
        ("terms",),
        r"\b(?:subject\s+to|agree\s+to|accept)\s+(?:our|the|these)\s+terms\s+(?:of\s+(?:use"
        r"|service)|and\s+conditions)",
    ),
    "agency credit": (
        (
            "photo",
            "image",
            "picture",
            "getty",
            "shutterstock",
            "istock",
            "alamy",
            "/reuters",
            "/afp",
        ),
        r"(?:/|\bvia\s+|©\s*|\bcourtesy\s+of\s+)(?:getty\s+images|shutterstock|istock(?:photo)?"
        r"|alamy|reuters|afp|associated\s+press)\b"
        r"|\b(?:AP|AFP|reuters)\s+photo\b|\bgetty\s+images\)"
        r"|\b(?:photo(?:graph)?|image|picture)s?\s+(?:courtesy\s+of|credit)\b"
        rf"|\b(?:photo|image)\s+by{_FEW}:?\s+[^\n/]{{1,40}}/\s*[^\W\d_]",
    ),
    "ISBN": (("isbn",), r"\bISBN(?:-1[03])?:?\s*(?:97[89][- ]?)?\d(?:[- ]?\d){8}[- ]?[\dX]\b"),
}
"""By its name, what each rule looks for, and words of which a text that has it has one: few texts
do, and to look for words is a hundred times as fast as for what may be written in many ways."""
_PATTERNS = [
    (name, words, re.compile(rule, re.IGNORECASE)) for name, (words, rule) in _RULES.items()
]
# A bibliography has ISBNs too; the page of a book that says whose it is has more.
_IMPRINT = re.compile(
    r"library\s+of\s+congress|first\s+(?:published|printed|edition)|printed\s+in|published\s+by"
    r"|all\s+rights\s+reserved|copyright|©|cataloguing|cataloging",
    re.IGNORECASE,
)
_NEAR = 300
"""Characters from an ISBN within which another line of such a page is looked for."""


def find(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and the rule's name of each marker in a text, in their order."""
    lower = text.lower()
    found = [
        (*place.span(), name)
        for name, words, pattern in _PATTERNS
        if any(word in lower for word in words)
        for place in pattern.finditer(text)
    ]
    for start, end, name in sorted(found):
        if name != "ISBN" or _on_imprint(text, start, end):
            yield start, end, name


def _on_imprint(text: str, start: int, end: int) -> bool:
    return _IMPRINT.search(text, max(0, start - _NEAR), end + _NEAR) is not None
