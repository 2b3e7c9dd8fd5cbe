"""Keys, tokens and passwords of machines: by the forms that their issuers publish, and what looks
random beside a word that says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from workbench.data.curate.personal.hits import Hit, mentions

# Issuers give their keys a beginning of their own so that they can be found; GitHub's list of
# secret scanning patterns and each issuer's documentation name them.
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?P<aws>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})"
    r"|(?P<github>gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})"
    r"|(?P<gitlab>gl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,255})"
    r"|(?P<anthropic>sk-ant-[\w-]{20,255})"
    r"|(?P<openai>sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,255})"
    r"|(?P<slack>(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,255}"
    r"|https://hooks\.slack\.com/services/T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/[A-Za-z0-9]{16,40})"
    r"|(?P<google>AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20,1024})"
    r"|(?P<stripe>(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9]{24,255})"
    r"|(?P<huggingface>hf_[A-Za-z0-9]{34})"
    r"|(?P<npm>npm_[A-Za-z0-9]{36})"
    r"|(?P<pypi>pypi-AgEIcHlwaS5vcmc[\w-]{50,512})"
    r"|(?P<sendgrid>SG\.[\w-]{22}\.[\w-]{43})"
    r"|(?P<digitalocean>do[opr]_v1_[a-f0-9]{64})"
    r"|(?P<databricks>dapi[a-f0-9]{32})"
    r"|(?P<telegram>[0-9]{8,10}:AA[\w-]{33})"
    r"|(?P<jwt>eyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]{8,4096})"
    r")(?![A-Za-z0-9_])"
)
_LONG_WORD = re.compile(r"[\w-]{15}")
"""Each of them has such a piece."""
_HYPHENED = ("openai", "anthropic", "gitlab")
"""Whose form alone is also that of names joined by hyphens, such as a style sheet's `sk-…`."""

_PRIVATE = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    # Lines as they are, or joined by `\n` in a program's string. Nothing is given back: where
    # the end is missing, what was read is the key.
    r"\s{0,4}+(?:[A-Za-z-]{3,20}: [^\r\n]{1,120}[\r\n]++){0,4}+"
    r"(?=(?:\\[nr]|[\s\"',+]){0,8}[A-Za-z0-9+/=]{16})"
    r"(?:[A-Za-z0-9+/=]{16,}+|\\[nr]|[\s\"',+]"
    r"|[A-Za-z0-9+/=]{1,15}+(?=(?:\\[nr]|[\s\"',+]){0,8}-----END))*+"
    r"(?:-----END (?:[A-Z0-9]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
)

_NAMES = (
    "key",
    "secret",
    "token",
    "passw",
    "passphrase",
    "pwd",
    "credential",
    "authorization",
    "bearer",
)
_NAMED = re.compile(
    r"(?:(?:api|access|secret|private|auth|account|storage|encryption|signing|master)[_ -]?key"
    r"|secret|token|passw(?:or)?d|passphrase|pwd|credentials?|authorization|bearer)"
    r"[\"'`]?(?:\s{0,3}(?:[:=]|=>|:=|\bis\b)\s{0,3}|(?<=bearer)\s)[\"'`]?(?:(?:bearer|basic)\s)?"
    r"(?P<value>[A-Za-z0-9+/_.~-]{16,512}={0,2})(?![\w(\[])",
    re.IGNORECASE,
)
_CHANGES = 0.3
"""The least share of neighbours of different classes (small, capital, digit, sign). In a random
name of letters and digits 0.6 are, in hexadecimal digits 0.47; in `get_password_hash256` 0.26."""


def keys(text: str) -> Iterator[Hit]:
    """What opens something, and belongs in no dataset."""
    for match in _PRIVATE.finditer(text) if "PRIVATE KEY" in text else ():
        yield Hit(match.start(), match.start() + len(match.group().rstrip()), "key", "private-key")
    for match in _ISSUED.finditer(text) if _LONG_WORD.search(text) else ():
        rule = match.lastgroup or ""
        # Hyphens are signs of these keys too: the longest piece tells.
        piece = max(re.split("[-_]", match.group()), key=len)
        if rule not in _HYPHENED or _looks_random(piece):
            yield Hit(match.start(), match.end(), "key", rule)
    for match in _NAMED.finditer(text) if mentions(text, _NAMES) else ():
        if _looks_random(match["value"]):
            yield Hit(match.start("value"), match.end("value"), "key", "beside a word for a secret")


def _looks_random(value: str) -> bool:
    """Whether nobody would write it by hand: letters and digits, mixed."""
    digits = sum(sign.isdigit() for sign in value)
    letters = sum(sign.isalpha() for sign in value)
    if not digits or letters < 2 or len(set(value)) < 8:
        return False
    classes = [_class(sign) for sign in value]
    changed = sum(a != b for a, b in pairwise(classes))
    return changed >= _CHANGES * (len(value) - 1)


def _class(sign: str) -> int:
    return 0 if sign.isdigit() else 1 if sign.islower() else 2 if sign.isupper() else 3
