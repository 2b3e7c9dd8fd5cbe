"""The trackers that are packages of their own, each opened through accelerate's class for it.

They would tell of the process that sends as well (its command, its host, its packages, what the
machine does); what of it can be switched off is.
"""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from workbench.errors import WorkbenchError
from workbench.redaction import redact
from workbench.trackers.description import Description
from workbench.trackers.points import Point
from workbench.workspace import Workspace

_PATIENCE = 30.0
"""Seconds that a server may take to answer at first."""

_MLFLOW_TAKES = 1000
"""Metrics of a request, at most."""


class Service(ABC):
    """One tracker: where it keeps runs, and how a run gets there."""

    name: ClassVar[str]
    title: ClassVar[str]
    at_once: ClassVar[int] = 1
    """Points that are handed over together."""

    def __init__(self, workspace: Workspace, project: str, *, offline: bool) -> None:
        """`offline` keeps all on this machine. Raises WorkbenchError where the package isn't
        installed."""
        if find_spec(self.name) is None:
            raise WorkbenchError(
                f"{self.title} is not installed: the package {self.name} is missing.",
                f"`pip install 'finetune-workbench[{self.name}]'` installs it; TensorBoard's "
                "files need no package.",
            )
        self.project, self.offline = project, offline
        self.folder = (workspace.root / "trackers" / self.name).absolute()
        self.tracker: Any = None

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the runs go, without passwords; the same for the same place."""

    @abstractmethod
    def _opened(self, told: Description, identity: str, *, known: bool) -> Any:
        """Accelerate's tracker for the run; `known` for one that is there already."""

    def open(self, told: Description, identity: str, *, known: bool) -> str:
        """Begin the run there, or go on with it; the identity by which it is found again."""
        from accelerate import PartialState

        # Else accelerate would take a GPU, which the run itself may need.
        PartialState(cpu=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tracker = self._opened(told, identity, known=known)
        self.tracker.start()
        if not known:
            self.tracker.store_init_configuration(told.config)
        return identity

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self.tracker.log(point.values, step=point.step)

    def score(self, scores: dict[str, float], step: int, time: float) -> None:
        """Tell the figures of an evaluation of the finished run."""
        self.log([Point(time, step, scores)])

    def close(self) -> None:
        self.tracker.finish()

    @abstractmethod
    def look(self) -> str:
        """What a person does to see the run."""


class WandB(Service):
    name, title = "wandb", "W&B"

    @property
    def place(self) -> str:
        return "offline" if self.offline else os.environ.get("WANDB_BASE_URL", "online")

    def _opened(self, told: Description, identity: str, *, known: bool) -> Any:
        import wandb
        from accelerate.tracking import WandBTracker

        settings = wandb.Settings(
            console="off",
            silent=True,
            init_timeout=_PATIENCE,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            host="",
        )
        return WandBTracker(
            self.project,
            id=identity,
            name=told.name,
            dir=str(self.folder.parent),  # it makes a folder `wandb` there
            mode="offline" if self.offline else "online",
            resume="allow",
            tags=told.tags or None,
            notes=told.notes or None,
            settings=settings,
        )

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self.tracker.log({**point.values, "_timestamp": point.time}, step=point.step)

    def score(self, scores: dict[str, float], step: int, time: float) -> None:
        # Steps that it has are closed to it.
        self.tracker.tracker.summary.update(scores)

    def look(self) -> str:
        run = self.tracker.tracker
        if not self.offline:
            return str(run.url)
        return f"wandb sync --append {Path(run.settings.sync_dir)}"


class MLflow(Service):
    name, title, at_once = "mlflow", "MLflow", 50

    @property
    def place(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self._uri())

    def _uri(self) -> str:
        own = f"sqlite:///{self.folder / 'mlflow.db'}"
        return own if self.offline else os.environ.get("MLFLOW_TRACKING_URI", own)

    def _opened(self, told: Description, identity: str, *, known: bool) -> Any:
        # By itself it asks a server that isn't there for some minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(round(_PATIENCE)))
        import mlflow
        from accelerate.tracking import MLflowTracker

        mlflow.set_tracking_uri(self._uri())
        local = self._uri().startswith("sqlite:")
        return MLflowTracker(
            self.project,
            logging_dir=(self.folder / "artifacts").as_uri() if local else None,
            run_id=identity if known else None,
            run_name=told.name,
            tags={
                "mlflow.source.name": "workbench",
                "workbench.run": told.name,
                "workbench.tags": " ".join(told.tags),
            },
            description=told.notes or None,
        )

    def open(self, told: Description, identity: str, *, known: bool) -> str:
        super().open(told, identity, known=known)
        return str(self.tracker.tracker.info.run_id)

    def log(self, points: Sequence[Point]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        # Accelerate's tracker sends a step at a time, each some 70 ms.
        metrics = [
            Metric(re.sub(r"[^\w\-. :/]", "_", name), value, round(point.time * 1000), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        run = self.tracker.tracker.info.run_id
        for start in range(0, len(metrics), _MLFLOW_TAKES):
            MlflowClient().log_batch(run, metrics=metrics[start : start + _MLFLOW_TAKES])

    def close(self) -> None:
        import mlflow

        self.tracker.finish()
        mlflow.end_run()

    def look(self) -> str:
        return f"mlflow ui --backend-store-uri {self.place}"


class Trackio(Service):
    name, title = "trackio", "trackio"

    @property
    def place(self) -> str:
        space = "" if self.offline else os.environ.get("TRACKIO_SPACE_ID", "")
        return space or os.environ.get("TRACKIO_DIR") or str(self.folder)

    def _opened(self, told: Description, identity: str, *, known: bool) -> Any:
        # It reads this once, when it is imported.
        os.environ.setdefault("TRACKIO_DIR", str(self.folder))
        if self.offline:
            os.environ.pop("TRACKIO_SPACE_ID", None)
        from accelerate.tracking import TrackioTracker

        return TrackioTracker(
            self.project,
            name=f"{told.name}-{identity[:4]}",
            config={**told.config, "tags": " ".join(told.tags), "notes": told.notes},
            resume="must" if known else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def close(self) -> None:
        import trackio

        # As accelerate's tracker does, but it isn't finished, and told of, once more at the exit.
        trackio.finish()

    def look(self) -> str:
        if self.place == str(self.folder):
            return f"TRACKIO_DIR={self.folder} trackio show --project {self.project}"
        return f"trackio show --project {self.project}"


SERVICES: dict[str, type[Service]] = {kind.name: kind for kind in (Trackio, MLflow, WandB)}


@contextmanager
def explained(service: Service, run: str) -> Iterator[None]:
    """What goes wrong in a tracker's own package, in one sentence; what it prints goes to stderr,
    so that stdout holds the result alone."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except WorkbenchError:
        raise
    except Exception as error:  # each package raises what it likes
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = redact(lines[0].strip()) if lines else type(error).__name__
        other = "" if service.offline else ", or with --offline, which needs no network"
        raise WorkbenchError(
            f"{run} could not be sent to {service.title} ({service.place}): {reason}",
            f"Nothing is lost: what was sent is noted. The same line goes on from there{other}.",
        ) from error
