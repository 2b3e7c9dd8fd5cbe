"""A learning-rate range test: `python -m workbench.training.lr_find FOLDER`.

The model, the rows and the steps are those of a run of the config; the rate is another at each
step, and nothing of the weights is kept.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.fetching import fetch
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Progress
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.planning import lr_find, range_test
from workbench.planning.lr_find import Found
from workbench.training import embeddings, encoding, model
from workbench.training.loop import Loop
from workbench.training.memory import advised
from workbench.training.ranks import ALONE
from workbench.training.ready import make_ready
from workbench.training.validation import Samples

_PHASE = "trying rates"


class RangeLoop(Loop):
    """A loop whose learning rate is another at each step."""

    def try_rates(self, rates: Sequence[float]) -> Iterator[float]:
        """Take a step at each rate, and give the loss before it: the mean over the step's trained
        tokens, in nats.

        Where LoRA+ has one group of parameters learn faster than another, it still does. After a
        loss that is no number nothing has changed. Ends early when SIGTERM comes.
        """
        groups = self._parts.optimizer.param_groups
        ratios = [group["lr"] / groups[0]["lr"] for group in groups]
        for step, rate in enumerate(rates):
            for group, ratio in zip(groups, ratios, strict=True):
                group["lr"] = rate * ratio
            if (done := self._train_step(step)) is None:
                return
            loss, _, _, _ = done.figures.receive()
            yield loss


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Test as the folder's request says, and write what was seen.

    Raises Stopped, with nothing written, once a person asks for the end.
    """
    request = lr_find.read_request(folder)
    rates = range_test.rates(request.low, request.high, request.steps)
    loop = _loop(folder, of_the_test(request.config, request.steps), log, control)
    tell = ProgressLog(log, control)
    tell(_PHASE, 0, request.steps, "steps")
    control.be_patient()
    losses: list[float] = []
    with advised(request.config, "training"):
        for loss in loop.try_rates(rates):
            losses.append(loss)
            if range_test.has_diverged(losses, request.steps):
                break
            tell(_PHASE, len(losses), request.steps, "steps")
    control.end_if_asked(log)
    path = lr_find.write_result(folder, Found(request, rates[: len(losses)], losses))
    return Finished(stopped=False, result=str(path.relative_to(tasks.workspace_of(folder).root)))


def of_the_test(config: RunConfig, steps: int) -> RunConfig:
    """The config of a run of `steps` steps in one process, without what a rate must be under:
    the schedule's own, which `try_rates` replaces; and without compiling, which would take longer
    than the test."""
    return loading.with_values(
        config,
        {
            "training.max_steps": steps,
            "training.schedule": "constant",
            "training.warmup_steps": 0,
            "training.compile": False,
            "job.processes": 1,
            "job.accelerate_config": "",
        },
    )


def _loop(folder: Path, config: RunConfig, log: LogWriter, control: Control) -> RangeLoop:
    workspace = tasks.workspace_of(folder)
    tell = ProgressLog(log, control)
    base = fetch(workspace, config.model.base, log, tell)
    template = ChatTemplate.load(base, new_tokens=config.model.new_tokens)
    train, _ = encoding.prepare(workspace, config, template, log, control)
    control.end_if_asked(log)
    model.quieten()
    device = model.pick_device()
    log.write(Progress("loading the base model", 0, 1))
    with advised(config, "loading"):
        trained = model.load_to_train(base, config, device, template.new_ids)
    embeddings.check_ids(trained, template, (train,))
    control.end_if_asked(log)
    ready = make_ready(
        config,
        trained,
        train,
        (),
        pad_id=template.pad_id,
        device=device,
        log=log,
        ranks=ALONE,
    )
    return RangeLoop(
        config,
        ready,
        train,
        (),
        samples=Samples([], template, config.evaluation),
        empty_prompt=(),
        folder=folder,
        log=log,
        control=control,
        ranks=ALONE,
    )


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
