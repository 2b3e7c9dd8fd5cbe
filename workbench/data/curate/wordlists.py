"""Lists of words and phrases, and the search for all of them at once.

A list is a text file with an entry a line; what follows `#` is a comment. An entry is a word or
several that follow each other. A `*` at its end stands for any ending of its last word.

Case, accents, the width of signs and invisible characters make no difference, nor what stands
between two words of an entry; of what is written with figures for letters the usual is found
(`h4ck`). An entry is never found within a longer word: `hell` is not in `shell`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_FOLDER = Path(__file__).parent / "lists"
_LONGEST = 100
"""Characters of an entry."""
_MOST = 5000
"""Entries of a list: beyond that, each word of each row is compared with too many."""
_LARGEST = 2**20
"""Bytes of a list."""
_SIGNS = {" ": r"[\W_]{1,3}", "'": "'?", "*": r"\w*"}
"""Signs of an entry that stand for others."""
_END = ""
_LEET = {"a": "4@", "e": "3", "i": "1", "o": "0", "s": "5$", "t": "7"}
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"


class _Folds(dict[int, str]):
    """What each character is compared as: one character, or none. Filled as they are met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        self[code] = folded = _folded_sign(sign)
        return folded


def _folded_sign(sign: str) -> str:
    if sign in _INVISIBLE or unicodedata.combining(sign):
        return ""
    if sign in "’‘ʼ`´":
        return "'"
    plain = [s for s in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(s)]
    lower = "".join(plain).casefold()
    return lower if len(lower) == 1 else sign


_FOLDS = _Folds()


class Matcher:
    """Finds the entries of several lists in texts."""

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        """Takes the entries of each list by its name."""
        self._names = tuple(lists)
        # A list with two hits at one place: the first is named.
        groups = (f"({_alternatives(entries)})" for entries in lists.values())
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(groups)})(?!\w)")

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and the list's name of each entry that the text has."""
        folded = text.translate(_FOLDS)
        hits = [found for found in self._pattern.finditer(folded) if _is_written_out(found[0])]
        if not hits:
            return
        if len(folded) == len(text):
            places: Sequence[int] = range(len(text))
        else:
            places = [i for i, sign in enumerate(text) if _FOLDS[ord(sign)]]
        for found in hits:
            name = self._names[(found.lastindex or 1) - 1]
            yield places[found.start()], places[found.end() - 1] + 1, name


def _is_written_out(found: str) -> bool:
    """Of a match with figures for letters, half are letters: 455 is a number."""
    return 2 * sum(map(str.isalpha, found)) >= sum(map(str.isalnum, found))


def _alternatives(entries: Sequence[str]) -> str:
    """The pattern of all entries, in which those that begin alike share their beginning: where
    that doesn't fit, all of them are passed over at once."""
    tree: dict[str, Any] = {}
    for entry in entries:
        node = tree
        for sign in entry:
            node = node.setdefault(sign, {})
        node[_END] = {}
    return _branches(tree)


def _branches(node: dict[str, Any]) -> str:
    # The longer of two that begin alike first: an alternative that fits ends the search.
    signs = sorted(node.keys() - {_END}, key=lambda sign: (sign == "*", sign))
    longer = [_sign(sign) + _branches(node[sign]) for sign in signs]
    branches = [*longer, ""] if _END in node else longer
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    other = _LEET.get(sign)
    return f"[{sign}{other}]" if other else re.escape(sign)


def bundled(name: str) -> tuple[str, ...]:
    """The entries of one of the workbench's own lists."""
    return read(_FOLDER / f"{name}.txt")


def read(path: Path) -> tuple[str, ...]:
    """The entries of a list, as they are compared.

    Raises WorkbenchError for what can't be read or is no list, naming the line.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise explain_os_error(error, f"read the list {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"The list {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    lines = enumerate(text.splitlines(), start=1)
    entries = [entry for number, line in lines if (entry := _entry(path, number, line))]
    if not entries:
        raise WorkbenchError(f"The list {path} has no entries.", "Write a word or phrase a line.")
    if len(entries) > _MOST or len(data) > _LARGEST:
        raise WorkbenchError(
            f"The list {path} is too long.",
            f"A list may have {_MOST:,} entries and {_LARGEST:,} bytes.",
        )
    return tuple(entries)


def _entry(path: Path, number: int, line: str) -> str:
    """A line's entry; empty where it has none."""
    entry = " ".join(line.partition("#")[0].translate(_FOLDS).split())
    if not entry:
        return ""
    words = entry.removesuffix("*")
    if len(entry) > _LONGEST:
        wrong = f"the entry has more than {_LONGEST} characters"
    elif "*" in words:
        wrong = "a * is possible at the end only"
    elif not (words[0].isalnum() and words[-1].isalnum()):
        wrong = "an entry begins and ends with a letter or a figure"
    elif sum(map(str.isalpha, words)) < 2:
        wrong = "an entry has two letters at least"
    else:
        return entry
    raise WorkbenchError(f"Line {number} of the list {path}: {wrong}.", "Mend it, or put # before.")
