"""The training loop, top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from workbench.config.schema import RunConfig
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Notice,
    Paused,
    Progress,
    WentOn,
)
from workbench.jobs.failure import NonFiniteLoss
from workbench.jobs.log import LogWriter
from workbench.training import checkpoint
from workbench.training.batches import Row, Schedule, batches
from workbench.training.figures import Figures, StepInFlight, StepLog
from workbench.training.loss import TrainedTokenLoss, check_loss, row_losses
from workbench.training.memory import advised
from workbench.training.optimizers import make_optimizer, make_scheduler, parameter_groups
from workbench.training.saving import Trained


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the loop ended."""

    step: int
    stopped: bool
    """The end was asked for; after a first step there is a checkpoint to resume from."""
    preempted: bool = False
    """By SIGTERM, not by a person."""


@dataclass
class _Asked:
    """What was asked for and is not done yet."""

    stop: bool = False
    preempt: bool = False
    save: bool = False
    evaluate: bool = False
    pause: bool = False


class Loop:
    """One run's training, from its first step or from a checkpoint."""

    def __init__(
        self,
        config: RunConfig,
        model: Trained,
        train: Sequence[Row],
        validation: Sequence[Row],
        *,
        pad_id: int,
        folder: Path,
        log: LogWriter,
        control: Control,
    ) -> None:
        self.config = config
        self.train = train
        self.validation = validation
        self.schedule = Schedule(len(train), config.training)
        self._pad_id = pad_id
        self._checkpoints = folder / "checkpoints"
        self._log = log
        self._control = control
        self._asked = _Asked()
        self._evaluated: int | None = None
        """The last step that there is a validation loss of."""
        self._steps = StepLog(log, self.schedule, config.logging.every)
        self._accelerator = Accelerator()
        self.peft_model = model
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = make_optimizer(parameter_groups(model, config), config.training)
        scheduler = make_scheduler(optimizer, config.training, self.schedule.total_steps)
        self._model, self._optimizer = self._accelerator.prepare(TrainedTokenLoss(model), optimizer)
        self._parameters = parameters
        self._scheduler = scheduler
        self._parts = checkpoint.Parts(model, optimizer, scheduler)

    def resume(self) -> int:
        """Take up the newest whole checkpoint; returns its step, 0 when there is none."""
        for path in checkpoint.newest_first(self._checkpoints):
            problem = checkpoint.problem(path)
            if not problem:
                step, evaluated = checkpoint.restore(path, self._parts)
                self._evaluated = step if evaluated else None
                return step
            text = f"The checkpoint {path.name} is passed over: {problem}."
            self._log.write(Notice(text, "warning"))
            with suppress(OSError):
                checkpoint.set_aside(path)
        return 0

    def run(self, first_step: int = 0) -> Outcome:
        """Train from `first_step` to the end, or until its end is asked for.

        Commands are acted on between two steps and between two batches of validation; a
        validation that is stopped half-way has no loss. SIGTERM is heard between two batches
        of a step, too: the step is given up, and its rows come again after a resume.

        Raises WorkbenchError for a base whose loss can't be computed here, before the first
        step, and NonFiniteLoss when the loss or its gradient is not a number any more, before
        a checkpoint is made of it.
        """
        self._control.be_patient()
        step, total = first_step, self.schedule.total_steps
        some_row = next(row for row in self.train if row.trained_tokens)
        check_loss(self.peft_model, some_row, self._pad_id)
        if step == 0 or self._owes_evaluation(step):
            self._evaluate(step)
        while step < total and not self._asked.stop:
            done = self._train_step(step)
            if done is not None:
                self._steps.add(done)
                step += 1
            self._listen()
            if step < total or self._asked.stop:
                self._between_steps(step)
        self._steps.flush()
        self._wait_while_paused(step)
        if self._asked.stop:
            return self._stopped(step)
        finished = self._evaluate(step)
        self._wait_while_paused(step)
        self._save(step, "end" if finished else "stop")
        return Outcome(step, stopped=not finished, preempted=self._asked.preempt)

    def _stopped(self, step: int) -> Outcome:
        if step:
            self._save(step, "pre-empted" if self._asked.preempt else "stop")
        return Outcome(step, stopped=True, preempted=self._asked.preempt)

    def _owes_evaluation(self, step: int) -> bool:
        """Whether a validation was due where a run goes on, and its end came before it."""
        due = step < self.schedule.total_steps and _due(self.config.evaluation.every, step)
        return due and self._evaluated != step

    def _between_steps(self, step: int) -> None:
        """Everything that is due, or was asked for, after `step` steps."""
        asked = self._asked
        evaluate = asked.evaluate or _due(self.config.evaluation.every, step)
        save = asked.save or _due(self.config.checkpoints.every, step)
        if evaluate or save or asked.pause:
            # All wait for the device anyway, and none is worth it after a NaN.
            self._steps.flush()
        if evaluate and not asked.stop:
            self._evaluate(step)
        if (save or asked.save) and not asked.stop:
            self._save(step, "asked for" if asked.save else "regular")
        self._wait_while_paused(step)

    def _wait_while_paused(self, step: int) -> None:
        """If it was asked for, hold everything and do nothing; a checkpoint or an evaluation can
        be asked for meanwhile."""
        if self._asked.stop or not self._asked.pause:
            return
        self._log.write(Paused(step))
        began = time.monotonic()
        while self._asked.pause and not self._asked.stop:
            self._control.wait()
            self._listen()
            if self._asked.evaluate:
                self._evaluate(step)
            if self._asked.save:
                self._save(step, "asked for")
        self._log.write(WentOn(time.monotonic() - began))

    def _train_step(self, step: int) -> StepInFlight | None:
        """One optimiser step; None when SIGTERM came in it, and nothing has changed.

        Nothing of ours here waits for the device. transformers does once a batch, to see that
        the rows aren't packed.
        """
        figures = Figures(self._accelerator.device)
        rows = [self.train[i] for i in self.schedule.rows_of(step)]
        # Every trained token of the step weighs the same, whichever batch it is in.
        trained_tokens = sum(row.trained_tokens for row in rows)
        self._model.train()
        size, device = self.config.training.batch_size, self._accelerator.device
        loss = torch.zeros((), device=device)
        tokens = 0
        began_with = checkpoint.random_state()
        for batch in batches(rows, size, self._pad_id, device):
            if self._control.preempted:
                self._optimizer.zero_grad()
                checkpoint.set_random_state(began_with)
                return None
            sums = self._model(batch)
            share = sums.sum() / trained_tokens
            self._accelerator.backward(share)
            loss += share.detach()
            tokens += batch.tokens
        limit = self.config.training.max_gradient_norm or math.inf
        norm = self._accelerator.clip_grad_norm_(self._parameters, limit)
        learning_rate = float(self._scheduler.get_last_lr()[0])
        self._optimizer.step()
        self._scheduler.step()
        self._optimizer.zero_grad()
        figures.send(loss, norm.detach())
        return StepInFlight(step + 1, figures, learning_rate, tokens, trained_tokens)

    def _listen(self) -> None:
        """Note what was asked for since the last look."""
        asked = self._asked
        for command in self._control.poll():
            self._log.write(CommandHandled(command.id, command.command, command.value))
            match command.command:
                case "stop":
                    asked.stop = True
                case "preempt":
                    asked.stop = asked.preempt = True
                case "save_now":
                    asked.save = True
                case "evaluate_now":
                    asked.evaluate = True
                case "pause" | "resume":
                    asked.pause = command.command == "pause"
                case "set_interval" if command.value:
                    self._steps.every = command.value

    def _evaluate(self, step: int) -> bool:
        """Whether the validation loss is there; not when its end was asked for half-way."""
        self._asked.evaluate = False
        if not self.validation:
            return True
        total = len(self.validation)

        def on_rows(done: int) -> None:
            self._log.write(Progress("validation", done, total, "rows"))
            self._listen()
            if self._asked.stop and done < total:
                raise Stopped

        size = self.config.evaluation.batch_size
        try:
            with advised(self.config, "evaluating"):
                sums = row_losses(
                    self._model,
                    self.validation,
                    batch_size=size,
                    pad_id=self._pad_id,
                    on_rows=on_rows,
                )
        except Stopped:
            return False
        tokens = sum(row.trained_tokens for row in self.validation)
        loss = sum(sums) / max(1, tokens)
        self._log.write(Evaluated(step, loss, total, tokens))
        self._evaluated = step
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"The validation loss after step {step} is not a number.")
        return True

    def _save(self, step: int, reason: str) -> None:
        started = time.perf_counter()
        # A large one takes longer than any step: who watches for stalls should know.
        self._log.write(Progress("saving a checkpoint", 0, 1))
        evaluated = self._evaluated == step
        path = checkpoint.save(self._checkpoints, step, self._parts, evaluated=evaluated)
        checkpoint.prune(self._checkpoints, self.config.checkpoints.keep)
        self._asked.save = False
        self._log.write(CheckpointSaved(step, str(path.name), reason))
        seconds = time.perf_counter() - started
        if seconds > 30:
            self._log.write(Notice(f"Saving the checkpoint took {seconds:.0f} s.", "warning"))


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
