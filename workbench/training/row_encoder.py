"""One row -> its tokens, cut or left out where it is too long, and an account of that.

Without torch, so that the processes that encode a large dataset are there in a moment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.config.schema import Data
from workbench.data.example import Example
from workbench.data.template import ChatTemplate, MaskError

LISTED = 5
"""Rows that a message names; the count says how many there are."""


@dataclass
class Listed:
    """Rows that something is told about: how many, and the first ones by place."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(line)

    def merge(self, later: Listed) -> None:
        """Add what was told of the rows after these."""
        self.count += later.count
        self.first = [*self.first, *later.first][:LISTED]

    @property
    def more(self) -> int:
        """Rows that aren't named."""
        return self.count - len(self.first)


@dataclass
class Account:
    """What became of the rows that were not taken as they are."""

    unproved: Listed = field(default_factory=Listed)
    """Those whose trained tokens can't be told from the others."""
    kinds: set[str] = field(default_factory=set)
    """Why, as MaskError has it."""
    too_long: Listed = field(default_factory=Listed)
    """Those over the limit that were not to be cut."""
    answerless: Listed = field(default_factory=Listed)
    """Those that the cut would have left without a trained token."""
    cut: int = 0
    """Rows that were cut."""
    tokens_lost: int = 0
    """Tokens that were cut off them."""

    @property
    def left_out(self) -> int:
        return self.too_long.count + self.answerless.count

    def merge(self, later: Account) -> None:
        """Add the account of the rows after these."""
        self.unproved.merge(later.unproved)
        self.kinds |= later.kinds
        self.too_long.merge(later.too_long)
        self.answerless.merge(later.answerless)
        self.cut += later.cut
        self.tokens_lost += later.tokens_lost

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "kinds": sorted(self.kinds)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Account:
        """The inverse of `to_json`. Raises KeyError or TypeError for anything else."""
        named = ("unproved", "too_long", "answerless")
        return cls(
            **{name: Listed(**body[name]) for name in named},
            kinds=set(body.get("kinds", ())),
            cut=int(body["cut"]),
            tokens_lost=int(body["tokens_lost"]),
        )


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """The tokens of a row that is used."""

    number: int
    """Its line in data.jsonl, counted from 1; 0 where that isn't known."""
    task: str
    ids: list[int]
    trained: list[bool]
    """Which tokens are learnt; as long as `ids`."""


class RowEncoder:
    """Encodes rows by a template and a config's limits, and keeps account."""

    def __init__(self, template: ChatTemplate, data: Data) -> None:
        self._template = template
        self._limit = data.max_length
        self._cuts = data.too_long == "truncate"
        self.account = Account()

    def encode(self, example: Example, number: int = 0) -> EncodedRow | None:
        """The tokens of a row; None for one that can't be used, which is accounted for."""
        where = example.source or f"row {number}"
        try:
            encoded = self._template.encode(example)
        except MaskError as error:
            self.account.unproved.add(f"{where}: {error.message}")
            self.account.kinds.add(error.kind)
            return None
        ids, trained = encoded.ids, encoded.trained
        if len(ids) > self._limit:
            told = f"{where}: {len(ids)} tokens"
            if not self._cuts:
                self.account.too_long.add(told)
                return None
            trained = trained[: self._limit]
            if not any(trained):
                self.account.answerless.add(told)
                return None
            self.account.cut += 1
            self.account.tokens_lost += len(ids) - self._limit
            ids = ids[: self._limit]
        return EncodedRow(number, example.task, ids, trained)
