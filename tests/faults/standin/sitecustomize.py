"""Put on PYTHONPATH: the wall clock is off by as many seconds as the file $CLOCK_OFF says.

A stand-in, since to set the machine's own clock would set everybody's.
"""

from __future__ import annotations

import os
import time

_real = time.time


def _time() -> float:
    try:
        with open(os.environ["CLOCK_OFF"]) as file:  # noqa: PTH123
            return _real() + float(file.read())
    except (KeyError, OSError, ValueError):
        return _real()


time.time = _time
