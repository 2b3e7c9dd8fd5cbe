"""Their datasets: the command that imports each, and the version of it that is here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.config.foreign.rules import is_off
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

_FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".gz", ".zst")


@dataclass
class Wanted:
    """One dataset of theirs."""

    setting: Setting | None
    """The key that names it."""
    name: str
    """Of the dataset here."""
    origins: list[str]
    """What `workbench data import` takes."""
    options: list[str] = field(default_factory=list)

    def command(self, held_out: Sequence[str]) -> str:
        words = [*self.origins, "--name", self.name, *held_out, *self.options]
        return shlex.join(["workbench", "data", "import", *words])


def hub_or_file(
    path: str, beside: Path, *, config: str = "", revision: str = "", split: str = "train"
) -> str:
    """`hub:OWNER/NAME…`, or the path of a file or folder."""
    local = path.startswith(("/", "./", "../", "~")) or path.endswith(_FILES)
    if (beside / path).exists() and not Path(path).exists():
        return str(beside / path)
    if local or Path(path).exists():
        return path
    text = f"hub:{path}" + (f":{config}" if config else "") + (f"@{revision}" if revision else "")
    return text if split == "train" else f"{text}#{split}"


def name_of(origin: str) -> str:
    """A dataset's name: `capybara` of `hub:trl-lib/capybara`."""
    last = Path(re.split(r"[:@#]", origin.removeprefix("hub:"))[0]).name
    while Path(last).suffix in _FILES:
        last = Path(last).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")[:79] or "data"


def take(taking: Taking, wanted: list[Wanted], held_out: list[str], note: str = "") -> None:
    """Set data.dataset where a version is here, and list what imports the others.

    One that is made of several is looked for under the config's own name, then mixed.
    """
    if not wanted:
        taking.warn("It names no dataset. Set data.dataset; `workbench data list` shows them.")
        return
    single = len(wanted) == 1
    name = wanted[0].name if single else taking.name
    sets = {"data.dataset": name}
    here = taking.around.dataset(name)
    for one in wanted:
        command = one.command(held_out)
        if here is None:
            taking.commands.append(command)
        if one.setting is None:
            taking.values |= sets
        elif here is not None:
            text = f"{here.reference} is in the workspace, with {here.rows} rows to train on"
            taking.take(one.setting, sets, text)
        else:
            made = command if single else "the commands below make it"
            told = f"the workspace has no dataset {name} yet: {made}"
            taking.doubt(one.setting, told + (f" ({note})" if note else ""), sets)
    if here is not None:
        taking.dataset = here
    elif not single:
        names = [one.name for one in wanted]
        taking.commands.append(shlex.join(["workbench", "data", "mix", name, *names]))


def held_out(taking: Taking, key: str) -> list[str]:
    """The option of the import for a share that is held out for validation."""
    setting = taking.setting(key)
    if setting is None:
        return []
    share = taking.read(setting, "float")
    if share is NO_RESULT:
        return []
    if is_off(share):
        text = "none is held out there; --validation 0 of `workbench data import` does the same"
        taking.ours(setting, text)
        return []
    if share < 1:
        text = "splits are made when data is imported, and stay as they are"
        taking.ours(setting, f"{text}: --validation {share:g}")
        return ["--validation", f"{share:g}"]
    text = (
        f"a number of rows, {share:g}: `workbench data import` takes a share, --validation "
        f"{share:g} / (all rows)"
    )
    taking.missing(setting, text)
    return []


def rows(taking: Taking, setting: Setting) -> None:
    """A dataset's rows that are trained on, at most."""
    count = taking.read(setting, "int")
    if count is not NO_RESULT:
        taking.take(setting, {"data.train_rows": count}, "chosen by the seed")
