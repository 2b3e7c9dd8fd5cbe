"""No judgement is lost when the process that writes them is killed at any moment."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

from workbench.review.session import Session

_KILLS = 5
_EACH = 250
"""Judgements of a process at most, however late its kill comes."""
_JUDGE = """\
import signal, sys
from pathlib import Path
from workbench.review.session import Session
session = Session(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    shown = session.next("ann")
    session.judge("ann", shown, "tie", note=shown.item)
    # Only now is the next item shown.
    print(shown.item, flush=True)
signal.pause()
"""


def test_no_judgement_is_lost_when_the_process_is_killed(make: Callable[..., Session]) -> None:
    """What was said to be written is there after each of several SIGKILLs, at random moments."""
    session = make(1500)
    said: list[str] = []
    moment = random.Random(1)
    for _ in range(_KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", _JUDGE, str(session.path), str(_EACH)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said.append(process.stdout.readline().strip())
        time.sleep(moment.random() / 10)  # where in the loop it dies, not when it is done
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().split()
        assert process.wait() == -signal.SIGKILL
    written = [decision.note for decision in session.recent("ann", limit=1500)][::-1]
    assert len(said) == len(set(said)) >= _KILLS
    assert not set(said) - set(written)
    # At most one a kill was on disk before it could be said.
    assert len(written) - len(said) <= _KILLS
    with sqlite3.connect(session.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
