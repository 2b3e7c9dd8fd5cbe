"""Outputs in a few signs, for a terminal and a screen: short numbers, marks as letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.degeneration.marks import RULES

_LETTERS = {**{name: rule.letter for name, rule in RULES.items()}, "copied": "C"}
"""Those of the samples, and one for what is copied of training rows."""


def number(value: float | None, *, signed: bool = False) -> str:
    """A number in five signs at most, or six with its sign: .412, 1.00, 31.4, 1250; a dash where
    there is none."""
    if value is None:
        return "–"
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    amount = abs(value)
    if amount < 0.9995:
        text = f"{amount:.3f}".removeprefix("0")
    elif amount < 9.995:
        text = f"{amount:.2f}"
    elif amount < 99.95:
        text = f"{amount:.1f}"
    elif amount < 99_999.5:
        text = f"{amount:.0f}"
    else:
        text = f"{amount:.0e}".replace("e+0", "e").replace("e+", "e")
    return sign + text


def letters(marks: Iterable[str]) -> str:
    """An output's marks, a letter each; `·` without one."""
    return "".join(_LETTERS.get(mark, "") for mark in marks) or "·"


def flags(marks: Iterable[Sequence[str] | None]) -> str:
    """The marks of several systems' outputs: `LR c ·`; a dash where there is no output."""
    return " ".join("–" if of is None else letters(of) for of in marks)


def key(marks: Iterable[str]) -> str:
    """What the letters of these marks stand for: `L loop, c cut`; empty without any."""
    there = set(marks)
    return ", ".join(f"{letter} {name}" for name, letter in _LETTERS.items() if name in there)


def legend(systems: Mapping[str, str], metric: str, means: Mapping[str, float | None]) -> str:
    """Which letter is which system, with the metric's mean over the rows that are shown."""
    told = (f"{letter} {name} {number(means[name])}" for letter, name in systems.items())
    return f"{metric or 'not scored'}, mean:  {'   '.join(told)}"
