"""Folders of many runs as their own code leaves them: manifests, logs, states, evaluations.

No model is loaded: what a list of runs reads is written, in the sizes that it has.
"""

from __future__ import annotations

import json
import math
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

from workbench.config.schema import RunConfig
from workbench.data.versions import Version
from workbench.jobs.events import Evaluated, Finished, Progress, Started, Step, encode
from workbench.workspace import Workspace

BASES = ("default", "Qwen/Qwen3-0.6B", "HuggingFaceTB/SmolLM2-360M-Instruct", "/models/llama-1b")
DATASETS = ("python-stdlib@ecbf753bc6af", "gsm8k@0badc0ffee11", "support@5eed5eed5eed")
STATES = ("finished",) * 16 + ("stopped", "failed", "failed", "dead")
_FINDINGS = 8
_HASH = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"


def make(workspace: Workspace, count: int, *, steps: int = 90, seed: int = 0) -> list[Path]:
    """`count` runs that have ended, 20 hours of one after the other; one in three was evaluated,
    one in seven has a tag, one in eleven a note. `steps` are those in a log."""
    drawn = random.Random(seed)
    return [
        run(workspace, number, seed=drawn.randrange(1 << 30), steps=steps)
        for number in range(1, count + 1)
    ]


def run(
    workspace: Workspace,
    number: int,
    *,
    seed: int = 0,
    steps: int = 90,
    version: Version | None = None,
    status: str = "",
    **settings: Any,
) -> Path:
    """One run; `settings` are fields of its config, with `__` for the dot."""
    drawn = random.Random(seed)
    config = json.loads(_usual())
    rank = drawn.choice((4, 8, 16, 32, 64))
    chosen = {
        "name": drawn.choice(("stdlib", "math", "chat", "support-tone")),
        "model__base": drawn.choice(BASES),
        "data__dataset": version.reference if version else drawn.choice(DATASETS),
        "lora__rank": rank,
        "lora__alpha": 2 * rank,
        "training__learning_rate": drawn.choice((5e-5, 1e-4, 2e-4, 4e-4)),
        "training__seed": drawn.randrange(4),
        **settings,
    }
    for path, value in chosen.items():
        section, _, name = path.rpartition("__")
        (config[section] if section else config)[name] = value
    folder = workspace.runs / f"{config['name']}-{number:04d}"
    folder.mkdir(parents=True)
    created = 1_789_000_000.0 + number * 1200.0
    status = status or drawn.choice(STATES)
    manifest = _manifest(folder, config, created, version)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    (folder / "state.json").write_text(json.dumps(_state(status, created), indent=2))
    (folder / "train.jsonl").write_bytes(_log(drawn, created, steps, status))
    (folder / "host.jsonl").write_text("")
    (folder / "config.yaml").write_text("name: as in the manifest\n")
    if number % 3 == 0:
        (folder / "evaluations" / "01").mkdir(parents=True)
        scores = json.dumps(_scores(drawn), indent=2)
        (folder / "evaluations" / "01" / "metrics.json").write_text(scores)
    tags = [drawn.choice(("good", "baseline", "paper"))] if number % 7 == 0 else []
    notes = [{"time": created + 60, "text": f"Looks fine at seed {seed}."}]
    if tags or number % 11 == 0:
        body = {"v": 1, "tags": tags, "notes": notes if number % 11 == 0 else []}
        (folder / "notes.json").write_text(json.dumps(body, indent=2))
    return folder


@cache
def _usual() -> str:
    return json.dumps(RunConfig().model_dump(mode="json"))


