"""What comes before the ranks: `python -m workbench.training.prepare RUN_FOLDER`.

One process hashes and encodes what the run is made of, which takes minutes for a large dataset:
ranks that waited for the first of them in a collective would give up. Then it turns into their
launcher.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import torch
from accelerate.commands.config.config_args import load_config_from_file

from workbench.config.job import Job
from workbench.errors import WorkbenchError
from workbench.jobs import launcher
from workbench.jobs.control import Control
from workbench.jobs.events import Progress
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.tracking import runs
from workbench.training.proving import prove_inputs
from workbench.training.ranks import in_words


def prepare(folder: Path, log: LogWriter, control: Control) -> NoReturn:
    """Make the run in `folder` ready, and go on as the launcher of its ranks."""
    job = runs.load_config(folder).job
    check_machine(folder, job)
    prove_inputs(folder, log, control)
    log.write(Progress(f"starting {in_words(job.processes)}", 0, 1))
    launcher.become(folder, "workbench.training.job", job.processes, control)


def check_machine(folder: Path, job: Job) -> None:
    """Raises WorkbenchError when there are too few GPUs, or accelerate can't read its settings."""
    if torch.cuda.is_available() and torch.cuda.device_count() < job.processes:
        raise WorkbenchError(
            f"job.processes is {job.processes}, and this run sees {torch.cuda.device_count()} of "
            "the GPUs: each process needs one of its own.",
            "Set job.processes to the number of GPUs; CUDA_VISIBLE_DEVICES may hide some.",
        )
    config = folder / launcher.CONFIG
    if config.exists():
        try:
            load_config_from_file(str(config))
        except (ValueError, TypeError, KeyError) as error:
            raise WorkbenchError(
                f"accelerate can't use {config}: {' '.join(str(error).split())}",
                "`accelerate config` writes such a file.",
            ) from error


if __name__ == "__main__":
    sys.exit(run_job(prepare, sys.argv[1:]))
