"""For each rule a config and circumstances in which it speaks, and others in which it doesn't."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.config.advice.made import (
    dataset,
    known,
    llama,
    measured,
    processor,
)
from workbench.config.circumstances import Circumstances

USUAL = known()
FEW = known(rows=dataset(300, 60))
UNHELD = known(rows=dataset(5000, 0, lengths={}))
LONG = {"train": measured([(200, 4800), (900, 200)]), "validation": measured([(200, 500)])}
"""4 % of the training rows have 900 tokens."""
LONGER = known(rows=dataset(lengths=LONG))
SHORT_CONTEXT = known(base=llama(context=512), rows=dataset(lengths=LONG))
CPU = known(processor())


@dataclass(frozen=True)
class Case:
    """A rule by name: settings of the default config under which it speaks, with what it says,
    and settings under which it's silent."""

    name: str
    speaks: str
    severity: str
    says: str
    silent: str = ""
    on: Circumstances = field(default=USUAL)
    elsewhere: Circumstances | None = None
    """Where it is silent, if that is another place."""
