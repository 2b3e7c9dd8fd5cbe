"""A command line that starts a training, read as text: nothing of it is ever run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from workbench.errors import WorkbenchError

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ENDS = (";", "&&", "||", "|", "&")
_GLUED = re.compile(r"(;|&&|\|\|)$")
_SHORT = re.compile(r"-[A-Za-z]")
_VERBS = ("trl", "trl.cli")


@dataclass(frozen=True, slots=True)
class Option:
    """`--key value`, with underscores in its name."""

    key: str
    value: str | list[str] | bool
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A training's command line."""

    verb: str
    """`sft` of `trl sft`, else the script's name without its folder."""
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    line: int


def parse(text: str, where: str) -> Command:
    """The one command of a script that starts a training, such as `trl sft --lora_r 16 …`, or
    its options alone.

    Variables that the script itself sets by `NAME=value` are put in. Raises WorkbenchError, with
    the line, where there is no such command, or several, or a value is only known by running it.
    """
    variables: dict[str, str] = {}
    found: list[tuple[str, int, int, list[_Word]]] = []
    for words in _commands(text, where):
        words = _without_assignments(words, variables)
        if words and (started := _verb(words)):
            found.append(
                (*started, [_filled(w, variables, where) for w in words if w.text != "$@"])
            )
    if not found:
        raise WorkbenchError(
            f"{where} has no command that starts a training, such as `trl sft --…` or "
            "`python sft.py --…`.",
            "`axolotl train FILE` and `llamafactory-cli train FILE` name a YAML file: import that.",
        )
    if len(found) > 1:
        lines = ", ".join(str(words[0].line) for *_, words in found)
        raise WorkbenchError(
            f"{where} starts several trainings, in lines {lines}.", "Leave one of them in it."
        )
    verb, before, after, words = found[0]
    # The launcher's options stand before the script.
    options = [*_options(words[:before]), *_options(words[after:])]
    return Command(verb, tuple(options))


def _commands(text: str, where: str) -> Iterator[list[_Word]]:
    words: list[_Word] = []
    pending, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        pending += line
        goes_on = pending.endswith("\\") and not pending.endswith("\\\\")
        piece = pending[:-1] if goes_on else pending
        try:
            # A ` #` starts a comment, as in a shell; a # within a word doesn't.
            parts = shlex.split(re.sub(r"(^|\s)#[^'\"]*$", "", piece))
        except ValueError:
            pending += "\n"  # a quotation that goes on in the next line
            continue
        words += [_Word(part, begun) for part in parts]
        pending, begun = "", 0
        if not goes_on:
            yield from _split(words)
            words = []
    if pending:
        raise WorkbenchError(f"{where}, line {begun}: a quotation isn't closed.")
    yield from _split(words)


def _split(words: Sequence[_Word]) -> Iterator[list[_Word]]:
    part: list[_Word] = []
    for word in words:
        if word.text in _ENDS:
            yield part
            part = []
        elif glued := _GLUED.search(word.text):
            yield [*part, _Word(word.text[: glued.start()], word.line)]
            part = []
        else:
            part.append(word)
    if part:
        yield part


def _without_assignments(words: list[_Word], variables: dict[str, str]) -> list[_Word]:
    """The command itself; what stands before it sets variables."""
    rest = words[1:] if words and words[0].text == "export" else words
    while rest and (setting := _ASSIGNMENT.fullmatch(rest[0].text)):
        variables[setting[1]] = setting[2]
        rest = rest[1:]
    return rest


def _verb(words: Sequence[_Word]) -> tuple[str, int, int] | None:
    """What is started, how many words stand before it, and the place of the first after it."""
    texts = [word.text for word in words]
    if texts[0].startswith("--"):
        return "sft", 0, 0
    for place, text in enumerate(texts[:-1]):
        name = PurePath(text).name
        if name in _VERBS and not texts[place + 1].startswith("-"):
            return texts[place + 1], place, place + 2
        if name.endswith(".py"):
            return name, place, place + 1
    return None


def _filled(word: _Word, variables: dict[str, str], where: str) -> _Word:
    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise WorkbenchError(
                f"{where}, line {word.line}: {word.text} is only known when the script runs, and "
                "it isn't run.",
                f"Write the value in place of ${name}.",
            )
        return variables[name]

    text = word.text
    for _ in range(5):
        text = _VARIABLE.sub(value_of, text)
    if "$" in text or "`" in text:
        raise WorkbenchError(
            f"{where}, line {word.line}: {word.text} is only known when the script runs, and it "
            "isn't run.",
            "Write the value itself.",
        )
    return _Word(text, word.line)


def _options(words: Sequence[_Word]) -> Iterator[Option]:
    """By the rules of transformers' HfArgumentParser: `--flag` is true, `--no_flag` false."""
    name, line, values = "", 0, list[str]()
    for word in [*words, _Word("--", 0)]:
        if not word.text.startswith("--"):
            if name and not _SHORT.match(word.text):
                values.append(word.text)
            continue
        if name:
            yield _option(name, values, line)
        name, equals, value = word.text.removeprefix("--").partition("=")
        name, line, values = name.replace("-", "_"), word.line, [value] if equals else []


def _option(name: str, values: list[str], line: int) -> Option:
    if values:
        return Option(name, values[0] if len(values) == 1 else values, line)
    if name.startswith("no_"):
        return Option(name.removeprefix("no_"), False, line)
    return Option(name, True, line)
