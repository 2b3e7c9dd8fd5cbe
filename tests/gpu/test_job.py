"""Whole jobs and devices on a real GPU, beside what the driver's own tool says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]


def asked(*fields: str) -> list[list[str]]:
    out = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [[cell.strip() for cell in line.split(",")] for line in out.splitlines()]


def test_the_devices_are_those_of_nvidia_smi(cli: Cli) -> None:
    ours = json.loads(cli("gpus", "--json").stdout)
    theirs = asked(
        "name", "memory.total", "power.limit", "temperature.gpu", "clocks.max.sm",
        "driver_version", "memory.used", "uuid", "pcie.link.gen.max",
    )  # fmt: skip
    assert len(ours["gpus"]) == len(theirs)
    for gpu, (name, total, limit, heat, clock, driver, used, *_) in zip(
        ours["gpus"], theirs, strict=True
    ):
        print(json.dumps(gpu))
        assert gpu["name"] == name and driver in json.dumps(ours["driver"])
        assert gpu["memory_total"] / 2**20 == pytest.approx(float(total), abs=1)
        assert gpu["memory_used"] / 2**20 == pytest.approx(float(used), abs=1024)
        assert gpu["power_limit"] == pytest.approx(float(limit), abs=1)
        assert gpu["temperature"] == pytest.approx(float(heat), abs=4)
        assert str(clock) in json.dumps(gpu)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_run_from_file_to_merged_model(
    tmp_path: Path, cli: Cli, workspace: Workspace, base: Path, quantization: str
) -> None:
    shutil.copytree(base, tmp_path / "base")
    lines = [{"prompt": f"Is {n} a number?", "completion": "yes, it is"} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    cli("data", "import", str(tmp_path / "rows.jsonl"), "--name", "rows", "--validation", "0.1")
    settings: dict[str, Any] = {
        "model.base": tmp_path / "base",
        "model.quantization": quantization,
        "data.dataset": "rows",
        "data.max_length": 128,
        "training.max_steps": 12,
        "training.learning_rate": 0.003,
        "evaluation.every": 6,
        "evaluation.generate_rows": 2,
        "evaluation.max_new_tokens": 8,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    cli("config", "new", "small", *sets)
    trained = cli("train", "small", "--wait")
    assert trained.returncode == 0, trained.stderr
    merged = cli("export", "merged", "small-0001", "--to", tmp_path / "merged")
    assert merged.returncode == 0, merged.stderr
    log = workspace.runs / "small-0001" / "train.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step"]
    assert len(steps) == 12 and steps[-1]["loss"] < steps[0]["loss"]
    (started,) = (event for event in events if event["type"] == "started")
    assert "NVIDIA" in started["device"]
    warned = [e["text"] for e in events if e["type"] == "notice" and e.get("level") == "warning"]
    assert not [text for text in warned if "torch.compile" in text or "padded" in text]
