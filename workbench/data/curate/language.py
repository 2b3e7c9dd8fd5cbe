"""The language that a text is in, and those of a set's texts."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from functools import lru_cache
from typing import Any

from workbench.data.curate.words import UNSPACED
from workbench.errors import WorkbenchError

_FEWEST_LETTERS = 60
"""Shorter texts are left alone."""
_FEWEST_SIGNS = 20
"""Of scripts in which a sign is half a word."""
_SURE = 0.8
"""py3langid is that sure of 97 % of English responses, and was of none that it was wrong about
in 18,000 real ones."""
_LOOKED_AT = 300
"""Characters: what a text is in shows long before its end."""
_NO_LANGUAGE = "zxx"
"""What the model says of numbers, markup and names of variables."""

_FEWEST_TEXTS = 20
"""Of which the language can be told: fewer don't say what a set is in."""

_NO_WORDS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|<[^<>\n]*>|\w+://\S+|\S+@\S+|[\d_]+",
    re.DOTALL,
)
_LETTER = re.compile(r"[^\W\d_]")
_SIGN = re.compile(rf"[{UNSPACED}]")


def language(text: str) -> tuple[str, float] | None:
    """The code of a text's language, with how sure it is from 0 to 1.

    None for a text that is short without its code, formulas, addresses and numbers, for one
    that has no language, and where it isn't sure.
    """
    words = _NO_WORDS.sub(" ", text[: 4 * _LOOKED_AT])[:_LOOKED_AT]
    letters = len(_LETTER.findall(words))
    if letters < _FEWEST_LETTERS and len(_SIGN.findall(words)) < _FEWEST_SIGNS:
        return None
    code, sure = _identifier().classify(words)
    return None if code == _NO_LANGUAGE or sure < _SURE else (code, sure)


class Languages:
    """Of a set's texts: each is added, then they are settled, then one asks."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        """Takes the codes of the languages that are wanted; without any, it is the one that most
        texts are in. Raises WorkbenchError for one that can't be told."""
        known = sorted(set(_identifier().labels) - {_NO_LANGUAGE}) if wanted else []
        if unknown := next((code for code in wanted if code not in known), None):
            raise WorkbenchError(
                f"There is no way to tell the language {unknown}.", f"There are {', '.join(known)}."
            )
        self._wanted = frozenset(wanted)
        self._rows: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
        self._foreign: frozenset[int] = frozenset()
        self.share = 0.0
        """The share of texts in the wanted languages, of those whose language can be told."""

    @property
    def usual(self) -> str:
        """The codes of the wanted languages."""
        return " or ".join(sorted(self._wanted))

    def add(self, row: int, text: str) -> None:
        """Take in a text of a row."""
        if told := language(text):
            self._rows[told[0]].append(row)

    def settle(self) -> None:
        """All texts are added."""
        counts = {code: len(rows) for code, rows in self._rows.items()}
        total = sum(counts.values())
        if not self._wanted and total >= _FEWEST_TEXTS:
            # Of two that are as frequent, always the same one.
            self._wanted = frozenset([min(counts, key=lambda code: (-counts[code], code))])
        if self._wanted and total:
            self.share = sum(counts.get(code, 0) for code in self._wanted) / total
            others = counts.keys() - self._wanted
            self._foreign = frozenset(row for code in others for row in self._rows[code])
        self._rows.clear()

    def other(self, row: int, text: str) -> tuple[str, float] | None:
        """The code of a text's language, with how sure it is; None where it is wanted."""
        told = language(text) if row in self._foreign else None
        return told if told and told[0] not in self._wanted else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
