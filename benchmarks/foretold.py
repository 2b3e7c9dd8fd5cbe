"""What `workbench config forecast` says before a run beside what the run then is: real runs, one
after the other, by the commands that a person gives.

Each case is forecast, trained and measured: the rehearsal's peak and that of the whole process,
steps, warm-up, validations, tokens, what is trained, bytes on disk, time. A `!` marks what isn't as
it was said: memory that is under the peak or more than 10 % over it, bytes more than 2 % off, a
time out of its bounds (a first run's are wide), any other number that differs at all.

    workbench data import gsm8k.jsonl --name gsm8k … ; workbench data verdict gsm8k --model BASE
    python benchmarks/foretold.py --base BASE [--rows agnews --longer gsm8k] [--only NAME …]

The workspace is WORKBENCH_HOME's, and has the two datasets with their verdicts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from workbench.jobs.events import Step
from workbench.jobs.log import read_all
from workbench.text import size
from workbench.tracking.view import RunView
from workbench.workspace import Workspace

SHORT = ("data.max_length=256", "training.batch_size=2", "training.accumulation=2")
CASES: dict[str, tuple[str, ...]] = {
    "LoRA": (*SHORT, "evaluation.every=2", "checkpoints.every=1", "training.max_steps=4"),
    "LoRA again": (*SHORT, "training.warmup_steps=2", "training.max_steps=4"),
    "rank 64, attention, rslora": (
        *SHORT,
        "lora.rank=64",
        "lora.target_modules=attention",
        "lora.rslora=true",
        "data.train_rows=10",
        "training.epochs=1.5",
        "training.warmup_ratio=0.5",
    ),
    "DoRA on mlp": (*SHORT, "lora.rank=8", "lora.target_modules=mlp", "lora.dora=true"),
    "DoRA": (*SHORT, "lora.dora=true"),
    "dropout": (*SHORT, "lora.dropout=0.1"),
    "checkpointing": (*SHORT, "training.gradient_checkpointing=true"),
    "NF4, double": (*SHORT, "model.quantization=nf4"),
    "NF4, checkpointing, steps by tokens": (
        "data.max_length=128",
        "data.too_long=drop",
        "model.quantization=nf4",
        "model.double_quantization=false",
        "training.gradient_checkpointing=true",
        "training.step_tokens=400",
        "data.train_rows=12",
    ),
    "int8": (*SHORT, "model.quantization=int8"),
    "full": (
        "training.method=full",
        "data.max_length=96",
        "data.too_long=drop",
        "training.batch_size=2",
        "training.accumulation=2",
        "checkpoints.every=2",
        "checkpoints.keep=1",
        "training.max_steps=3",
    ),
    "full, adamw_8bit, checkpointing": (
        *SHORT,
        "training.method=full",
        "training.optimizer=adamw_8bit",
        "training.gradient_checkpointing=true",
    ),
    "padded, Lion, q and v": (
        *SHORT,
        "training.packing=false",
        "training.optimizer=lion",
        "lora.target_modules=[q_proj,v_proj]",
    ),
    "adamw_8bit, PiSSA, best": (
        *SHORT,
        "training.optimizer=adamw_8bit",
        "lora.initialisation=pissa_niter_4",
        "checkpoints.result=best",
        "evaluation.every=1",
    ),
    "auto micro-batch": (*SHORT, "training.micro_batch=auto"),
    "by tokens, padded, cut": (
        "data.max_length=160",
        "data.too_long=truncate",
        "training.micro_batch_tokens=320",
        "training.step_tokens=640",
        "training.packing=false",
        "accept=[responses-lost]",
    ),
    "head trained": (*SHORT, "lora.modules_to_save=[lm_head]", "training.max_steps=3"),
}
LONGER = "by tokens, padded, cut"
"""The case of the longer rows, of which a cutoff loses some."""
ALL = ("evaluation.samples=0", "data.validation_rows=6", "training.schedule=constant")
WRITTEN = ("checkpoints", "adapter", "model")
"""Folders of a run: its checkpoints, and one of its result."""
_LOOK = 0.1
"""Seconds between two looks at a process and its folder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", default="default")
    parser.add_argument("--rows", default="agnews", help="a dataset of short rows")
    parser.add_argument("--longer", default="gsm8k", help="one whose rows a cutoff of 160 cuts")
    parser.add_argument("--only", nargs="*", default=list(CASES), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add each case's figures to it")
    args = parser.parse_args()
    print("| run | memory | steps | tokens a step | trained | result | checkpoint | disk | time |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in args.only:
        figures = compare(name, args.base, args.longer if name == LONGER else args.rows)
        if args.json:
            with args.json.open("a") as file:
                file.write(json.dumps(figures) + "\n")
        print(f"| {name} | {' | '.join(cells(figures))} |", flush=True)


def compare(name: str, base: str, rows: str) -> dict[str, Any]:
    """What was said of a case and what came, by the name of each figure."""
    settings = [f"model.base={base}", f"data.dataset={rows}", *ALL]
    if not any("epochs" in s or "train_rows" in s for s in CASES[name]):
        settings.append("training.max_steps=3")
    settings += CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "foretold.yaml"
        config.write_text("name: foretold\n")
        given = [str(config), "--json", *(f"--set={setting}" for setting in settings)]
        told = _workbench("config", "forecast", *given)
        runs = Workspace.find(None).runs
        with _Watch(runs) as watched:
            run = _workbench("train", "--wait", *given)["id"]
    came = _came(runs / run, watched)
    return {"case": name, "run": run, "said": _said(told), "came": came}


def _workbench(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "workbench", *words], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


class _Watch:
    """The most memory that a training process under a folder has had, and the most that its
    checkpoints and result have taken of the disk, looked at all the time."""

    def __init__(self, runs: Path) -> None:
        self._runs, self._old = runs, set(runs.glob("*"))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.memory = self.disk = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK):
            for run in set(self._runs.glob("*")) - self._old:
                made = [path for name in WRITTEN for path in (run / name).rglob("*")]
                self.disk = max(self.disk, sum(map(_bytes, made)))
                self.memory = _resident(run) or self.memory


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # one that was removed meanwhile
        return 0


def _resident(run: Path) -> int:
    """The largest resident set of the run's trainer so far, since the rehearsal began to count."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"workbench.training.job" not in words or str(run).encode() not in words:
                continue
            status = (process / "status").read_text().splitlines()
        except OSError:
            continue
        return next((int(s.split()[1]) << 10 for s in status if s.startswith("VmHWM")), 0)
    return 0


def _said(told: dict[str, Any]) -> dict[str, Any]:
    worth, time = told["effective"], told["time"]
    return {
        "memory": told["total"],
        "steps": worth["total_steps"],
        "epoch": worth["steps_an_epoch"],
        "warmup": worth["warmup_steps"],
        "validations": worth["validations"],
        "tokens": worth["tokens_a_step"],
        "trained": worth["trained_parameters"],
        "share": worth["trained_share"],
        "result": worth["result_bytes"],
        "checkpoint": worth["checkpoint_bytes"],
        "disk": worth["run_bytes"],
        "epoch_tokens": time["tokens"],
        "step_seconds": time["step"] and [time["step"]["low"], time["step"]["high"]],
        "seconds": time["whole"] and [time["whole"]["low"], time["whole"]["high"]],
        "basis": time["basis"],
    }


def _came(run: Path, watched: _Watch) -> dict[str, Any]:
    records = list(read_all(run / "train.jsonl"))
    view = RunView()
    view.feed(records)
    steps = [record.event for record in records if isinstance(record.event, Step)]
    if view.started is None or view.rehearsed is None or not steps:
        sys.exit(f"{run} took no step")
    rates = [step.learning_rate for step in steps]
    started, last = view.started, steps[-1]
    checkpoints = sorted((run / "checkpoints").glob("step-*"))
    results = [path for name in WRITTEN[1:] for path in (run / name).glob("*")]
    return {
        "memory": view.rehearsed.peak,
        "whole_memory": watched.memory,
        "steps": last.step,
        "epoch": round(last.step / last.epoch),
        # The first step has a rate of 0, the one after the last of warm-up the whole one.
        "warmup": rates.index(max(rates)),
        "validations": len(view.evaluations),
        "tokens": view.tokens / view.steps,
        "trained": started.trainable_parameters,
        "share": started.trainable_parameters / started.parameters,
        "result": sum(map(_bytes, results)),
        "checkpoint": sum(map(_bytes, checkpoints[-1].rglob("*"))),
        "disk": watched.disk,
        "epoch_tokens": started.train_tokens,
        "step_seconds": view.seconds / view.steps,
        # Checkpoints are in no forecast of time.
        "seconds": (view.whole_seconds or 0) - view.saving,
    }


def cells(figures: dict[str, Any]) -> Iterator[str]:
    """A case's row of the table."""
    said, came = figures["said"], figures["came"]
    peak = max(came["memory"], came["whole_memory"])
    off = said["memory"] / peak - 1
    yield f"{_mib(said['memory'])}, {_mib(peak)}: {off:+.1%}{_mark(0 <= off <= 0.1)}"
    counts = [_same(said[name], came[name]) for name in ("steps", "epoch", "warmup", "validations")]
    yield " / ".join(counts)
    yield f"{said['tokens']:,.0f}, {came['tokens']:,.0f}"
    yield f"{_same(said['trained'], came['trained'])}, {came['share']:.2%}"
    for name in ("result", "checkpoint", "disk"):
        near = came[name] / said[name] - 1
        # What is kept at once is said at most.
        right = abs(near) <= 0.02 if name != "disk" else near <= 0.02
        yield f"{size(said[name])}, {near:+.1%}{_mark(right)}"
    low, high = said["seconds"]
    within = low <= came["seconds"] <= high
    yield f"{low:.0f} to {high:.0f} s, {came['seconds']:.0f} s{_mark(within)}"


def _mib(amount: int) -> str:
    return f"{amount >> 20:,}"


def _same(said: int, came: int) -> str:
    return f"{came:,}" if said == came else f"{said:,}, {came:,}{_mark(False)}"


def _mark(right: bool) -> str:
    return "" if right else " !"


if __name__ == "__main__":
    main()
