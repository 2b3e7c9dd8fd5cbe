"""Rules of the learning rate, of epochs, steps and batches."""

from __future__ import annotations

from tests.config.advice.case import FEW, USUAL, Case
from tests.config.advice.made import LARGE, dataset, gpu, known
from workbench.config.circumstances import TaskRows

CASES = [
    Case(
        "learning-rate-too-high",
        "training.learning_rate=1e-3",
        "warning",
        "0.001 is 5 times the top of 1e-05 to 0.0002 for LoRA",
    ),
    Case(
        "learning-rate-too-high",
        "training.learning_rate=3e-4",
        "hint",
        "0.0003 is above 1e-05 to 0.0002 for LoRA",
    ),
    Case("learning-rate-too-high", "training.learning_rate=0.1", "error", "500 times the top"),
    Case(
        "learning-rate-too-high",
        "training.method=full training.learning_rate=0.1",
        "error",
        "1e+03 times the top of 1e-06 to 0.0001 for full fine-tuning",
        "training.method=full training.learning_rate=2e-5",
        on=known(gpu(78, total=80)),
    ),
    Case(
        "learning-rate-too-high",
        "training.optimizer=lion training.learning_rate=2e-4",
        "warning",
        "for LoRA with Lion",
        # A third of AdamW's rate.
        "training.optimizer=lion training.learning_rate=6.6e-5",
    ),
    Case(
        "learning-rate-too-high",
        "lora.plus_ratio=16 training.learning_rate=2e-4",
        "hint",
        "0.0002 is above 5e-06 to 0.0001 for LoRA+",
        "lora.plus_ratio=16 training.learning_rate=5e-5",
    ),
    Case(
        "learning-rate-for-large-base",
        "model.quantization=nf4",
        "warning",
        "The base has 14B parameters, and the rate is 0.0002",
        "model.quantization=nf4 training.learning_rate=1e-4",
        on=known(gpu(78, total=80), base=LARGE),
    ),
    Case(
        "learning-rate-of-full-fine-tuning",
        "training.learning_rate=5e-5",
        "warning",
        "5e-05 is a learning rate for full fine-tuning",
        "training.learning_rate=6e-5",
    ),
    Case(
        "learning-rate-of-full-fine-tuning",
        "training.optimizer=lion training.learning_rate=1e-5",
        "warning",
        "for which 4e-05 is usual",
        "training.optimizer=lion training.learning_rate=4e-5",
    ),
    Case(
        "learning-rate-of-full-fine-tuning",
        "training.learning_rate=1e-5",
        "warning",
        "for which 0.0002 is usual",
        # LoRA+ takes lower rates, and full fine-tuning this very one.
        "training.learning_rate=5e-5 lora.plus_ratio=16",
    ),
    Case(
        "learning-rate-of-lora",
        "training.method=full",
        "warning",
        "0.0002 is a learning rate for LoRA, and this run trains the whole base",
        "training.method=full training.learning_rate=2e-5",
        on=known(gpu(78, total=80)),
    ),
    Case(
        "learning-rate-too-low",
        "training.learning_rate=1e-6",
        "warning",
        "1e-06 is below 1e-05 to 0.0002 for LoRA",
    ),
    Case(
        "learning-rate-too-low",
        "training.method=full training.learning_rate=1e-7",
        "warning",
        "for full fine-tuning",
        "training.method=full training.learning_rate=1e-6",
        on=known(gpu(78, total=80)),
    ),
    Case(
        "lora-plus-ratio-out-of-range",
        "lora.plus_ratio=100 training.learning_rate=1e-4",
        "hint",
        "100 times as fast as A: at 0.01",
        "lora.plus_ratio=16 training.learning_rate=1e-4",
    ),
    Case("warm-up-outside-range", "training.warmup_ratio=0.01", "hint", "0.01, less than 3%"),
    Case(
        "warm-up-outside-range",
        "training.warmup_ratio=0.2",
        "warning",
        "training.warmup_ratio is 0.2, more than 10%",
        "training.warmup_ratio=0.1",
    ),
    Case(
        "warm-up-outside-range",
        # 5,000 rows of 16 a step are 313 steps.
        "training.warmup_steps=313",
        "error",
        "313 of 313 steps are warm-up: the learning rate never reaches its peak",
        "training.warmup_steps=20",
    ),
    Case(
        "warm-up-outside-range",
        "training.warmup_steps=0",
        "hint",
        "0 of 313 steps",
        # 100 steps are enough of however many.
        "training.warmup_steps=100 training.max_steps=10000",
    ),
    Case(
        "many-epochs",
        "training.epochs=4",
        "warning",
        "4 passes over 300 training rows",
        "training.epochs=3",
        on=FEW,
    ),
    Case("many-epochs", "training.epochs=6", "warning", "6 passes over 5,000", "training.epochs=5"),
    Case(
        "many-epochs",
        # 19 steps an epoch.
        "training.max_steps=190",
        "warning",
        "10 passes over 300",
        "training.max_steps=57",
        on=FEW,
    ),
    Case(
        "task-repeated-too-often",
        "training.epochs=2",
        "warning",
        "Each row of qa is seen 20.0 times",
        on=known(
            rows=dataset(tasks={"qa": TaskRows(1000, 100), "sum": TaskRows(4000, 4000)}, lengths={})
        ),
        elsewhere=USUAL,
    ),
    Case(
        "task-repeated-too-often",
        "training.epochs=2",
        "warning",
        "Each row of qa is seen 8.0 times",
        "training.epochs=1",
        on=known(
            rows=dataset(tasks={"qa": TaskRows(1000, 250), "sum": TaskRows(4000, 4000)}, lengths={})
        ),
    ),
    Case(
        "few-steps",
        "",
        "warning",
        "300 training rows at 16 a step make 19 steps in 1 epoch.",
        "training.epochs=3",
        on=FEW,
    ),
    Case(
        "few-steps",
        "",
        "warning",
        "40 training rows at 16 a step make 3 steps",
        # Asked for: a try.
        "training.max_steps=3",
        on=known(rows=dataset(40, 10)),
    ),
    Case(
        "batch-too-small",
        "training.batch_size=1 training.accumulation=1",
        "warning",
        "1 row a step",
        "training.batch_size=1 training.accumulation=8",
    ),
    Case("batch-too-small", "training.accumulation=1", "hint", "4 rows a step"),
    Case(
        "batch-large-for-lora",
        "training.batch_size=64",
        "hint",
        "256 rows a step",
        "training.batch_size=31 training.accumulation=1 training.micro_batch=2",
        on=known(gpu(78, total=80)),
        elsewhere=known(gpu(78, total=80), rows=dataset(lengths={})),
    ),
    Case(
        "batch-larger-than-dataset",
        "training.accumulation=100",
        "warning",
        "A step takes 400 rows, and there are 300 training rows",
        on=FEW,
    ),
    # Steps by tokens: the usual rows have 183 on average.
    Case(
        "batch-large-for-lora",
        "training.step_tokens=32768",
        "hint",
        "rows a step",
        "training.step_tokens=4096",
    ),
    Case(
        "batch-too-small",
        "training.step_tokens=512",
        "warning",
        "2.2 rows a step",
        "training.step_tokens=4096",
    ),
    Case(
        "batch-larger-than-dataset",
        "training.step_tokens=10000000",
        "warning",
        "A step takes 10,000,000 tokens, and there are 5,000 training rows",
    ),
]
