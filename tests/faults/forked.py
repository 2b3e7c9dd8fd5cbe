"""Training processes without the 5 s of imports: `python -m tests.faults.forked`.

A parent that has imported torch and the rest, and run none of it, forks a child for each run's
folder that it reads on stdin. The child is a training process as any: a group of its own, its
streams in the run's files, real signals. Its pid goes to stdout, then its exit code.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


class Forked:
    """The parent, seen from a test; one child at a time."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # Threads don't live through a fork.
            env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self._running = False

    def start(self, folder: Path) -> int:
        """Train the run in `folder`; returns the pid of the process that does."""
        assert self._parent.stdin is not None
        self.end()
        self._parent.stdin.write(f"{folder}\n")
        self._parent.stdin.flush()
        self._running = True
        return self._answer()

    def end(self) -> int | None:
        """Wait for the child's end; its exit code, negative for a signal."""
        if not self._running:
            return None
        self._running = False
        return self._answer()

    def _answer(self) -> int:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, "the parent of the training processes has ended"
        return int(line)

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait()


def main() -> int:
    # Imported now, and not by each child.
    import transformers.models.llama.modeling_llama  # noqa: F401

    from workbench.jobs.runner import run_job
    from workbench.training.job import train

    gc.collect()
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        folder = Path(line.strip())
        child = os.fork()
        if child == 0:
            _take_up(folder)
            return run_job(train, [str(folder)])
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


def _take_up(folder: Path) -> None:
    """Streams and a group of its own, as a supervisor gives them to its job."""
    os.setpgid(0, 0)
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, name, flags in (
        (0, Path(os.devnull), os.O_RDONLY),
        (1, folder / "stdout.log", appending),
        (2, folder / "stderr.log", appending),
    ):
        handle = os.open(name, flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)


if __name__ == "__main__":
    sys.exit(main())
