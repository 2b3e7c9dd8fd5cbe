"""A family of bases, and its published sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.config.base_facts import BaseFacts
from workbench.config.presets.figures import Note, Recipe

_CLOSE = 0.01
"""How far the parameters of a base may be from a member's, by share: added tokens are few."""


@dataclass(frozen=True, slots=True)
class Member:
    """A published size of a family."""

    name: str
    title: str
    parameters: int
    """As published, weights that two layers share counted once."""


@dataclass(frozen=True, slots=True)
class Family:
    """Bases that share an architecture and a tokenizer."""

    name: str
    title: str
    model_types: tuple[str, ...]
    modules: tuple[str, ...]
    """Its linear layers that text passes through, by their own names; the head is none."""
    members: tuple[Member, ...]
    notes: tuple[Note, ...] = ()
    recipes: tuple[Recipe, ...] = ()
    only: Callable[[BaseFacts], bool] | None = None
    """What else a base must be, where families share a model_type."""

    def member(self, parameters: int) -> Member | None:
        """The published size that a base with so many parameters is; None for another."""
        near = min(self.members, key=lambda m: abs(m.parameters - parameters), default=None)
        if near is None or abs(near.parameters - parameters) > _CLOSE * near.parameters:
            return None
        return near
