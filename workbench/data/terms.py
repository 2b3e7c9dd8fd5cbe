"""How a query is written: terms such as `task:qa` and `tokens>512`, phrases in quotes, words."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator

from workbench.errors import WorkbenchError

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}
_TERM = re.compile(
    r"""(?P<not>-)?(?P<field>[A-Za-z_][\w.-]*)
        (?: (?P<compare>>=|<=|>|<|=)(?P<number>-?(?:\d+(?:\.\d+)?|\.\d+))
          | :(?: "(?P<quoted>[^"]*)" | (?P<value>(?!//)\S+) ) )
        (?=\s|$)""",
    re.VERBOSE,
)
_PHRASE = re.compile(r'(?P<not>-)?"(?P<text>[^"]*)"(?=\s|$)')
_UNCLOSED = re.compile(r'-?(?:[A-Za-z_][\w.-]*:)?"[^"]*\Z')
_COMPARED = re.compile(r"-?(?P<field>[A-Za-z_][\w.-]*)(?:[<>]=?|=)\S*")


def pieces(text: str, is_number: Callable[[str], bool]) -> Iterator[str | re.Match[str]]:
    """What is written between terms, and the terms: of one `not`, `field` and either `compare`
    and `number`, or `quoted` or `value`; of a phrase in quotes `not` and `text`.

    `is_number` says of a field whether it can be compared with a number alone. Raises
    WorkbenchError for a quote that isn't closed, and where such a field is compared with what is
    no number.
    """
    place, words = 0, ""
    while place < len(text):
        at_word = place == 0 or text[place - 1].isspace()
        if at_word:
            _check_closed(text, place)
        found = at_word and (_PHRASE.match(text, place) or _TERM.match(text, place))
        if not found:
            if at_word:
                _check_number(text, place, is_number)
            words += text[place]
            place += 1
            continue
        if words.strip():
            yield words.strip()
        words, place = "", found.end()
        yield found
    if words.strip():
        yield words.strip()


def _check_closed(text: str, place: int) -> None:
    if found := _UNCLOSED.match(text, place):
        raise WorkbenchError(f"The quote in {found[0]} isn't closed.", 'End the phrase with a ".')


def _check_number(text: str, place: int, is_number: Callable[[str], bool]) -> None:
    found = _COMPARED.match(text, place)
    if found and is_number(found["field"]):
        raise WorkbenchError(
            f"{found[0]} compares {found['field']} with no number.",
            f'Write it as {found["field"]}>100, or as "{found[0]}", which finds it as text.',
        )
