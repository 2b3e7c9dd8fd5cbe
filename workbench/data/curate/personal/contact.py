"""E-mail addresses and links."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.data.curate.personal.hits import Hit, mentions

# A label of a domain name has at most 63 signs (RFC 1035), the part before the @ 64 (RFC 5321).
_EMAIL = re.compile(
    r"(?<![\w.%+-])(?P<name>[\w.%+-]{1,64})@"
    r"(?:[^\W_][\w-]{0,62}\.){1,8}(?P<top>[^\W\d_]{2,24})(?!\w|-\w)"
)
# What is written like an address in programs and file lists: `icon@2x.png`, `a@b.dot(c)`.
_FILE = re.compile(
    "avif|bmp|css|csv|gif|gz|html|ico|ipynb|jpe?g|jsx?|json|mdx?|mjs|mp[34]|pdf|png|py|rs|s?css|sh"
    "|so|sql|svg|tar|toml|tsx?|ttf|txt|vue|web[mp]|woff|xml|ya?ml|zip",
    re.IGNORECASE,
)

_ENDS = r"[^\s<>\"`{}|\\^]"
_LINK = re.compile(
    rf"\b(?:https?|ftps?)://(?P<host>[^\s<>\"`{{}}|\\^/?#,]+){_ENDS}*"
    rf"|(?<![\w./@-])www\.(?:[^\W_][\w-]{{0,62}}\.){{1,8}}[^\W\d_]{{2,24}}(?!\w|-\w)(?:[/?#]{_ENDS}*)?",
    re.IGNORECASE,
)
_STOPS = ".,;:!?'*_…"
# A machine's own name or address is nobody's.
_OWN = re.compile(r"(?:[^@]*@)?(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\])(?::\d*)?", re.I)
_DOT = re.compile(r"\.[a-z]{2}")
# Without `www.` or a scheme a name with a dot is as often a file or a piece of a program.
_DOMAIN = re.compile(
    r"\b(?i:web ?site|web ?page|home ?page|web|site|url|link|blog|domain|visit|portfolio)\b"
    r"(?i:\s(?:name|address|here|is|at|us at|to))?(?:\s?[:=]|\sis)?\s{1,3}"
    r"(?P<name>(?:[^\W_][\w-]{0,62}\.){1,4}[a-z]{2,24})(?![\w(@]|[.-]\w)"
)


def emails(text: str) -> Iterator[Hit]:
    """Addresses by their form; nothing is asked of a network."""
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        a_file = _FILE.fullmatch(match["top"])
        a_call = text.startswith("(", match.end())
        a_repository = match["name"] == "git" and text.startswith((":", "/"), match.end())
        if not (a_file or a_call or a_repository):
            yield Hit(match.start(), match.end(), "email", "address")


def links(text: str) -> Iterator[Hit]:
    """Links with a scheme or `www.`, and domain names where a word says that they are one."""
    for match in _LINK.finditer(text) if mentions(text, ("://", "www.")) else ():
        host = match["host"]
        # A host without a dot is a name in somebody's own network, or an example.
        if host is None or (("." in host or "[" in host) and not _OWN.fullmatch(host)):
            yield Hit(match.start(), _trimmed(text, match.start(), match.end()), "url", "link")
    for match in _DOMAIN.finditer(text) if _DOT.search(text) else ():
        if not _FILE.fullmatch(match["name"].rpartition(".")[2]):
            yield Hit(match.start("name"), match.end("name"), "url", "domain")


def _trimmed(text: str, start: int, end: int) -> int:
    """The end of a link without the sentence's own punctuation after it."""
    unopened = {
        closes: text.count(closes, start, end) - text.count(opens, start, end)
        for opens, closes in ("()", "[]")
    }
    while end > start and (text[end - 1] in _STOPS or unopened.get(text[end - 1], 0) > 0):
        end -= 1
        if text[end] in unopened:
            unopened[text[end]] -= 1
    return end
