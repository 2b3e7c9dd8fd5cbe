"""SIGKILL and SIGTERM of the training process, and what comes of its run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Fresh
from tests.faults.forked import Forked
from tests.faults.invariants import (
    LOG,
    Course,
    course,
    resumed_from_newest,
    whole_checkpoints,
    whole_log,
)
from tests.faults.matrix import Chance, play
from tests.polling import eventually


class Trial:
    """A run that is killed and resumed, each time with all that must hold."""

    def __init__(self, run: Path, forked: Forked, chance: Chance) -> None:
        self.run = run
        self._forked = forked
        self._chance = chance

    def hit(self, moment: Callable[[], None], number: int = signal.SIGKILL) -> int | None:
        """Start, or go on; at `moment` comes the signal. Returns the exit code."""
        log = self.run / LOG
        before = log.read_bytes() if log.exists() else b""
        whole = whole_checkpoints(self.run)
        pid = self._forked.start(self.run)
        moment()
        with contextlib.suppress(ProcessLookupError):  # it was done already
            os.kill(pid, number)
        code = self._forked.end()
        if code == -signal.SIGKILL and list(self.run.glob("checkpoints/.step-*")):
            self._chance.note("in a checkpoint's writing")
        started = [e for e in whole_log(log, before) if e["type"] == "started"]
        if len(started) > before.count(b'"type":"started"'):
            resumed_from_newest(self.run, whole)
        return code

    def finish(self) -> Course:
        """Go on to the end."""
        assert self.hit(lambda: None, 0) == 0, (self.run / "stderr.log").read_text()
        return course(self.run)


def after(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)


def test_sigkill_at_any_moment(fresh: Fresh, forked: Forked, reference: Course) -> None:
    def trial(chance: Chance) -> None:
        one = Trial(fresh(), forked, chance)
        if one.hit(after(chance.uniform(0, reference.seconds))) == 0:
            chance.note("done before the signal")
        assert one.finish() == reference

    play("trainer: SIGKILL at any moment, resumed", trial, few=2, many=120)


def test_sigkill_again_and_again(fresh: Fresh, forked: Forked, reference: Course) -> None:
    def trial(chance: Chance) -> None:
        one = Trial(fresh(), forked, chance)
        # Longer each time: on a machine that is slower by now none would come to the end.
        longest = reference.seconds
        while one.hit(after(chance.uniform(0.1, longest))) != 0:
            chance.note("kills")
            longest *= 1.2
        assert course(one.run) == reference

    play("trainer: SIGKILL again and again until done", trial, few=1, many=40)


def test_sigkill_while_a_checkpoint_is_written(
    fresh: Fresh, forked: Forked, reference: Course
) -> None:
    def trial(chance: Chance) -> None:
        one = Trial(fresh(), forked, chance)
        which, pause = chance.randrange(6), chance.uniform(0, 0.025)
        one.hit(lambda: _nth(one.run, which, ".step-*", pause))
        assert one.finish() == reference

    play("trainer: SIGKILL while a checkpoint is written", trial, few=2, many=150)


def test_sigkill_as_a_checkpoint_gets_its_name(
    fresh: Fresh, forked: Forked, reference: Course
) -> None:
    """Between the rename and the fsync of the folder, and while old checkpoints are removed."""

    def trial(chance: Chance) -> None:
        one = Trial(fresh(), forked, chance)
        which, pause = chance.randrange(6), chance.uniform(0, 0.004)
        one.hit(lambda: _nth(one.run, which, "step-*", pause))
        steps = [e["step"] for e in whole_log(one.run / LOG) if e["type"] == "checkpoint"]
        if max(whole_checkpoints(one.run)) > max(steps, default=0):
            chance.note("after the rename, not in the log yet")
        assert one.finish() == reference

    play("trainer: SIGKILL as a checkpoint gets its name", trial, few=1, many=80)


def _nth(run: Path, which: int, pattern: str, pause: float) -> None:
    """Return `pause` seconds after the checkpoint `which` (from 0) has a folder, or once it has
    had one: on a busy machine it may have come and gone between two looks."""
    folder = run / "checkpoints"
    wanted = 2 * (which + 1)

    def has_come(name: str) -> bool:
        found = re.match(r"(\.?)step-(\d+)", name)
        if found is None or int(found[2]) < wanted:
            return False
        return int(found[2]) > wanted or pattern.startswith(".") or not found[1]

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        # Hardly any: the writing takes some 20 ms, the removal of an old one less than one. None
        # at all would take the processor from the run.
        time.sleep(0.0002)
        with contextlib.suppress(FileNotFoundError):
            if any(has_come(path.name) for path in folder.iterdir()):
                break
    else:
        raise AssertionError(f"{pattern} of step {wanted} never came")
    until = time.perf_counter() + pause
    while time.perf_counter() < until:
        pass


def test_sigterm_at_any_moment(fresh: Fresh, forked: Forked, reference: Course) -> None:
    def trial(chance: Chance) -> None:
        one = Trial(fresh(), forked, chance)
        log = one.run / LOG
        seconds = chance.uniform(0, reference.seconds)

        def moment() -> None:
            # Before it listens for signals it just dies of them.
            eventually(lambda: log.exists() and log.stat().st_size)
            time.sleep(seconds)

        code = one.hit(moment, signal.SIGTERM)
        last = whole_log(log)[-1]
        assert last["type"] == "finished", (code, last, (one.run / "stderr.log").read_text())
        # With its work done, Python gives the signals back while it takes itself down.
        assert code == 0 or (code == -signal.SIGTERM and not last["preempted"]), code
        if last["preempted"]:
            chance.note("pre-empted")
            assert max(whole_checkpoints(one.run), default=0) == last["step"]
            assert one.finish() == reference
        else:
            assert course(one.run) == reference

    play("trainer: SIGTERM at any moment, resumed", trial, few=1, many=80)