def _manifest(
    folder: Path, config: dict[str, Any], created: float, version: Version | None
) -> dict[str, Any]:
    name, _, digits = config["data"]["dataset"].partition("@")
    finding = {
        "name": "responses-lost",
        "level": "yellow",
        "count": 216,
        "total": 6335,
        "text": "216 rows longer than data.max_length (96 tokens), left out",
        "rows": [f"row {n} (asyncio.base_events.create): {n + 50} tokens" for n in range(5)],
        "numbers": [21, 71, 75, 77, 79],
        "see": "workbench data verdict python-stdlib@ecbf753bc6af --model default",
        "advice": "Raise data.max_length to keep them. The longest row has 158.",
        "acceptable": True,
    }
    packages = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2"}
    environment = {
        "python": "3.11.7",
        "platform": "Linux-6.18.44-x86_64-with-glibc2.36",
        "nvidia": None,
        "packages": packages,
        "device": "CPU, 2 threads",
        "dtype": "float32",
    }
    return {
        "v": 1,
        "run": folder.name,
        "created": created,
        "date": "2026-11-26",
        "workbench": "0.1.0",
        "command": f"workbench train {config['name']}",
        "repeat": f"workbench train {folder}/config.yaml --workspace {folder.parent.parent}",
        "config": config,
        "dataset": {
            "name": name,
            "version": version.version if version else digits,
            "sha256": version.sha256 if version else digits + "0" * (64 - len(digits)),
            "rows": version.rows if version else 6335,
        },
        "mixture": None,
        "base": {
            "name": config["model"]["base"],
            "revision": None,
            "files": dict.fromkeys(("model.safetensors", "config.json", "tokenizer.json"), _HASH),
        },
        "git": {"commit": "47888d487cd59b5026acb14b70a626e882b6f5b8", "dirty": False},
        "template": {"sha256": _HASH},
        "gate": {"passed": True, "accepted": {}, "findings": [finding] * _FINDINGS},
        "starts": [{"time": created + 20, "resumed_from": 0, "environment": environment}],
    }


def _state(status: str, created: float) -> dict[str, Any]:
    # Of processes that there are not: a pid is at most 2^22.
    dead = status == "dead"
    return {
        "v": 1,
        "status": "running" if dead else status,
        "log": "train.jsonl",
        "pid": 1 << 23,
        "start_ticks": 1,
        "supervisor_pid": 1 << 23,
        "supervisor_start_ticks": 1,
        "socket": "",
        "started": created,
        "ended": None if dead else created + 900.0,
        "exit_code": None if dead else int(status == "failed"),
        "cause": "out_of_memory" if status == "failed" else "",
        "text": {"finished": "Finished.", "failed": "The GPU's memory was used up."}.get(
            status, ""
        ),
        "hint": "",
        "alarms": [],
    }


def _log(drawn: random.Random, created: float, steps: int, status: str) -> bytes:
    taken = steps if status == "finished" else steps // 2
    first, last, pace = 2.5 + drawn.random(), 1.0 + drawn.random(), 8 + 20 * drawn.random()
    started = Started(steps, 3.0, 2000, 100, 300_000, 4_884_480, 139_399_488, "CPU", "float32")
    events: list[Any] = [Progress("loading the base model", 0, 1, ""), started]
    for step in range(taken + 1):
        smooth = last + (first - last) * math.exp(-step / pace)
        if step % 30 == 0:
            events.append(Evaluated(step, smooth + 0.2, 100, 9000, math.exp(smooth + 0.2)))
        loss = smooth + drawn.gauss(0, 0.05)
        if step:
            events.append(Step(step, step / 30, loss, 2e-4, 0.5, 2100, 900, 8.0, 262.5))
    if status == "finished":
        events.append(Finished(False, steps, "adapter"))
    return b"".join(encode(e, n, created + 20 + 8 * n) for n, e in enumerate(events))


def _scores(drawn: random.Random) -> dict[str, Any]:
    def figure(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.04, "high": value + 0.04, "n": 48}

    def system(better: float) -> dict[str, Any]:
        return {
            "loss": figure(2.4 - better),
            "perplexity": figure(math.exp(2.4 - better)),
            "rouge_l": figure(0.2 + better / 3),
            "exact_match": figure(0.1 + better / 4),
        }

    return {
        "v": 2,
        "rows": {"loss": 48, "answers": 48},
        "systems": {"base": system(0.0), "adapter": system(drawn.random())},
        "created": time.time(),
    }
