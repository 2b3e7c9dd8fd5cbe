"""Whose config a file is, by its keys."""

from __future__ import annotations

import difflib

from workbench.config.foreign import NAMES
from workbench.config.foreign.axolotl import TRAINER as AXOLOTL
from workbench.config.foreign.llama_factory import TRAINER as LLAMA_FACTORY
from workbench.config.foreign.rules import Trainer
from workbench.config.foreign.sources import Source
from workbench.config.foreign.trl import TRAINER as TRL
from workbench.config.foreign.trl_keys import VERBS
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError

TRAINERS = dict(zip(NAMES, (AXOLOTL, LLAMA_FACTORY, TRL), strict=True))
_CHOICE = "--from axolotl, --from llama-factory or --from trl says whose it is."


def trainer_of(source: Source, named: str | None) -> Trainer:
    """The trainer that `--from` names, else the one whose keys they are.

    Raises WorkbenchError where that can't be told, and for a config of workbench's own.
    """
    _refuse_ours(source)
    if named is not None:
        return TRAINERS[named]
    if source.verb.removesuffix(".py") in ("sft", *VERBS):
        return TRL
    keys = {setting.key for setting in source.settings}
    for setting in source.settings:
        # TRL's arguments may stand in objects: training_args, peft_config.
        if source.kind == "json" and isinstance(setting.value, dict):
            keys |= {str(key) for key in setting.value}
    own = {name: keys & _own(trainer) for name, trainer in TRAINERS.items()}
    known = {name: keys & trainer.rules.keys() for name, trainer in TRAINERS.items()}
    # Of those with as many keys of their own, the one that knows more of the file.
    scores = {name: (len(own[name]), len(known[name])) for name in TRAINERS}
    most = max(scores.values())
    best = [name for name, score in scores.items() if score == most]
    if not most[0]:
        raise WorkbenchError(
            f"{source.path} has no key that tells whose config it is: {_first(keys)}.", _CHOICE
        )
    if len(best) > 1:
        parts = [f"{TRAINERS[name].title} ({_first(own[name])})" for name in best]
        raise WorkbenchError(f"{source.path} could be of {' or '.join(parts)}.", _CHOICE)
    found = TRAINERS[best[0]]
    if 2 * most[1] < len(keys):
        raise WorkbenchError(
            f"{source.path} is of another trainer, it seems: of its {len(keys)} keys "
            f"{found.title} knows {most[1]}, and the others fewer.",
            _CHOICE,
        )
    return found


def nearest(trainer: Trainer, key: str) -> str:
    """The key of a trainer that is most like one that it doesn't know; may be empty."""
    close = difflib.get_close_matches(key.lower(), trainer.rules, 1, 0.7)
    return close[0] if close else ""


def _own(trainer: Trainer) -> set[str]:
    """Keys that no other has."""
    others = [other.rules.keys() for other in TRAINERS.values() if other is not trainer]
    return set(trainer.rules).difference(*others)


def _refuse_ours(source: Source) -> None:
    sections = {name for name in RunConfig.model_fields if name not in ("name", "accept")}
    ours = [
        s.key
        for s in source.settings
        if s.key in sections and (s.value is None or isinstance(s.value, dict))
    ]
    if len(ours) >= 2 or (ours and len(source.settings) <= 2):
        raise WorkbenchError(
            f"{source.path} is a config of workbench itself: it has the sections "
            f"{', '.join(ours[:4])}.",
            f"`workbench config check {source.path}` checks it; `workbench train {source.path}` "
            "starts it.",
        )


def _first(keys: set[str]) -> str:
    names = sorted(keys)
    return ", ".join(names[:6]) + ("…" if len(names) > 6 else "") or "it has none at all"
