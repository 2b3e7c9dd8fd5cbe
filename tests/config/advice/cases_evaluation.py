"""Rules of evaluation and checkpoints."""

from __future__ import annotations

from tests.config.advice.case import UNHELD, USUAL, Case
from tests.config.advice.made import dataset, known

CASES = [
    Case(
        "no-validation-rows",
        "",
        "warning",
        "made@0123456789ab has no validation rows",
        on=UNHELD,
        elsewhere=USUAL,
    ),
    Case(
        "few-validation-rows",
        "data.validation_rows=5",
        "hint",
        "5 validation rows",
        "data.validation_rows=20",
    ),
    Case(
        "few-validation-rows",
        "",
        "hint",
        "8 validation rows",
        on=known(rows=dataset(5000, 8)),
        elsewhere=USUAL,
    ),
    Case(
        "never-evaluated-in-between",
        "training.epochs=2",
        "warning",
        "626 steps, 2 epochs, without a validation in between",
        "training.epochs=2 evaluation.every=100",
    ),
    Case(
        "never-evaluated-in-between",
        "",
        "hint",
        "313 steps, 1 epoch, without",
        "data.train_rows=3000",
    ),
    Case(
        "never-evaluated-in-between",
        "evaluation.every=1000",
        "warning",
        "evaluation.every is 1,000: 313 steps",
        "evaluation.every=100",
    ),
    Case(
        "evaluation-takes-long",
        "evaluation.every=1",
        "hint",
        # 500 rows at a third against 16.
        "500 validation rows after every 16 training rows: about 91% of the time",
        "evaluation.every=100",
    ),
    Case(
        "best-without-evaluation",
        "checkpoints.result=best",
        "warning",
        "evaluation.every is 0",
        "checkpoints.result=best evaluation.every=100",
    ),
    Case(
        "best-without-evaluation",
        "checkpoints.result=best evaluation.every=100",
        "warning",
        "there are no validation rows",
        on=UNHELD,
    ),
    Case(
        "patience-without-validation",
        "evaluation.patience=3 evaluation.every=100",
        "warning",
        "evaluation.patience is 3",
        "evaluation.every=100",
        on=UNHELD,
    ),
    Case(
        "last-step-kept",
        "training.epochs=3 evaluation.every=100",
        "hint",
        "3 epochs, and the adapter is of the last step",
        "training.epochs=2 evaluation.every=100",
    ),
    Case(
        "no-checkpoints",
        "training.epochs=2",
        "hint",
        "626 steps without a checkpoint",
        "training.epochs=2 checkpoints.every=100",
    ),
    Case(
        "no-checkpoints",
        "training.max_steps=2000",
        "warning",
        "2,000 steps without a checkpoint",
    ),
    Case("restarts-without-checkpoints", "job.restarts=2", "warning", "job.restarts is 2"),
]
