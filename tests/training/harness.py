"""Real loops over the tiny model, in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.config import deepspeed
from workbench.config.schema import RunConfig
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.jobs.control import PATH_VARIABLE, Control
from workbench.jobs.events import Event, Step
from workbench.jobs.log import LogWriter, rank_log, read_all
from workbench.training import encoding, model, unprompted
from workbench.training.batches import Row
from workbench.training.loop import Loop, Outcome
from workbench.training.ranks import ALONE, Ranks
from workbench.training.ready import make_ready
from workbench.training.validation import Samples

needs_deepspeed = pytest.mark.skipif(
    not deepspeed.installed(), reason="the package deepspeed isn't installed"
)
CPU = torch.device("cpu")
LOG = "train.jsonl"


def examples(count: int) -> list[Example]:
    """Questions of many lengths, with answers of many lengths."""
    return [
        Example(
            (
                Message("user", f"Say {'very ' * (n % 5)}{n}"),
                Message("assistant", f"{n} is {'a number ' * (n * 7 % 4)}said"),
            ),
            source=f"rows.jsonl:{n + 1}",
        )
        for n in range(count)
    ]


def encode(base: Path, count: int, **data: Any) -> list[Row]:
    """Those examples, as if they were the lines of a version's data.jsonl."""
    config = RunConfig.model_validate({"data": {"max_length": 256, **data}})
    rows = encoding.encode(examples(count), ChatTemplate.load(base), config.data).rows
    return [replace(row, number=line) for line, row in enumerate(rows, start=1)]


def configure(base: Path, accept: Sequence[str] = (), **sections: dict[str, Any]) -> RunConfig:
    """A config for the tiny model: small, fast, and learning at once."""
    body: dict[str, dict[str, Any]] = {
        "model": {"base": str(base), "dtype": "float32"},
        "data": {"dataset": "sample", "max_length": 256},
        "lora": {"rank": 4, "alpha": 8},
        "training": {
            "batch_size": 4,
            "accumulation": 1,
            "learning_rate": 1e-2,
            "max_steps": 6,
            "warmup_ratio": 0.0,
        },
        "evaluation": {"batch_size": 4},
    }
    for name, values in sections.items():
        body[name] = {**body.get(name, {}), **values}
    return RunConfig.model_validate({**body, "accept": list(accept)})


def ask_deepspeed(folder: Path, stage: int, **zero: Any) -> Path:
    """A file of accelerate in `folder` that asks for ZeRO, and the one of DeepSpeed that it names:
    every weight is spread by stage 3, however small."""
    small = {"stage3_param_persistence_threshold": 0} if stage == 3 else {}
    asked = {"zero_optimization": {"stage": stage, **small, **zero}, "train_batch_size": "auto"}
    (folder / "ds.json").write_text(json.dumps(asked))
    path = folder / "accelerate.yaml"
    path.write_text(
        "distributed_type: DEEPSPEED\nmixed_precision: 'no'\n"
        "deepspeed_config: {deepspeed_config_file: ds.json, zero3_init_flag: true}\n"
    )
    return path


class OnStep(LogWriter):
    """A log that calls back once a step is in it, as a person might act just then."""

    def __init__(self, path: Path, callback: Callable[[int], None]) -> None:
        super().__init__(path)
        self._callback = callback

    def write(self, event: Event) -> None:
        super().write(event)
        if isinstance(event, Step):
            self._callback(event.step)


def build(
    folder: Path,
    config: RunConfig,
    *,
    rows: int = 11,
    validation: int = 3,
    control: Control | None = None,
    on_step: Callable[[int], None] = lambda step: None,
    ranks: Ranks = ALONE,
    samples: bool = False,
    found: int | None = None,
    device: torch.device = CPU,
) -> Loop:
    """A loop that has taken no step yet."""
    base = Path(config.model.base)
    template = ChatTemplate.load(base, new_tokens=config.model.new_tokens)
    encoded = encode(base, rows + validation)
    trained = model.load_to_train(base, config, device, template.new_ids)
    name = LOG if ranks.first else rank_log(ranks.number)
    log, asked = OnStep(folder / name, on_step), examples(rows + validation)
    ready = make_ready(
        config,
        trained,
        encoded[:rows],
        encoded[rows:],
        pad_id=template.pad_id,
        device=device,
        log=log,
        ranks=ranks,
        found=found,
    )
    return Loop(
        config,
        ready,
        encoded[:rows],
        encoded[rows:],
        samples=Samples([(rows + 1, asked[rows])] if samples else [], template, config.evaluation),
        empty_prompt=unprompted.empty_prompt(template),
        folder=folder,
        log=log,
        control=control or Control(),
        ranks=ranks,
    )


def run(folder: Path, config: RunConfig, **options: Any) -> tuple[Loop, Outcome]:
    """Run a loop from its newest checkpoint, or from the start, to its end."""
    loop = build(folder, config, **options)
    return loop, loop.run(loop.resume())


def events(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in read_all(folder / LOG) if isinstance(r.event, kind)]


def curve(folder: Path) -> list[tuple[int, float, float]]:
    """Step, loss and gradient norm of each step; of the last time it was done."""
    found = {s.step: (s.step, s.loss, s.gradient_norm) for s in events(folder, Step)}
    return [found[step] for step in sorted(found)]


def adapter(loop: Loop) -> dict[str, torch.Tensor]:
    return {
        name: parameter.detach().clone()
        for name, parameter in loop.model.named_parameters()
        if parameter.requires_grad
    }


class Commands:
    """The supervisor's end of the control line."""

    def __init__(self, folder: Path) -> None:
        path = folder / "control"
        os.mkfifo(path)
        self._ours = os.open(path, os.O_RDWR)
        kept = os.environ.get(PATH_VARIABLE)
        os.environ[PATH_VARIABLE] = str(path)
        self.control = Control()
        if kept is None:
            del os.environ[PATH_VARIABLE]
        else:
            os.environ[PATH_VARIABLE] = kept

    def send(self, command: str, id: str = "1", value: int | None = None) -> None:
        line = json.dumps({"id": id, "command": command, "value": value})
        os.write(self._ours, f"{line}\n".encode())

    def hang_up(self) -> None:
        os.close(self._ours)
