"""What each stored output scores and is marked with: as its evaluation has written it, else found
out once, in a process of its own where a screen asks, and kept in the workspace's cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, sha256_file, write_text
from workbench.workspace import Workspace

STORED = "scores.jsonl"
"""In an evaluation's folder, beside its outputs."""
_CODE = 1
"""Of what is found out; raised whenever it would be something else."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one row."""

    scores: Mapping[str, Mapping[str, float]]
    """By system and metric."""
    marks: Mapping[str, tuple[str, ...]]
    """By system."""
    contaminated: bool | None
    """Whether a training row holds it; None where nobody looked."""


def known(workspace: Workspace, outputs: Path) -> dict[str, Scores] | None:
    """By the row's key; None where nobody has looked. `outputs` is the file of the outputs.

    Raises WorkbenchError that names the file and the line for what is damaged.
    """
    for path in (outputs.with_name(STORED), _kept(workspace, outputs)):
        # Of a file from elsewhere nobody knows what lies beside it.
        if (path.parent != outputs.parent or outputs.name == "outputs.jsonl") and path.exists():
            return _read(path)
    return None


def make(workspace: Workspace, outputs: Path, run: Path | None) -> None:
    """Find out what the outputs score, by the metrics that fit their references, and keep it.

    `run` is the one whose evaluation they are of: its labels count, and what is copied of its
    training rows. Takes what the metrics take, some 3 ms an output. Raises WorkbenchError as
    `scoring.score` does, and where the workspace can't be written.
    """
    # Inside: it brings numpy.
    from workbench.evaluation import rescoring
    from workbench.evaluation.rows import read_outputs
    from workbench.evaluation.scoring import by_row

    data = rescoring.data_of_run(run) if run else rescoring.Data()
    rows = rescoring.with_contamination(read_outputs(outputs), data)
    found = by_row(rows, labels=data.labels, trained=data.trained)
    kept = _kept(workspace, outputs)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, f"write {kept}") from error
    write_text(kept, "".join(f"{json.dumps(row)}\n" for row in found))


class Making:
    """`make` in a process of its own: it takes heavy libraries, and minutes for many outputs."""

    def __init__(self, workspace: Workspace, outputs: Path, run: Path | None) -> None:
        """Start it. Raises WorkbenchError when no process can be started."""
        arguments = [str(workspace.root), str(outputs), *([str(run)] if run else [])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench.evaluation.row_scores", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError as error:
            raise WorkbenchError(f"The outputs can't be scored: {error}.") from error

    def wait(self) -> bool:
        """Whether it came to its end; False where it was ended. Raises WorkbenchError for what is
        wrong with the outputs."""
        said, _ = self._process.communicate()
        status = self._process.returncode
        if said:
            body = json.loads(said)
            raise WorkbenchError(body["problem"], body["hint"])
        if status not in (0, -signal.SIGKILL):
            raise WorkbenchError(f"Scoring ended before it was done (status {status}).")
        return status == 0

    def end(self) -> None:
        """End it, wherever it is. May be called by another thread than the one that waits."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _kept(workspace: Workspace, outputs: Path) -> Path:
    return workspace.cache / "scores" / f"{sha256_file(outputs)}-{_CODE}.jsonl"


def _read(path: Path) -> dict[str, Scores]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"{path} can't be read: {error}.", _AGAIN) from error
    return dict(_rows(path, lines))


_AGAIN = "Remove it, or have an evaluation scored anew: workbench score RUN --save."


def _rows(path: Path, lines: Iterable[str]) -> Iterable[tuple[str, Scores]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _row(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WorkbenchError(f"{path}:{number} holds no scores: {error!r}.", _AGAIN) from error


def _row(body: Any) -> tuple[str, Scores]:
    scores = {
        system: {name: float(value) for name, value in of.items()}
        for system, of in body["scores"].items()
    }
    marks = {system: tuple(map(str, names)) for system, names in body["marks"].items()}
    return str(body["key"]), Scores(scores, marks, body.get("contaminated"))


def main(arguments: list[str]) -> int:
    """The process that `Making` starts; says on standard output what is wrong."""
    root, outputs, *run = arguments
    try:
        make(Workspace(Path(root)), Path(outputs), Path(run[0]) if run else None)
    except WorkbenchError as error:
        print(json.dumps({"problem": error.message, "hint": error.hint}))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
