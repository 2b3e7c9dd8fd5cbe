"""Real loss curves for the alarms' tests, and how often each rule is wrong on healthy ones.

`record WORKSPACE [NAME…]` trains each of RUNS, on Python's own documentation, and writes
its curve to tests/alarms/curves/: the events of its log that have figures, without a word of the
data. The base is the tests' tiny model, or the default one where the name says so.
`false-alarms [N]` makes N healthy curves with the noise of real ones, and prints how many of them
each rule was wrong on.

    .venv/bin/python -m benchmarks.alarms record /tmp/ws
    .venv/bin/python -m benchmarks.alarms false-alarms 400
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from tests import tiny
from tests.alarms import healthy
from workbench.alarms.engine import RULES, Alarms
from workbench.data import stdlib_docs
from workbench.jobs.events import (
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Skipped,
    Spiked,
    Started,
    Step,
    encode,
)
from workbench.jobs.log import read_all
from workbench.workspace import Workspace

CURVES = Path(__file__).parents[1] / "tests" / "alarms" / "curves"
KEPT = (Started, Step, Evaluated, Skipped, Spiked, CheckpointSaved, Finished, Failed)
TINY = {
    "training.method": "full",
    "model.dtype": "float32",
    "data.max_length": 256,
    "training.batch_size": 8,
    "training.accumulation": 1,
    "training.learning_rate": 0.003,
    "data.validation_rows": 48,
}
DEFAULT = {
    "data.max_length": 96,
    "training.batch_size": 4,
    "training.accumulation": 1,
    "data.validation_rows": 16,
}
RUNS: dict[str, dict[str, object]] = {
    # Few rows, many epochs: it learns them by heart.
    "overfitting-tiny": TINY
    | {"data.train_rows": 24, "training.max_steps": 300, "evaluation.every": 15},
    "healthy-tiny": TINY
    | {"data.train_rows": 1600, "training.max_steps": 400, "evaluation.every": 40},
    "healthy-tiny-slow": TINY
    | {
        "data.train_rows": 1600,
        "training.max_steps": 300,
        "evaluation.every": 30,
        "training.learning_rate": 0.0005,
    },
    # A base with one damaged weight: a row with a `%` has no loss.
    "nan-damaged": TINY
    | {
        "training.method": "lora",
        "data.train_rows": 800,
        "training.max_steps": 120,
        "evaluation.every": 0,
        "training.batch_size": 4,
        "training.skip_limit": 10,
        "data.validation_rows": 1,
    },
    # Nothing is learnt at such a rate.
    "flat-tiny": TINY
    | {
        "data.train_rows": 1600,
        "training.max_steps": 200,
        "evaluation.every": 25,
        "training.learning_rate": 1e-8,
    },
    "overfitting-default": DEFAULT
    | {
        "data.train_rows": 16,
        "training.max_steps": 60,
        "evaluation.every": 6,
        "training.learning_rate": 0.001,
    },
    "healthy-default": DEFAULT
    | {
        "data.train_rows": 240,
        "training.max_steps": 60,
        "evaluation.every": 12,
        "training.learning_rate": 0.0004,
    },
    "diverging-default": DEFAULT
    | {
        "data.train_rows": 240,
        "training.max_steps": 40,
        "evaluation.every": 10,
        "training.learning_rate": 0.05,
        "training.max_gradient_norm": 0,
    },
}


def damaged(model: Path, folder: Path) -> Path:
    """A copy of the tiny model whose embedding of `%` is not a number."""
    shutil.copytree(model, folder, dirs_exist_ok=True)
    tensors = load_file(model / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = table.clone()
    token = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]["%"]
    table[token] = math.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


def record(workspace: Workspace, names: list[str]) -> None:
    """Train each run and write its curve."""
    workspace.ensure()
    dataset = stdlib_docs.build(workspace).reference
    model = tiny.make_model(workspace.root / "tiny")
    bases = {"tiny": model, "damaged": damaged(model, workspace.root / "damaged")}
    for name in names or list(RUNS):
        settings = {
            "data.too_long": "drop",
            "evaluation.samples": 0,
            "data.dataset": dataset,
            "model.base": bases.get(name.rpartition("-")[2], "default"),
        }
        sets = [f"--set={k}={v}" for k, v in {**settings, **RUNS[name]}.items()]
        command = [sys.executable, "-m", "workbench"]
        place = ("--workspace", str(workspace.root))
        subprocess.run([*command, "config", "new", name, *place, *sets, "--force"], check=True)
        subprocess.run([*command, "train", name, "--wait", *place], check=False)
        newest = max(workspace.runs.glob(f"{name}-0*"), key=lambda p: p.stat().st_mtime)
        write_curve(newest / "train.jsonl", CURVES / f"{name}.jsonl")


def write_curve(log: Path, curve: Path) -> None:
    """Keep of a log what has figures; times from its first event on."""
    curve.parent.mkdir(parents=True, exist_ok=True)
    kept = [r for r in read_all(log) if isinstance(r.event, KEPT)]
    lines = []
    for number, found in enumerate(kept):
        event = found.event
        if isinstance(event, Skipped | Spiked):
            event = replace(event, rows=[])
        elif isinstance(event, Evaluated):
            event = replace(event, tasks={})
        elif isinstance(event, Finished):
            event = replace(event, result="")
        lines.append(encode(event, number, found.time - kept[0].time))
    curve.write_bytes(b"".join(lines))


def false_alarms(count: int) -> None:
    """How many of so many healthy curves each rule was wrong on, and the time it all takes."""
    wrong: Counter[str] = Counter()
    events = 0
    spent = 0.0
    for seed in range(count):
        records = list(healthy.run(seed))
        began = time.process_time()
        found = Alarms("run").feed(records)
        spent += time.process_time() - began
        wrong.update({alarm.name for alarm in found})
        events += len(records)
    print(f"{count} curves, {events:,} events, {spent / events * 1e6:.0f} µs each")
    for rule in RULES:
        print(f"{rule.name:22} {wrong[rule.name]:4}  {100 * wrong[rule.name] / count:.1f} %")


def main() -> None:
    match sys.argv[1:]:
        case ["record", workspace, *names]:
            record(Workspace(Path(workspace)), names)
        case ["false-alarms", *count]:
            false_alarms(int(count[0]) if count else 400)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
