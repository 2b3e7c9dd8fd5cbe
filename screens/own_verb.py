"""A verb of the command line in a process of its own: for a key whose work imports what takes long,
or keeps a processor busy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


class OwnVerb:
    """One that has been started."""

    def __init__(self, workspace: Workspace, *words: str, runs: Sequence[Path]) -> None:
        """`words` are the verb and its options; it is about these runs."""
        where = ["--json", "--workspace", str(workspace.root)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *words, *where, "--", *(run.name for run in runs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def result(self) -> dict[str, Any]:
        """What it returns, once it has ended. Raises WorkbenchError as it does, and where it has
        died."""
        told, _ = self._process.communicate()
        try:
            found: dict[str, Any] = json.loads(told)
            if self._process.returncode != 0:
                raise WorkbenchError(found["error"], found["hint"])
        except (LookupError, TypeError, ValueError):
            raise WorkbenchError("The process that does it has died.") from None
        return found

    def end(self) -> None:
        """End it; what it returns is of no use any more."""
        with suppress(OSError):
            self._process.kill()
