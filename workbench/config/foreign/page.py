"""Writes docs/config-import.md from the tables: `python -m workbench.config.foreign.page`."""

from __future__ import annotations

from workbench.config.foreign.detect import TRAINERS
from workbench.config.foreign.rules import UNSET, By, Missing, Ours, Rule, Take, Trainer

_HEAD = """\
# Configs of other trainers

    workbench config import qlora.yml                    # Axolotl
    workbench config import llama3_lora_sft.yaml         # LLaMA-Factory
    workbench config import sft.sh --gpus 4              # TRL: a command line, YAML or JSON

The file is read, never run. Whose it is, its keys say, or `--from`. The config is written into the
workspace under the file's name, or `--name`. Every key of the file is in one of these lists, with
its line:

| list, and its name in `--json` | what is in it |
|---|---|
| taken over, `taken` | a field of ours has it |
| by their default, `defaults` | the file doesn't say, so that their default is set, not ours |
| had here in another way, `differently` | what it is for is so here by other means |
| no counterpart, `no_counterpart` | what to do about it; for an unknown key, the nearest one |
| to decide, `problems` | a person should look: it says why |
| nothing to take over, `nothing_to_do` | empty, off, or as here anyway |

A value that can't be is an error, with its line, all of them at once; nothing is written then. So
is another kind of training (`rl: dpo`, `stage: rm`, `trl grpo`).

## What is easily got wrong

- **Rows a step.** Theirs are `micro batch x accumulation` on each GPU, ours over all processes.
  `--gpus N` (a command line's `--num_processes` says so itself) multiplies
  `training.accumulation` and sets `job.processes`.
- **Packing.** With it theirs count packs to a step, each with as many rows as fit: their steps are
  by tokens. So `training.step_tokens` is as large as their packs together, and
  `training.micro_batch_tokens` as those that go at once.
- **Defaults.** TRL without `use_peft` trains the whole base whatever `lora_r` says; LLaMA-Factory
  has gradient checkpointing on and an alpha of twice the rank; transformers' `constant` has no
  warm-up.
- **What is trained.** Here answers alone, always. TRL trains on all tokens of a conversation
  unless `assistant_only_loss` is true.
- **Times an epoch** (`evals_per_epoch`, `save_strategy: epoch`) and shares of a run become steps
  where the dataset is in the workspace (and, with packing, its lengths are known: `workbench data
  verdict`); else the list says so, and the same import afterwards, with `--force`, does it.
- **Datasets** are imported before a run, with their split: the command for each is given, and
  `data.dataset` names what it makes.

The tables hold the keys of each version's own schema. `python -m workbench.config.foreign.page`
writes this page from them.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(trainer) for trainer in TRAINERS.values())


def _section(trainer: Trainer) -> str:
    rows = [f"\n## {trainer.title} {trainer.version}\n\nRead from {trainer.source}.\n\n"]
    rows.append("| key | here | their default |\n|---|---|---|\n")
    groups: dict[tuple[str, str], list[str]] = {}
    for key, rule in trainer.rules.items():
        if isinstance(rule, Take | By):
            groups.setdefault((_here(rule), _default(rule)), []).append(key)
    rows += [
        f"| {_keys(keys)} | {here} | {default} |\n" for (here, default), keys in groups.items()
    ]
    for kind, title in ((Ours, "Had here in another way"), (Missing, "No counterpart")):
        rows.append(f"\n{title}:\n\n| keys | |\n|---|---|\n")
        told: dict[str, list[str]] = {}
        for key, rule in trainer.rules.items():
            if isinstance(rule, kind):
                told.setdefault(_here(rule), []).append(key)
        rows += [f"| {_keys(keys)} | {text} |\n" for text, keys in told.items()]
    return "".join(rows)


def _here(rule: Rule) -> str:
    if isinstance(rule, Take):
        return f"{rule.path}{f'; {rule.note}' if rule.note else ''}"
    if isinstance(rule, By):
        return rule.what
    return rule.how if isinstance(rule, Ours) else rule.advice


def _default(rule: Take | By) -> str:
    if rule.default is UNSET:
        return ""
    if isinstance(rule.default, bool):
        return str(rule.default).lower()
    return "none" if rule.default is None else str(rule.default)


def _keys(keys: list[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


if __name__ == "__main__":
    print(page(), end="")
