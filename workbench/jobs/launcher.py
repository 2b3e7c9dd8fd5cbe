"""Several ranks of a job: one process that makes ready, then turns into their launcher.

`accelerate launch` starts the ranks, on processors as on GPUs: its kind MULTI_GPU stands for
torch's own launcher and asks for no GPU. Its `--cpu` would start one process, or want mpirun.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from workbench.files import write_text
from workbench.jobs.control import Control

CONFIG = "accelerate.yaml"
"""The launcher's settings in a job's folder: a person's own, else PLAIN."""
PLAIN = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_machines: 1
mixed_precision: 'no'
"""
RANK = "RANK"
"""The variable that a launcher numbers its ranks with."""
VARIABLES = (RANK, "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""What else a launcher tells its ranks in their environment, too."""


def is_rank() -> bool:
    """Whether a launcher has started this process."""
    return RANK in os.environ


def become(folder: Path, module: str, processes: int, control: Control) -> NoReturn:
    """Go on as the launcher of `processes` ranks of `python -m module FOLDER`.

    The process stays the one that the supervisor guards: pid and start time are as before.
    Every log that Python has opened is closed by it. Raises WorkbenchError when the launcher's
    settings can't be written, OSError when it can't be started.
    """
    # For DeepSpeed accelerate tells its ranks nothing of it.
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    command = _command(folder, module, processes)
    sys.stdout.flush()
    sys.stderr.flush()
    control.hand_over()
    os.execv(command[0], command)  # noqa: S606 (no shell, as everywhere)


def _command(folder: Path, module: str, processes: int) -> list[str]:
    config = folder / CONFIG
    if not config.exists():
        # Without one accelerate takes up whatever is in the person's cache folder.
        write_text(config, PLAIN)
    # Port 0 is a free one: two runs on a machine must not meet.
    options = {
        "--config_file": str(config),
        "--num_processes": str(processes),
        "--main_process_port": "0",
        "--num_cpu_threads_per_process": os.environ["OMP_NUM_THREADS"],
    }
    flags = [part for option in options.items() for part in option]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *flags]
    return [*launcher, "-m", module, str(folder)]
