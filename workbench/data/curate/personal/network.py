"""Addresses of machines: IPv4, IPv6 and hardware addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv6Address

from workbench.data.curate.personal.hits import Hit

# Neither inside a longer number with dots nor part of a file's name, as `pip-24.1.2.3-py3.whl`.
_V4 = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.\w|-[A-Za-z])",
)
_DOTTED = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_VERSION = re.compile(
    r"(?:\b(?:version|release|ver|rev|revision|build|driver|firmware|section|sec|chapter|clause"
    r"|table|figure|fig|oid)\b[\s.:]{0,3}|[=~<>!]=\s?|[§^~])$",
    re.IGNORECASE,
)
_V6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{2,34}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:]|\.\w)"
)
# `a::b` is a name in C++ and Rust, and `x[10::2]` a slice: a shortened address must begin as those
# that are given out do (RFC 4291: 2000::/3, fc00::/7, fe80::/10), and hold a letter or more colons.
# One that is whole has a wide group: eight numbers of two digits are a count.
_GIVEN_OUT = re.compile(r"(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):", re.IGNORECASE)
_LIKE_ONE = re.compile("[a-fA-F]|:.*:.*:")
_WIDE = re.compile("[0-9A-Fa-f]{3}")
_PAIRS = re.compile("[:-](?:[0-9A-Fa-f]{2}[:-]){4}")
_MAC = re.compile(
    r"(?<![\w:.-])[0-9A-Fa-f]{2}(?P<sep>[:-])(?:[0-9A-Fa-f]{2}(?P=sep)){4}[0-9A-Fa-f]{2}"
    r"(?![\w:-]|\.\w)"
)


def ips(text: str) -> Iterator[Hit]:
    """Addresses that one machine or one home may have."""
    for match in _V4.finditer(text) if _DOTTED.search(text) else ():
        if _is_v4(match.group()) and not _VERSION.search(
            text, max(0, match.start() - 14), match.start()
        ):
            yield Hit(match.start(), match.end(), "ip", "ipv4")
    for match in _V6.finditer(text) if "::" in text or text.count(":") > 6 else ():
        if _is_v6(match.group()):
            yield Hit(match.start(), match.end(), "ip", "ipv6")


def _is_v4(written: str) -> bool:
    """Whether it is somebody's: a machine's own network (0 and 127), groups (224 and above) and
    masks are nobody's. Where three numbers of one digit come first it is a version, a section's
    number or a public server: one address in 20,000 begins so."""
    octets = written.split(".")
    if any(octet[0] == "0" != octet for octet in octets) or all(len(o) == 1 for o in octets[:3]):
        return False
    values = [int(octet) for octet in octets]
    return max(values) < 256 and values[0] not in (0, 127) and values[0] < 224


def _is_v6(written: str) -> bool:
    shortened = "::" in written
    if shortened and not (_GIVEN_OUT.match(written) and _LIKE_ONE.search(written)):
        return False
    if not shortened and not _WIDE.search(written):
        return False
    try:
        address = IPv6Address(written)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified)


def macs(text: str) -> Iterator[Hit]:
    """Hardware addresses (IEEE 802). Six pairs of digits below 60 may be days and times."""
    if not _PAIRS.search(text):
        return
    for match in _MAC.finditer(text):
        pairs = re.split("[:-]", match.group().casefold())
        # All bits 0 or 1 are nobody's.
        if len(set("".join(pairs))) > 1 and max(pairs) > "59":
            yield Hit(match.start(), match.end(), "mac", "eui-48")
