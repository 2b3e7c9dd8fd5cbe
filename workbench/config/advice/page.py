"""The page of documentation that lists every rule."""

from __future__ import annotations

from workbench.config.advice import TOPICS
from workbench.config.advice.rule import Rule

_HEAD = """# Advice

    workbench config advise CONFIG [--set PATH=VALUE …] [--json] [--strict]
    workbench config advise CONFIG --fix NAME|all [--write]

says before anything runs what an expert would say of a config: each finding with its severity, the
field, the figures of this very config, a source that can be looked up, and the settings that mend
it. It reads files and asks the driver, without torch, in under a second. A rule that needs what
isn't known (a base that isn't there yet, rows that nobody measured) is silent, and the verb says
what isn't known and how to have it known: `workbench data verdict` for the lengths of rows, above
all.

- **error**: it can't work, or wastes the run. `--strict` exits with 1 where there is one.
- **warning**: likely a mistake.
- **hint**: could be better. A good run may have several.

`--fix NAME` shows the settings of one finding and what is left to say after them, `--fix all` those
of all, one after another; `--write` puts them into the file. `workbench config check` shows errors
and warnings, `workbench train` and `workbench queue add` how many there are. Nothing is refused for
its advice: what can't be is refused by the schema, the gate or the rehearsal.

A config copied to another base is advised anew: nothing is remembered.
"""

_TAIL = """
## What is not advised, and why

- **A cutoff far above the longest row** costs nothing here: batches are as large as the rows in
  them, and the forecast counts those.
- **A warm-up of no steps in a short run** can't be: a ratio is rounded up to a step.
- **New tokens without trained embeddings** can't be: their rows are trained and saved.
- **A seed that is missing** has a default, 0, so every run can be repeated; `seed-not-named` says
  what that means.

## A learning rate that is far too high, measured

SmolLM2-135M-Instruct, LoRA of rank 16 on AG News (179 rows, 8 a step, 2 steps of warm-up; two
cores, float32). At 2e-4 the training loss falls from 5.6 to 2.0 in ten steps and to 0.48 in twenty,
where validation is at 0.55. At 0.012, which `learning-rate-too-high` calls an error, it jumps
between 0.97 and 18.8 in the first ten steps and is at 5.8 after them.
"""


def text() -> str:
    """The page as Markdown: every rule in a table for each topic."""
    tables = (f"\n## {topic.title}\n\n{_table(topic.rules)}\n" for topic in TOPICS)
    return _HEAD + "".join(tables) + _TAIL


def _table(rules: list[Rule]) -> str:
    head = [
        "| rule | severity | field | when | why | source | fix |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(rule) for rule in rules)])


def _row(rule: Rule) -> str:
    cells = (
        f"`{rule.name}`",
        " or ".join(rule.severities),
        f"`{rule.path}`",
        rule.when,
        rule.why or "as its text says",
        rule.source,
        rule.mend or "none: it says what to do",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
