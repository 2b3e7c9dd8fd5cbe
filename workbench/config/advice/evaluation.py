"""Evaluation, early stopping, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator

from workbench.config.advice.case import Case
from workbench.config.advice.rows import split_command
from workbench.config.advice.rule import Found, Severity, Topic

TOPIC = Topic("Evaluation and checkpoints")

_FEW_ROWS, _ENOUGH_ROWS = 20, 100
_LONG, _VERY_LONG = 500, 2000
"""Steps of a run that isn't to be lost."""
_LONG_EPOCH = 200
"""Steps after which a look at the validation loss is due."""
_FORWARD = 1 / 3
"""Of the time of a row's step: the backward pass takes twice as long as the forward pass."""


@TOPIC.rule(
    "no-validation-rows",
    "warning",
    "data.dataset",
    when="the dataset version has no validation rows",
    why="Without rows that were held out nobody sees when the run begins to learn by heart, and "
    "base and adapter can't be compared on anything.",
    source="Prechelt, Early Stopping - But When?, 1998; docs/data.md on splits",
)
def _no_validation(case: Case) -> Iterator[Found]:
    if case.known.dataset and not case.known.dataset.validation:
        text = f"{case.known.dataset.reference} has no validation rows."
        yield Found(text, do=f"{split_command(case)} holds out a tenth, as another version.")


@TOPIC.rule(
    "few-validation-rows",
    "hint",
    "data.dataset",
    when="fewer than 20 validation rows",
    why="A mean over so few rows moves by chance: of 20 the error of a share is 11 points.",
    source="the binomial: sqrt(0.25 / 20) = 0.11",
)
def _few_validation(case: Case) -> Iterator[Found]:
    rows, dataset = case.validation_rows, case.known.dataset
    if not rows or rows >= _FEW_ROWS or dataset is None:
        return
    text = f"{rows} validation row{'' if rows == 1 else 's'}."
    if dataset.validation >= _FEW_ROWS:
        yield Found(text, (f"data.validation_rows={min(_ENOUGH_ROWS, dataset.validation)}",))
    else:
        yield Found(text, do=f"{split_command(case, '0.2')} holds out a fifth.")


