"""Two real processes over gloo, as a launcher would start them: `run(module, …)`.

The module is run as `python -m MODULE FOLDER`; each rank's `tell` leaves what it found out.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RANKS = 2
_LONGEST = 1200
"""Seconds, on a machine that is busy with other things."""


def run(module: str, folder: Path) -> list[dict[str, Any]]:
    """What each rank told, by rank."""
    with socket.socket() as held:
        # Not listened on, and to be shared: the first rank can take the port, and the system gives
        # it to nobody else meanwhile.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        return _run(module, folder, held.getsockname()[1])


def _run(module: str, folder: Path, port: int) -> list[dict[str, Any]]:
    common = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        for rank, process in enumerate(started):
            _, errors = process.communicate(timeout=_LONGEST)
            assert process.returncode == 0, f"rank {rank}: {errors[-3000:]}"
    finally:
        for process in started:
            process.kill()
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(RANKS)]


def tell(folder: Path, rank: int, what: dict[str, Any]) -> None:
    (folder / f"told-{rank}.json").write_text(json.dumps(what))
