"""What is compared: one and the same training, by workbench and by TRL's SFTTrainer.

Each is run in a process of its own. Both get the same encoded rows in the same order, and are
measured by the same clock, the same look at memory and the same plain loss on held-out rows.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
Result = dict[str, Any]

OURS = "workbench"
ROWS = 8
"""Rows a step: TRL's own default."""
RATE = 2e-4


def work(spec: Spec, train: list[Spec], held_out: list[Spec]) -> Result:
    """Train as a contender does: tokens and seconds of the timed steps, the losses of all, the
    peak of memory in bytes, and the loss on rows held out."""
    contender = _workbench if spec["name"].startswith(OURS) else _trl
    return contender(spec, train, held_out)


def _workbench(spec: Spec, train: list[Spec], held_out: list[Spec]) -> Result:
    import torch

    from workbench.config.schema import RunConfig
    from workbench.jobs.control import Control
    from workbench.jobs.events import Step
    from workbench.jobs.log import LogWriter, read_all
    from workbench.training import model
    from workbench.training.batches import Row
    from workbench.training.loop import Loop
    from workbench.training.ranks import ALONE
    from workbench.training.ready import make_ready
    from workbench.training.validation import Samples

    config = RunConfig.model_validate(
        {
            "model": {"base": spec["model"], **spec["settings"]},
            "training": {
                "batch_size": ROWS,
                "accumulation": 1,
                **spec.get("training", {}),
                "max_steps": spec["steps"] + 1,
                "learning_rate": RATE,
                "schedule": "constant",
                "warmup_ratio": 0.0,
            },
        }
    )
    model.quieten()
    device = model.pick_device()
    trained = model.load_to_train(Path(spec["model"]), config, device)
    rows = [
        Row(
            torch.tensor(r["ids"], dtype=torch.int32), torch.tensor(r["trained"]), sum(r["trained"])
        )
        for r in train
    ]
    folder = Path(tempfile.mkdtemp(dir=spec["folder"]))
    options: Spec = {"log": LogWriter(folder / "train.jsonl"), "ranks": ALONE}
    ready = make_ready(config, trained, rows, [], pad_id=0, device=device, **options)
    samples: Any = Samples([], None, config.evaluation)  # type: ignore[arg-type]
    options |= {"folder": folder, "control": Control()}
    loop = Loop(config, ready, rows, [], samples=samples, empty_prompt=(), **options)
    # In the order that TRL takes them.
    loop.schedule._order = (0, list(range(len(rows))))
    _forget_peak()
    with spec.get("around", nullcontext)():
        loop.run()
    steps = [r.event for r in read_all(folder / "train.jsonl") if isinstance(r.event, Step)]
    return {
        "tokens": sum(step.tokens for step in steps[1:]),
        "seconds": sum(step.seconds for step in steps[1:]),
        "losses": [step.loss for step in steps],
        "peak": _peak(),
        "held_out": _loss_on(trained, held_out),
    }


def _trl(spec: Spec, train: list[Spec], held_out: list[Spec]) -> Result:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = spec["settings"]
    packed = bool(settings.get("packing"))
    # Packed rows are as long as one of our steps is, so that a step has about as many tokens.
    longest = math.ceil(tokens_in(train) / len(train) * ROWS) if packed else 2048
    base = AutoModelForCausalLM.from_pretrained(
        spec["model"], **spec.get("load", {"dtype": torch.float32})
    )
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = {
        "model": base,
        "processing_class": AutoTokenizer.from_pretrained(spec.get("tokenizer", spec["model"])),
        "peft_config": adapter,
    }
    return by_trainer(spec, train, held_out, trainer, {"max_length": longest, **settings})


def by_trainer(
    spec: Spec, train: list[Spec], held_out: list[Spec], trainer: Spec, settings: Spec
) -> Result:
    """As `work`, by TRL's SFTTrainer of what `trainer` has, with these settings of its config."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            times.append(_now())

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            times.append(_now())

        def on_log(self, *args: Any, logs: Any = None, **kwargs: Any) -> None:
            losses.extend([float(logs["loss"])] if logs and "loss" in logs else [])

    labelled = [
        {
            "input_ids": row["ids"],
            "labels": [id if t else -100 for id, t in zip(row["ids"], row["trained"], strict=True)],
        }
        for row in train
    ]
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(dir=spec["folder"]),
        max_steps=spec["steps"] + 1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        save_strategy="no",
        train_sampling_strategy="sequential",
        disable_tqdm=True,
        **settings,
    )
    made = SFTTrainer(
        args=config, train_dataset=Dataset.from_list(labelled), callbacks=[Clock()], **trainer
    )
    lengths = [len(row["input_ids"]) for row in made.train_dataset]
    _forget_peak()
    made.train()
    seconds = [end - begin for begin, end in zip(times[::2], times[1::2], strict=True)]
    a_step = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return {
        "tokens": sum(lengths[a_step : a_step * (spec["steps"] + 1)]),
        "seconds": sum(seconds[1:]),
        "losses": losses,
        "peak": _peak(),
        "held_out": _loss_on(made.model, held_out),
    }


def _loss_on(trained: Any, rows: list[Spec]) -> float:
    """Mean loss of a trained token, by the model's own logits, a row at a time."""
    import torch

    total = count = 0.0
    trained.eval()
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["ids"]], device=trained.device)
            learnt = torch.tensor([row["trained"]], device=trained.device)
            labels = torch.where(learnt, ids, -100)
            tokens = int((labels[:, 1:] != -100).sum())
            total += float(trained(input_ids=ids, labels=labels).loss) * tokens
            count += tokens
    return total / count


def _now() -> float:
    """Once a GPU has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Bytes: of a GPU what torch has allocated at most, else what the process has had resident."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def tokens_in(rows: Sequence[Spec]) -> int:
    return sum(len(row["ids"]) for row in rows)