def _every(case: Case) -> int:
    """Steps between validations: twice in an epoch, and no more than a fifth of the time."""
    an_epoch, validation = case.steps_an_epoch or 1, case.validation_rows or 0
    least = math.ceil(5 * validation * _FORWARD / (case.rows_a_step or 1))
    return min(max(1, an_epoch // 2, least), max(1, (case.steps or 1) - 1))


@TOPIC.rule(
    "never-evaluated-in-between",
    ("warning", "hint"),
    "evaluation.every",
    when="there are validation rows, evaluation.every is 0 or more than the run's steps, and the "
    "run has more than one epoch; a hint for one epoch of over 200 steps. A warning, too, where "
    "it is more than the run's steps",
    why="With validation at the start and the end alone, overfitting shows when it is over, and "
    "there is no best step to go back to.",
    source="Prechelt, Early Stopping - But When?, 1998",
    mend="about twice an epoch, in no more than a fifth of the time",
)
def _never(case: Case) -> Iterator[Found]:
    every, steps, passes = case.config.evaluation.every, case.steps or 0, case.passes or 0
    if not case.validation_rows or steps < 2 or 0 < every <= steps:
        return
    fix = (f"evaluation.every={_every(case)}",)
    epochs = f"{passes:.3g} epoch{'' if passes == 1 else 's'}"
    text = f"{steps:,} steps, {epochs}, without a validation in between."
    if every:
        yield Found(f"evaluation.every is {every:,}: {text}", fix)
    elif passes > 1 or steps > _LONG_EPOCH:
        yield Found(text, fix, severity="warning" if passes > 1 else "hint")


@TOPIC.rule(
    "evaluation-takes-long",
    "hint",
    "evaluation.every",
    when="validations take over half as long as the training between them, by rows at a third of "
    "the time",
    why="The backward pass takes about twice as long as the forward pass, which is all that a "
    "validation row costs.",
    source="Kaplan et al., Scaling Laws for Neural Language Models, 2020: forward 2N, backward 4N "
    "operations a token",
    mend="so many steps that validation takes a fifth",
)
def _takes_long(case: Case) -> Iterator[Found]:
    every, rows, a_step = case.config.evaluation.every, case.validation_rows, case.rows_a_step
    if not every or not rows or not case.steps or every > case.steps or not a_step:
        return
    share = rows * _FORWARD / (every * a_step)
    wanted = math.ceil(5 * rows * _FORWARD / a_step)
    if share > 0.5:
        text = f"{rows:,} validation rows after every {every * a_step:,.0f} training rows: "
        text += f"about {share / (1 + share):.0%} of the time."
        if wanted <= case.steps:
            yield Found(text, (f"evaluation.every={wanted}",))
        else:
            few = max(_FEW_ROWS, int(every * a_step * 0.2 / _FORWARD))
            smaller = few < rows and few * _FORWARD <= 0.5 * every * a_step
            fix = (f"data.validation_rows={few}",) if smaller else ()
            yield Found(text, fix, "" if fix else "Set evaluation.every higher.")


@TOPIC.rule(
    "best-without-evaluation",
    "warning",
    "checkpoints.result",
    when="checkpoints.result is best, and there are no validation rows or evaluation.every is 0",
    why="Without validations in between there is no loss to choose by: the last step is kept.",
    source="training/best.py, training/unheeded.py",
    mend="validations about twice an epoch; last, where there are no rows or the run's steps "
    "aren't known",
)
def _best(case: Case) -> Iterator[Found]:
    every, rows = case.config.evaluation.every, case.validation_rows
    if case.config.checkpoints.result != "best" or (every and rows != 0):
        return
    missing = "there are no validation rows" if rows == 0 else "evaluation.every is 0"
    known = rows and case.steps and case.steps > 1
    fix = f"evaluation.every={_every(case)}" if known else "checkpoints.result=last"
    yield Found(f"checkpoints.result is best, and {missing}.", (fix,))


@TOPIC.rule(
    "patience-without-validation",
    "warning",
    "evaluation.patience",
    when="evaluation.patience is set, and there are no validation rows",
    why="There is no loss to wait for: the run goes on to its end.",
    source="training/unheeded.py",
    mend="empty",
)
def _patience(case: Case) -> Iterator[Found]:
    patience = case.config.evaluation.patience
    if patience is not None and case.validation_rows == 0:
        yield Found(f"evaluation.patience is {patience}.", ("evaluation.patience=",))


@TOPIC.rule(
    "last-step-kept",
    "hint",
    "checkpoints.result",
    when="three epochs or more with validations in between, and checkpoints.result is last",
    why="Of several epochs the last is often past the lowest validation loss.",
    source="Prechelt, Early Stopping - But When?, 1998; transformers: load_best_model_at_end",
    mend="best",
)
def _last(case: Case) -> Iterator[Found]:
    watched = case.config.evaluation.every and case.validation_rows
    if watched and (case.passes or 0) >= 3 and case.config.checkpoints.result == "last":
        text = f"{case.passes:.3g} epochs, and the adapter is of the last step."
        yield Found(text, ("checkpoints.result=best",))


def _tenth(case: Case) -> str:
    return f"checkpoints.every={max(1, (case.steps or 10) // 10)}"


@TOPIC.rule(
    "no-checkpoints",
    ("hint", "warning"),
    "checkpoints.every",
    when="checkpoints.every is 0 in a run of 500 steps or more; a warning from 2,000 on",
    why="A stop saves, a crash or a reboot doesn't: all would have to be trained again.",
    source="training/loop.py; transformers saves every 500 steps",
    mend="ten in a run",
)
def _no_checkpoints(case: Case) -> Iterator[Found]:
    if (case.steps or 0) >= _LONG and not case.config.checkpoints.every:
        severity: Severity = "warning" if (case.steps or 0) >= _VERY_LONG else "hint"
        text = f"{case.steps:,} steps without a checkpoint."
        yield Found(text, (_tenth(case),), severity=severity)


@TOPIC.rule(
    "restarts-without-checkpoints",
    "warning",
    "job.restarts",
    when="job.restarts is set, and checkpoints.every is 0",
    why="A restart goes on from the newest checkpoint: without one it begins anew.",
    source="job.restarts",
    mend="ten checkpoints in a run",
)
def _restarts(case: Case) -> Iterator[Found]:
    restarts = case.config.job.restarts
    if restarts and not case.config.checkpoints.every:
        yield Found(f"job.restarts is {restarts}.", (_tenth(case),))
