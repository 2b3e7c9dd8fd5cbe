"""A run's rows as tokens: which ones, how long, and what is said of those that don't fit."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import tokenizers
import torch

from workbench.config.schema import Data, RunConfig
from workbench.data import versions
from workbench.data.example import Example
from workbench.data.masking import CHANGED, NO_END, NOTHING, REFUSED
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs.control import Control
from workbench.jobs.events import Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.training import encode_worker, row_digest, token_cache
from workbench.training.batches import Row
from workbench.training.encode_worker import Batches, Work
from workbench.training.row_encoder import Account, EncodedRow, Listed, RowEncoder
from workbench.training.token_cache import EncodedRows
from workbench.workspace import Workspace

CODE = 2
"""Of the code that encodes rows; raised whenever it would give a row other tokens, another
mask or another account, so that no older cache counts any more."""
MASKING = "every response with its end marker; of plain text all but the first token"
"""What is trained."""
_NAMES = {"train": "training", "validation": "validation"}


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """The rows of a split that are used, in memory, and what became of the others."""

    rows: list[Row]
    places: list[int]
    """Each row's place among the examples."""
    account: Account = field(default_factory=Account)


def encode(
    examples: Iterable[Example],
    template: ChatTemplate,
    data: Data,
    limit: int | None = None,
    accepted: frozenset[str] = frozenset(),
) -> EncodedSplit:
    """Encode a few examples in memory, until `limit` rows are kept.

    Raises WorkbenchError listing the rows whose trained tokens can't be proved, unless the kinds
    of all of them are `accepted`, and those over max_length if they are to be refused: nothing is
    ever cut in silence.
    """
    encoder = RowEncoder(template, data)
    split = EncodedSplit([], [], encoder.account)
    for place, example in enumerate(examples):
        if limit is not None and len(split.rows) >= limit:
            break
        if row := encoder.encode(example):
            split.rows.append(_tensors(row))
            split.places.append(place)
    _refuse(encoder.account, data, accepted)
    return split


def _tensors(row: EncodedRow) -> Row:
    return Row(
        torch.tensor(row.ids, dtype=torch.int32),
        torch.tensor(row.trained, dtype=torch.bool),
        sum(row.trained),
        row.number,
        row.task,
    )


def prepare(
    workspace: Workspace,
    config: RunConfig,
    template: ChatTemplate,
    log: LogWriter,
    control: Control,
) -> tuple[EncodedRows, EncodedRows]:
    """The training and the validation rows of a config, as tokens, from the cache if they are
    there. Whoever calls it again with the same config and template reads what was made.

    Raises WorkbenchError listing the rows whose trained tokens can't be proved, those over
    max_length if they are to be refused, and when there is nothing to train on; and Stopped,
    with nothing written, once its end is asked for.
    """
    version = versions.resolve(workspace, config.data.dataset)
    tell = ProgressLog(log, control, put_off=True)
    found = []
    for split in versions.SPLITS:
        rows = _Rows(workspace, version, config, template, split, tell).encoded()
        for text in notices(rows.account, _NAMES[split], config.data.max_length):
            log.write(Notice(text, "warning"))
        found.append(rows)
    train, validation = found
    if not len(train):
        raise WorkbenchError(
            f"The dataset version {version.reference} has no row to train on.",
            "`workbench data show` prints its rows; data.max_length may be too small.",
        )
    if not len(validation):
        log.write(Notice("There is no validation split: overfitting can't be seen.", "warning"))
    return train, validation


def derive(
    workspace: Workspace, config: RunConfig, template: ChatTemplate, folder: Path, tell: Tell
) -> dict[str, Any]:
    """Figures and SHA-256 of the tokens of each split of a config (`row_digest`), encoded anew:
    nothing is taken from the cache, nor put there. `folder` is a place for its own use.

    Raises WorkbenchError for rows that are refused.
    """
    version = versions.resolve(workspace, config.data.dataset)
    found = {}
    for split in versions.SPLITS:
        rows = _Rows(workspace, version, config, template, split, tell)
        batches = rows.make(folder) if rows.total else ()
        found[split] = row_digest.digest(batch for batch, _ in batches)
    return found


