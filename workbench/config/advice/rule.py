"""What a rule of the advisor is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from workbench.config.advice.case import Case

Severity = Literal["error", "warning", "hint"]
"""error: it can't work, or wastes the run; warning: likely a mistake; hint: could be better."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "hint")


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that an expert would say of a config."""

    name: str
    """Stable: of its rule."""
    severity: Severity
    path: str
    """The field that it is about."""
    text: str
    """What is unusual, with this config's figures, and why it matters."""
    source: str
    """A paper, a library or a measurement that can be looked up."""
    fix: tuple[str, ...] = ()
    """Settings as `--set` takes them, to be applied together; empty where none mends it."""
    do: str = ""
    """What to do where no setting mends it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule has found in one config."""

    text: str
    """A sentence or two with the config's figures."""
    fix: tuple[str, ...] = ()
    do: str = ""
    severity: Severity | None = None
    """Where it is another than its rule's."""


Find = Callable[[Case], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: when it speaks, and why. One that needs what isn't known stays silent."""

    name: str
    severities: tuple[Severity, ...]
    """The one that it mostly has, then others."""
    path: str
    when: str
    """With its thresholds, for the table of all rules."""
    why: str
    """True of every config that it speaks of."""
    source: str
    mend: str
    """What its fix sets, for the table."""
    find: Find

    def advice(self, case: Case) -> Iterator[Advice]:
        """What it says of a config: at most one thing."""
        for found in self.find(case):
            yield Advice(
                self.name,
                found.severity or self.severities[0],
                self.path,
                f"{found.text} {self.why}".strip(),
                self.source,
                found.fix,
                found.do,
            )


@dataclass(frozen=True, slots=True)
class Topic:
    """Rules that belong together, in the order of the table."""

    title: str
    rules: list[Rule] = field(default_factory=list)

    def rule(
        self,
        name: str,
        severity: Severity | tuple[Severity, ...],
        path: str,
        *,
        when: str,
        why: str,
        source: str,
        mend: str = "",
    ) -> Callable[[Find], Find]:
        """Enter a function as a rule of this topic."""
        severities = (severity,) if isinstance(severity, str) else severity

        def enter(find: Find) -> Find:
            self.rules.append(Rule(name, severities, path, when, why, source, mend, find))
            return find

        return enter
