"""Where things live on disk, and how they are named and locked."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, user_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be a file's name, else raise WorkbenchError."""
    if not _NAME.fullmatch(name):
        article = "an" if what[0] in "aeiou" else "a"
        raise WorkbenchError(
            f"{name!r} can't be the name of {article} {what}.",
            "Use letters, digits, '.', '_' and '-', starting with a letter or a digit.",
        )
    return name


@dataclass(frozen=True)
class Workspace:
    """A folder that holds everything: data, configs, runs, tasks, reviews, base models."""

    root: Path

    @classmethod
    def find(cls, root: str | Path | None = None) -> Workspace:
        """The named workspace, else $WORKBENCH_HOME, else ./workbench-data."""
        chosen = root or os.environ.get("WORKBENCH_HOME") or "workbench-data"
        return cls(user_path(chosen).absolute())

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        """What sweeps were asked for; their runs say themselves which sweep they are of."""
        return self.root / "sweeps"

    @property
    def tasks(self) -> Path:
        """Jobs that belong to no run."""
        return self.root / "tasks"

    @property
    def reviews(self) -> Path:
        return self.root / "reviews"

    @property
    def reports(self) -> Path:
        """Those of several runs; that of one is in its folder."""
        return self.root / "reports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """What can be made again at any time."""
        return self.root / "cache"

    def ensure(self) -> Workspace:
        """Create the workspace and prove that it can be written.

        Raises WorkbenchError on a read-only or full file system.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root, prefix=".probe-") as probe:
                probe.write(b"workbench")
                probe.flush()
        except OSError as error:
            raise explain_os_error(error, f"write in the workspace {self.root}") from error
        return self

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the workspace's lock `name`; waits while another process holds it.

        Raises WorkbenchError when the workspace can't be written or its file system knows
        no locks.
        """
        self.ensure()
        path = self.root / f".{name}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain_os_error(error, f"open the lock {path}") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                raise explain_os_error(error, f"take the lock {path}") from error
            yield
        finally:
            os.close(handle)