@dataclass(frozen=True)
class _Rows:
    """The rows of one split that a config takes."""

    workspace: Workspace
    version: Version
    config: RunConfig
    template: ChatTemplate
    split: str
    tell: Tell

    def encoded(self) -> EncodedRows:
        if not self.total:
            return token_cache.empty()
        self.tell(self.phase, 0, self.total, "rows")
        rows = token_cache.cached(self.workspace, self.key(), self.make)
        self.tell(self.phase, self.total, self.total, "rows")
        return rows

    @property
    def phase(self) -> str:
        return f"encoding the {_NAMES[self.split]} rows"

    @property
    def count(self) -> int:
        return self.version.splits.get(self.split, 0)

    @property
    def wanted(self) -> int | None:
        """How many rows the config asks for; None: all of the split."""
        data = self.config.data
        asked = data.train_rows if self.split == "train" else data.validation_rows
        return asked if asked is not None and asked < self.count else None

    @property
    def total(self) -> int:
        return self.count if self.wanted is None else self.wanted

    def key(self) -> str:
        """SHA-256 over everything that decides the tokens, and over no name."""
        data = self.config.data
        chosen_by = self.config.training.seed if self.split == "train" else None
        decisive: dict[str, object] = {
            "rows": self.version.sha256,
            "split": self.split,
            "wanted": self.wanted and [self.wanted, chosen_by],
            "template": self.template.encoding_key(),
            "max_length": data.max_length,
            "too_long": data.too_long,
            "masking": MASKING,
            "code": [CODE, tokenizers.__version__, jinja2.__version__],
        }
        if accepted := unproved_accepted(self.config):
            decisive["accepted"] = sorted(accepted)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def make(self, folder: Path) -> Batches:
        """Encode the rows. Raises WorkbenchError for those that are to be refused."""
        work = Work(self.version.data_path, self.split, self.chosen(), self.config.data)
        limit = self.wanted if self.split == "validation" else None
        size = self.version.data_path.stat().st_size * self.total // self.count
        workers = encode_worker.worth(size)
        account, kept = Account(), 0
        for batch, more in encode_worker.encode_lines(work, self.template, workers, folder):
            # The first ones that can be used: past them nothing is looked at.
            batch = batch if limit is None else batch.slice(0, limit - kept)
            kept += batch.num_rows
            account.merge(more)
            yield batch, more
            done = kept + account.left_out + account.unproved.count
            self.tell(self.phase, min(done, self.total), self.total, "rows")
            if kept == limit:
                break
        _refuse(account, self.config.data, unproved_accepted(self.config))

    def chosen(self) -> list[int] | None:
        """The lines of the training rows that the seed chooses; None: all."""
        if self.split != "train" or self.wanted is None:
            return None
        random_ = random.Random(self.config.training.seed)  # noqa: S311
        places = frozenset(random_.sample(range(self.count), self.wanted))
        found, place = [], 0
        for number, example in enumerate(versions.read(self.version), start=1):
            if example.split == self.split:
                if place in places:
                    found.append(number)
                place += 1
            self.tell("choosing rows", number, self.version.rows, "rows")
        return found


def unproved_accepted(config: RunConfig) -> frozenset[str]:
    """The kinds of rows without a proof that a config has left out, as MaskError has them."""
    return frozenset(config.accept) & {CHANGED, NO_END, NOTHING, REFUSED}


def _refuse(account: Account, data: Data, accepted: frozenset[str]) -> None:
    """Raises WorkbenchError for rows that must not be passed over."""
    if not account.kinds <= accepted:
        raise _refusal(
            account.unproved,
            "whose trained tokens can't be told from the prompt",
            "Mend or remove them, or put a template that keeps what came before into "
            "chat_template.jinja of the base model's folder.",
        )
    if account.too_long.count and data.too_long == "refuse":
        raise _refusal(
            account.too_long,
            f"longer than data.max_length ({data.max_length} tokens)",
            "Raise data.max_length, or set data.too_long to drop or truncate.",
        )


def _refusal(rows: Listed, what: str, hint: str) -> WorkbenchError:
    listed = "".join(f"\n  {line}" for line in rows.first)
    more = f"\n  and {rows.more:,} more" if rows.more else ""
    return WorkbenchError(f"{_counted(rows.count)} {what}:{listed}{more}", hint, "bad_row")


def notices(account: Account, name: str, limit: int) -> list[str]:
    """What is to be said of the rows of a split that were cut or left out."""
    said = []
    if account.unproved.count:
        text = (
            f"whose trained tokens can't be proved {_are(account.unproved)} left out, as accepted"
        )
        listed = _first(account.unproved)
        said.append(f"{_counted(account.unproved.count, name)} {text}: {listed}.")
    if account.too_long.count:
        text = f"over {limit} tokens {_are(account.too_long)} left out"
        said.append(f"{_counted(account.too_long.count, name)} {text}: {_first(account.too_long)}.")
    if account.cut:
        were = "was" if account.cut == 1 else "were"
        text = f"{were} cut at {limit} tokens: {account.tokens_lost:,} tokens lost"
        said.append(f"{_counted(account.cut, name)} {text}.")
    if account.answerless.count:
        text = f"lost the whole response at {limit} tokens and {_are(account.answerless)} left out"
        listed = _first(account.answerless)
        said.append(f"{_counted(account.answerless.count, name)} {text}: {listed}.")
    return said


def _first(rows: Listed) -> str:
    more = f"; and {rows.more:,} more" if rows.more else ""
    return "; ".join(rows.first) + more


def _are(rows: Listed) -> str:
    return "is" if rows.count == 1 else "are"


def _counted(count: int, name: str = "") -> str:
    return f"{count:,} {name}{' ' * bool(name)}row{'s' * (count != 1)}"
