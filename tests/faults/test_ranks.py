"""SIGKILL of a rank, and of the launcher of ranks."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.invariants import nothing_runs, told_in_words, whole_log
from tests.faults.matrix import Chance, play
from tests.faults.test_supervisor import PATIENCE, has_ended, kill, state_of
from tests.jobs.conftest import StartJob
from tests.polling import eventually
from workbench.jobs import launch, processes
from workbench.jobs.launch import Care
from workbench.jobs.log import rank_log
from workbench.jobs.state import describe

RANKS = 2


def _ranks(folder: Path) -> list[int]:
    """The pids of the ranks, once both work."""
    files = [folder / f"rank-{number}.pid" for number in range(RANKS)]
    eventually(lambda: all(file.exists() and file.read_text() for file in files), PATIENCE)
    return [int(file.read_text()) for file in files]


def test_sigkill_of_a_rank(start_job: StartJob, tmp_path: Path) -> None:
    def trial(chance: Chance) -> None:
        folder = start_job("work in ranks", tmp_path / f"ranks-{chance.number}", processes=RANKS)
        ranks = _ranks(folder)
        time.sleep(chance.uniform(0, 1))
        lost = chance.randrange(RANKS)
        kill(ranks[lost])
        began = time.monotonic()
        eventually(lambda: has_ended(folder), PATIENCE)
        chance.note("seconds to its end", round(time.monotonic() - began))
        assert told_in_words(folder, f"Rank {lost} (process {ranks[lost]})", "SIGKILL") == "failed"
        assert state_of(folder).cause == "lost_rank", describe(folder)
        for log in (launch.EVENTS, rank_log(1)):
            whole_log(folder / log)
        nothing_runs(folder)

    play("rank: SIGKILL", trial, few=1, many=24)


def test_sigkill_of_a_rank_of_a_job_that_is_started_anew(
    start_job: StartJob, tmp_path: Path
) -> None:
    def trial(chance: Chance) -> None:
        care = Care(restarts=1, restart_after=0)
        folder = start_job(
            "work in ranks", tmp_path / f"anew-{chance.number}", care=care, processes=RANKS
        )
        ranks = _ranks(folder)
        time.sleep(chance.uniform(0, 1))
        for file in folder.glob("rank-*.pid"):
            file.unlink()
        kill(chance.choice(ranks))
        _ranks(folder)
        (folder / "go").touch()
        eventually(lambda: has_ended(folder), PATIENCE)
        assert told_in_words(folder) == "finished"
        assert state_of(folder).restarts == 1
        for log in (launch.EVENTS, rank_log(1)):
            whole_log(folder / log)
        nothing_runs(folder)

    play("rank: SIGKILL, started anew by its supervisor", trial, few=0, many=12)


def test_sigkill_of_the_launcher(start_job: StartJob, tmp_path: Path) -> None:
    """Its ranks would wait for each other and hold their GPUs."""

    def trial(chance: Chance) -> None:
        folder = start_job("work in ranks", tmp_path / f"run-{chance.number}", processes=RANKS)
        # While it starts its ranks, too: then some have no pid file yet.
        time.sleep(chance.uniform(0, 6))
        kill(state_of(folder).pid)
        eventually(lambda: has_ended(folder), PATIENCE)
        assert told_in_words(folder, "SIGKILL", cause="killed") == "failed"
        eventually(lambda: not processes.of_job(folder))

    play("rank: SIGKILL of the launcher", trial, few=1, many=24)
