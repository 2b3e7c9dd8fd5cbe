"""The training loop, top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from workbench.config.schema import RunConfig
from workbench.files import folder_size, write_json
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import CheckpointSaved, Notice, Paused, Progress, WentOn
from workbench.jobs.failure import NonFiniteLoss
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLines
from workbench.training import checkpoint, stepping, unprompted
from workbench.training.asked import Asked
from workbench.training.batches import Batch, Row, Schedule, collate, lengths_of
from workbench.training.best import Best
from workbench.training.examples import ExampleLog
from workbench.training.figures import Figures, StepInFlight, StepLog
from workbench.training.loss import OnRows, causal_model, row_losses
from workbench.training.memory import advised
from workbench.training.optimizers import make_scheduler
from workbench.training.proof import Proof
from workbench.training.ranks import Ranks, in_words, share
from workbench.training.ready import Ready
from workbench.training.validation import Samples, evaluated


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the loop ended."""

    step: int
    stopped: bool
    """The end was asked for; after a first step there is a checkpoint to resume from."""
    preempted: bool = False
    """By SIGTERM, not by a person."""


class Loop:
    """One run's training, from its first step or from a checkpoint."""

    def __init__(
        self,
        config: RunConfig,
        ready: Ready,
        train: Sequence[Row],
        validation: Sequence[Row],
        *,
        samples: Samples,
        empty_prompt: Sequence[int],
        folder: Path,
        log: LogWriter,
        control: Control,
        ranks: Ranks,
    ) -> None:
        """`empty_prompt` are the tokens of a prompt that says nothing, none where there is no such
        one."""
        self.config = config
        self.model = ready.model
        self.schedule = Schedule(lengths_of(train), config.training, config.job.processes)
        self._train = train
        self.validation = validation
        self._samples = samples
        self._empty_prompt = empty_prompt
        self._ready = ready
        self._run = folder
        self._folder = folder / "checkpoints"
        self._log = log
        self._control = control
        self._ranks = ranks
        self._asked = Asked()
        self._evaluated: int | None = None
        """The last step that there is a validation loss of."""
        self._saved: int | None = None
        """The last step whose checkpoint is in the log."""
        self.best = Best()
        self._steps = StepLog(
            log,
            self.schedule,
            train,
            ExampleLog(folder),
            ranks,
            every=config.logging.every,
            skip_limit=config.training.skip_limit,
        )
        self._measure = ready.measure
        self._stepper = stepping.make(ready)
        optimizer = self._stepper.optimizer
        self._scheduler = make_scheduler(optimizer, config.training, self.schedule.total_steps)
        self._parts = checkpoint.Parts(ready.model, optimizer, self._scheduler, ranks, ready.zero)

    def resume(self) -> int:
        """Take up the newest whole checkpoint; returns its step, 0 when there is none."""
        (step,) = self._ranks.agree([self._newest_whole() if self._ranks.first else 0])
        if not step:
            return 0
        place = checkpoint.restore(self._folder / f"step-{step}", self._parts)
        self._evaluated = place.step if place.evaluated else None
        self.best = place.best
        if place.ranks != self._ranks.count:
            text = (
                f"The checkpoint of step {step} is of {in_words(place.ranks)}, and this start "
                f"has {in_words(self._ranks.count)}: random numbers, such as those of dropout, "
                "differ from here on from those of a run that was not interrupted."
            )
            self._log.write(Notice(text))
        return step

    def _newest_whole(self) -> int:
        """The step of the newest checkpoint that is as it was saved; damaged ones are set aside."""
        for path in checkpoint.newest_first(self._folder):
            problem = checkpoint.problem(path)
            if not problem:
                return checkpoint.step_of(path)
            text = f"The checkpoint {path.name} is passed over: {problem}."
            self._log.write(Notice(text, "warning"))
            with suppress(OSError):
                checkpoint.set_aside(path)
        return 0

    def run(self, first_step: int = 0) -> Outcome:
        """Train from `first_step` to the end, or until its end is asked for.

        Commands are acted on between two steps and between two batches of validation; a
        validation that is stopped half-way has no loss. One process hears SIGTERM between two
        batches of a step, too: the step is given up, and its rows come again after a resume.

        Raises NonFiniteLoss when the loss or its gradient is not a number for too many steps,
        before a checkpoint is made of them, and WorkbenchError when the weights of the base have
        changed in the first three steps, or no trained one has.
        """
        self._control.be_patient()
        self._ranks.wait_for_all("the first step")
        step, total = first_step, self.schedule.total_steps
        proof = Proof(self.model)
        if step == 0 or self._owes_evaluation(step):
            self._evaluate(step)
        if step == 0 and not self._asked.stop:
            self._look_without_prompts()
        while step < total and not self._asked.stop and not self._gave_up:
            done = self._train_step(step)
            if done is not None:
                self._steps.add(done)
                step += 1
                if step == min(first_step + Proof.STEPS, total):
                    self._steps.flush()
                    proof.check(self.model, learnt=self._steps.learnt)
            self._listen()
            if step < total or self._asked.stop:
                self._between_steps(step)
        self._steps.flush()
        self._wait_while_paused(step)
        if self._asked.stop:
            return self._stopped(step)
        finished = self._evaluated == step or self._evaluate(step)
        self._wait_while_paused(step)
        self._save(step, "end" if finished else "stop")
        return Outcome(step, stopped=not finished, preempted=self._asked.preempt)

    def take_best(self) -> int:
        """Put back the weights with the lowest validation loss; returns their step."""
        checkpoint.restore_weights(self._folder / f"step-{self.best.step}", self._parts)
        return self.best.step

    @property
    def _gave_up(self) -> bool:
        """Whether the validation loss has not fallen for as long as the config waits."""
        patience = self.config.evaluation.patience
        return patience is not None and self.best.since >= patience

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

        Nothing here waits for the device, but in DeepSpeed.
        """
        stepper = self._stepper
        figures = Figures(stepper.device)
        places = self.schedule.rows_of(step)
        rows = [self._train[i] for i in places]
        # Every trained token of the step weighs the same, whichever batch and rank it is in.
        trained_tokens = sum(row.trained_tokens for row in rows)
        weight = 1 / max(1, trained_tokens)
        if not (self._measure.training and self._ready.model.training):
            # It goes through all modules: 15 ms for a model of 24 layers.
            self._measure.train()
        loss = torch.zeros((), device=stepper.device)
        row_sums: list[torch.Tensor] = []
        learnt: list[int] = []
        began_with = checkpoint.random_state()
        for batch, last in self._micro_batches(rows):
            if self._control.preempted and self._ranks.count == 1:
                stepper.give_up()
                checkpoint.set_random_state(began_with)
                return None
            with stepper.adding_up(last):
                sums = stepper.model(batch)
                # Of several ranks the mean is taken, where the sum is meant.
                stepper.backward(sums.sum() * (weight * self._ranks.count))
            loss += sums.detach().sum() * weight
            row_sums.append(sums.detach()[: len(batch.rows)])
            learnt += (places[i] for i in batch.rows)
        learning_rate = float(self._scheduler.get_last_lr()[0])
        norm = stepper.step(loss, self._ranks.sum(loss))
        self._scheduler.step()
        figures.send(loss, norm, row_sums)
        tokens = sum(len(row) for row in rows)
        return StepInFlight(step + 1, figures, learning_rate, tokens, trained_tokens, learnt)

    def _micro_batches(self, rows: Sequence[Row]) -> Iterator[tuple[Batch, bool]]:
        """This rank's batches of a step's rows, and whether each is the last one."""
        layout, ranks = self._ready.layout, self._ranks
        lengths = [len(row) for row in rows]
        groups = layout.groups(lengths, ranks.count)
        tokens = [sum(lengths[i] for i in group) for group in groups]
        mine = share(tokens, ranks.count)[ranks.number]
        for place in mine:
            group = [] if place is None else groups[place]
            batch = collate(rows, group, layout, self._stepper.device)
            yield batch, place == mine[-1]

    def _listen(self) -> None:
        """Note what was asked for since the last look, of any rank."""
        interval = self._asked.listen(self._control, self._log, self._ranks)
        self._steps.every = interval or self._steps.every

    def _evaluate(self, step: int) -> bool:
        """Whether the validation loss is there; not when its end was asked for half-way."""
        self._asked.evaluate = False
        if not len(self.validation):
            return True
        on_rows = self._heeding("validation", len(self.validation))
        layout = self._ready.validation_layout
        try:
            with advised(self.config, "evaluating"):
                sums = row_losses(self._measure, self.validation, layout, on_rows, self._ranks)
                self._validated(step, sums)
        except Stopped:
            return False
        return True

    def _look_without_prompts(self) -> None:
        """Measure what the rows lose without their prompts, if that is wanted."""
        if not self.config.logging.without_prompt or not self._empty_prompt:
            return
        rows = unprompted.Unprompted(self._train, self._empty_prompt)
        if not len(rows):
            return
        layout = self._ready.layout
        # All begin with it; its last token is each row's own, as with any other beginning.
        shared = tuple(self._empty_prompt[:-1]) if layout.beginning else ()
        layout = replace(layout, beginning=shared)
        on_rows = self._heeding("rows without their prompts", len(rows))
        with suppress(Stopped), advised(self.config, "evaluating"):
            losses = unprompted.measure(self._measure, rows, layout, on_rows, self._ranks)
            if self._ranks.first:
                unprompted.save(self._run, losses, rows.misfits())

    def _heeding(self, phase: str, total: int) -> OnRows:
        """What tells how many rows of a phase are done, and raises Stopped where its end is asked
        for."""
        tell = ProgressLines(self._log)

        def on_rows(done: int) -> None:
            tell(phase, done, total, "rows")
            self._listen()
            if self._asked.stop and done < total:
                raise Stopped

        return on_rows

    def _validated(self, step: int, sums: Sequence[float]) -> None:
        """Log a validation's figures, and keep the step if it is the best so far."""
        again, self._evaluated = self._evaluated == step, step
        best = False
        if self._ranks.first:
            figures = evaluated(step, self.validation, sums)
            self._log.write(figures)
            if not math.isfinite(figures.loss):
                raise NonFiniteLoss(f"The validation loss after step {step} is not a number.")
            with advised(self.config, "answering"):
                answers = self._samples.answers(step, causal_model(self.model))
            for answer in answers:
                self._log.write(answer)
            # A second look at one step is neither better nor a sign of patience lost.
            best = step > 0 and not again and self.best.take(step, figures.loss)
        # The first alone counts: what the others hold is from before.
        is_best, since = self._ranks.agree([best, self.best.since if self._ranks.first else 0])
        self.best.since = since
        if is_best:
            self.best.step = step
            if self.config.evaluation.every or self.config.checkpoints.result == "best":
                self._save(step, "best")
        if self._gave_up:
            text = (
                f"The validation loss has not fallen below that of step {self.best.step} in "
                f"{since} validations: training ends (evaluation.patience)."
            )
            self._log.write(Notice(text))

    def _save(self, step: int, reason: str) -> None:
        self._asked.save = False
        told = self._saved == step
        if told and reason != "best":
            return
        self._saved = step
        started = time.perf_counter()
        # A large one takes longer than any step: who watches for stalls should know.
        self._log.write(Progress("saving a checkpoint", 0, 1))
        place = checkpoint.Place(step, self._evaluated == step, self.best, self._ranks.count)
        path = checkpoint.save(self._folder, place, self._parts)
        if not self._ranks.first:
            return
        checkpoint.prune(self._folder, self.config.checkpoints.keep, self.best.step)
        if reason == "best":
            write_json(self._folder / "best.json", {"path": path.name, **self.best.to_json()})
        if told:
            return
        self._log.write(CheckpointSaved(step, str(path.name), reason, folder_size(path)))
        seconds = time.perf_counter() - started
        if seconds > 30:
            self._log.write(Notice(f"Saving the checkpoint took {seconds:.0f} s.", "warning"))


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
