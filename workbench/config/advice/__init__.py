"""What an expert would say of a config, before anything runs.

Pure functions from a config and its circumstances to advice with its reason, its source and, where
settings mend it, a fix. `docs/advice.md` lists every rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from workbench.config import loading
from workbench.config.advice import adapter, evaluation, memory, numbers, rates, rows, steps
from workbench.config.advice.case import Case
from workbench.config.advice.rule import SEVERITIES, Advice, Rule, Severity, Topic
from workbench.config.circumstances import Circumstances
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError

__all__ = [
    "SEVERITIES",
    "TOPICS",
    "Advice",
    "Rule",
    "Severity",
    "advise",
    "all_fixed",
    "counted",
    "fixed",
    "rules",
    "with_settings",
]

TOPICS: tuple[Topic, ...] = (
    rows.TOPIC,
    rates.TOPIC,
    steps.TOPIC,
    adapter.TOPIC,
    evaluation.TOPIC,
    memory.TOPIC,
    numbers.TOPIC,
)

_TIMES = 3
"""That the same advice is followed at most, so that two which don't agree come to an end."""


def counted(severities: Iterable[str]) -> str:
    """`1 error, 2 warnings`; empty where there is nothing to say."""
    counts = Counter(severities)
    ordered = [name for name in SEVERITIES if counts[name]]
    return ", ".join(f"{counts[n]} {n}{'' if counts[n] == 1 else 's'}" for n in ordered)


def rules() -> Iterator[Rule]:
    """Every rule, in the order of the table."""
    for topic in TOPICS:
        yield from topic.rules


def advise(config: RunConfig, known: Circumstances) -> list[Advice]:
    """What there is to say of a config, the most severe first; rules that need what isn't known
    are silent."""
    case = Case(config, known)
    found = [advice for rule in rules() for advice in rule.advice(case)]
    return sorted(found, key=lambda advice: SEVERITIES.index(advice.severity))


def fixed(config: RunConfig, advice: Advice) -> RunConfig:
    """The config with the fix of a piece of advice. Raises WorkbenchError where it has none."""
    if not advice.fix:
        raise WorkbenchError(f"No setting mends {advice.name}.", advice.do)
    return with_settings(config, advice.fix)


def with_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """The config with `path=value` settings; what else it names and leaves out stays so."""
    body = config.model_dump(exclude_unset=True)
    return loading.parse(body, settings, origin="The config")


def all_fixed(config: RunConfig, known: Circumstances) -> tuple[RunConfig, list[Advice]]:
    """The config with every fix, one after another, since one may make another needless, or
    needed again; and the advice that was followed, in that order."""
    followed: list[Advice] = []
    times = Counter[str]()
    while left := [a for a in advise(config, known) if a.fix and times[a.name] < _TIMES]:
        config = fixed(config, left[0])
        followed.append(left[0])
        times[left[0].name] += 1
    return config, followed
