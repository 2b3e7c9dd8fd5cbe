"""SIGKILL of the app: a run goes on as if nothing were, and no judgement is lost."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.conftest import Terminal
from tests.faults.conftest import Fresh
from tests.faults.invariants import Course, course, nothing_runs, told_in_words
from tests.faults.matrix import Chance, play
from tests.faults.test_supervisor import PATIENCE, SECONDS, has_ended
from tests.polling import eventually
from workbench.jobs import processes
from workbench.jobs.state import start_ticks
from workbench.review.items import Item
from workbench.review.making import create
from workbench.review.session import Session
from workbench.tracking import runs
from workbench.workspace import Workspace

ITEMS = 400


def test_sigkill_of_the_app_that_watches_a_run(
    fresh: Fresh, reference: Course, terminals: list[Terminal]
) -> None:
    def trial(chance: Chance) -> None:
        run = fresh()
        runs.start(run)
        ends = time.monotonic() + chance.uniform(1, SECONDS)
        while time.monotonic() < ends:
            app = Terminal(run.parent.parent, 80, 24)
            terminals.append(app)
            app.start("attach", run.name)
            program = eventually(lambda app=app: _program(app))
            time.sleep(chance.uniform(0.1, 3))
            processes.send([program], signal.SIGKILL)
            chance.note("kills")
            eventually(lambda pid=program: start_ticks(pid) is None)
            app.hang_up()
        eventually(lambda: has_ended(run), PATIENCE)
        assert told_in_words(run) == "finished"
        assert course(run) == reference
        nothing_runs(run)

    play("app: SIGKILL while it watches a run", trial, few=1, many=20)


def _program(app: Terminal) -> int:
    """The process of the app; 0 while the terminal's shell has not started it yet."""
    try:
        return app.program()
    except (subprocess.CalledProcessError, IndexError):
        return 0


def session(root: Path) -> Session:
    """A review session of many items."""
    items = [
        Item(f"item-{n:04d}", f"Question {n}?", "", {"base": f"B{n}", "adapter": f"A{n}"})
        for n in range(ITEMS)
    ]
    return create(Workspace(root), "first", items, seed=1, source={})


def judged(path: Path) -> list[int]:
    """What was judged, in the order of it, told without the code that writes it."""
    with sqlite3.connect(path) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert sound == "ok"
        rows = connection.execute("SELECT unit FROM judgements WHERE undone IS NULL ORDER BY id")
        return [unit for (unit,) in rows]


def numbers(count: int) -> list[str]:
    """What the first tasks of a queue are called."""
    return [str(number + 1) for number in range(count)]


_JUDGE = """
import sys
from pathlib import Path
from workbench.review.session import Session
session = Session(Path(sys.argv[1]))
while (one := session.next("ann")) is not None:
    session.judge("ann", one, ("left", "right", "tie")[one.index % 3])
    print(one.item, flush=True)
"""


def test_no_judgement_is_lost(tmp_path: Path) -> None:
    """Each one that `judge` has returned from is there, and nothing twice."""

    def trial(chance: Chance) -> None:
        path = session(tmp_path / f"ws-{chance.number}").path
        said: list[str] = []
        for _ in range(3):
            judging = subprocess.Popen(
                [sys.executable, "-c", _JUDGE, str(path)], stdout=subprocess.PIPE, text=True
            )
            assert judging.stdout is not None
            said += judging.stdout.readline().split()  # nothing once all are judged
            time.sleep(chance.uniform(0, 0.2))
            judging.kill()
            said += judging.stdout.read().split()
            judging.stdout.close()
            judging.wait()
            there = judged(path)
            assert said == numbers(len(said)) and 0 <= len(there) - len(said) <= 1
            assert len(set(there)) == len(there)
            chance.note("written, not yet told", len(there) - len(said))
            said = numbers(len(there))
        chance.note("judgements", len(said))

    play("review: SIGKILL while it is judged", trial, few=3, many=100)


def test_no_judgement_is_lost_with_the_app(tmp_path: Path, terminals: list[Terminal]) -> None:
    """What the screen has told as judged is there after a SIGKILL, whatever key came next."""

    def trial(chance: Chance) -> None:
        root = tmp_path / f"ws-{chance.number}"
        path = session(root).path
        app = Terminal(root, 80, 24)
        terminals.append(app)
        app.start("review", "open", "first")
        app.wait(f"0 of {ITEMS} judged")
        shown = chance.randint(1, 6)
        for number in range(shown):
            app.press(chance.choice("abt"))
            app.wait(f"{number + 1} of {ITEMS} judged")
        more = chance.randint(0, 4)
        if more:
            app.press(*chance.choices("abt", k=more))
        time.sleep(chance.uniform(0, 0.1))
        app.kill_program()
        there = judged(path)
        assert shown <= len(there) <= shown + more
        assert len(set(there)) == len(there)
        chance.note("judgements", len(there))
        app.hang_up()

    play("review: SIGKILL of the app while it is judged", trial, few=1, many=25)
