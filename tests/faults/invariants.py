"""What must hold after every fault."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.polling import eventually
from workbench.jobs import processes
from workbench.jobs.state import ENDED, GOING_ON, JobState, describe

LOG = "train.jsonl"
CAUSES = (
    "out_of_gpu_memory",
    "out_of_host_memory",
    "disk_full",
    "read_only",
    "loss_not_finite",
    "bad_input",
    "bad_row",
    "gpu_fault",
    "lost_rank",
    "stalled",
    "killed",
    "error",
)
_NO_WORDS = re.compile(r"Traceback|\[Errno|Error\(|<class|^\W*$")


def whole_lines(log: Path) -> bytes:
    """What a log holds up to its last newline; nothing without a log."""
    content = log.read_bytes() if log.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def whole_log(log: Path, before: bytes = b"") -> list[dict[str, Any]]:
    """A log's events. Every line is one, they are numbered without a gap, and the whole lines
    of an earlier copy are there, unchanged."""
    content = whole_lines(log)
    assert content.startswith(before[: before.rfind(b"\n") + 1]), f"{log}: an event was lost"
    found = [json.loads(line) for line in content.splitlines()]
    assert [event["seq"] for event in found] == list(range(len(found))), log
    return found


@dataclass(frozen=True, slots=True)
class Course:
    """What a run has come to, to the last bit."""

    run: Path = field(compare=False)
    steps: dict[int, tuple[float, ...]]
    """Of the last time that each step was done: loss, gradient norm, learning rate, tokens."""
    validation: dict[int, float]
    examples: dict[tuple[int, int], tuple[int, float, int]]
    """By epoch and line of data.jsonl, of the last time: step, loss, trained tokens."""
    adapter: dict[str, str]
    """SHA-256 of each file that the adapter is made of, by name."""

    @property
    def seconds(self) -> float:
        """What it took, from its first word to its last."""
        first, *_, last = whole_log(self.run / LOG)
        return float(last["t"] - first["t"])


def course(run: Path) -> Course:
    """The course of a run that has finished, with all that must hold of its folder."""
    events = whole_log(run / LOG)
    assert events[-1]["type"] == "finished" and not events[-1]["stopped"], events[-1]
    steps = {
        e["step"]: (e["loss"], e["gradient_norm"], e["learning_rate"], e["tokens"])
        for e in events
        if e["type"] == "step" and e["steps"] == 1
    }
    validation = {e["step"]: e["loss"] for e in events if e["type"] == "evaluated"}
    told = map(json.loads, (run / "examples.jsonl").read_text().splitlines())
    examples = {(e["epoch"], e["row"]): (e["step"], e["loss"], e["tokens"]) for e in told}
    names = ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json")
    adapter = {name: _sha256(run / "adapter" / name) for name in names}
    left = [p for p in (*run.glob(".*"), *(run / "checkpoints").glob(".*")) if p.is_dir()]
    assert left == [], f"something half-written is left: {left}"
    return Course(run, steps, validation, examples, adapter)


def whole_checkpoints(run: Path) -> list[int]:
    """The steps of the checkpoints whose files are all there, and as they were saved; told
    without the code that saves them."""
    return sorted(
        int(path.name.removeprefix("step-"))
        for path in (run / "checkpoints").glob("step-*")
        if _is_whole(path)
    )


def _is_whole(checkpoint: Path) -> bool:
    try:
        files: dict[str, str] = json.loads((checkpoint / "trainer.json").read_text())["files"]
    except (OSError, ValueError):
        return False
    there = {str(p.relative_to(checkpoint)) for p in checkpoint.rglob("*") if p.is_file()}
    wanted = {"adapter/adapter_model.safetensors", "optimizer.safetensors"}
    return (
        wanted <= files.keys()
        and there == {*files, "trainer.json"}
        and all(_sha256(checkpoint / name) == sha256 for name, sha256 in files.items())
    )


def resumed_from_newest(run: Path, whole: list[int]) -> int:
    """The step that the last start went on from: that of the newest checkpoint which was
    `whole` then."""
    started = [e for e in whole_log(run / LOG) if e["type"] == "started"]
    resumed = int(started[-1]["resumed_from"])
    assert resumed == max(whole, default=0), f"resumed from {resumed}; whole were {whole}"
    return resumed


def told_in_words(folder: Path, *words: str, cause: str = "") -> str:
    """The word of a job that ended; how it did is told in a sentence, which has `words`."""
    word, text = describe(folder)
    assert word in ENDED, (word, text)
    assert len(text) > 8 and not _NO_WORDS.search(text), (word, text)
    state = JobState.read(folder)
    assert state is not None
    if state.status == "failed":
        assert state.cause in CAUSES, state.cause
    for wanted in words:
        assert wanted in text, f"{wanted!r} is not in {text!r}"
    if cause:
        assert state.cause == cause, (state.cause, text)
    return word


def nothing_runs(folder: Path) -> None:
    """No process of a job is left; one that was killed takes a moment to go."""
    assert describe(folder)[0] not in GOING_ON, describe(folder)
    eventually(lambda: not processes.of_job(folder))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
