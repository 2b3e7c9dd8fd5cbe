"""`workbench runs track`: runs shown in TensorBoard, trackio, MLflow or W&B, from their logs."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs.common import leaf, say
from workbench.workspace import Workspace

_TRACKERS = ("tensorboard", "trackio", "mlflow", "wandb")


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench runs`."""
    track = leaf(
        verbs,
        "track",
        help="send runs to a tracker, from their logs: afterwards, or as they train",
        run=_track,
        show=_show,
    )
    track.add_argument("tracker", metavar="TRACKER", help=", ".join(_TRACKERS))
    track.add_argument(
        "references", nargs="*", metavar="RUN", help="ids, the start of them; default: `latest`"
    )
    track.add_argument(
        "--follow", action="store_true", help="go on until the run has ended; one run"
    )
    track.add_argument(
        "--offline", action="store_true", help="keep it on this machine, to be uploaded later"
    )
    track.add_argument(
        "--again", action="store_true", help="send all of it once more, as a run of its own there"
    )
    track.add_argument(
        "--project", default="workbench", metavar="NAME", help="default: %(default)s"
    )


def _track(args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.tracker not in _TRACKERS:
        raise WorkbenchError(
            f"There is no tracker {visible(args.tracker, one_line=True)}.",
            f"There are {', '.join(_TRACKERS)}.",
        )
    workspace = Workspace.find(args.workspace)
    references = args.references or [runs.LATEST]
    folders = list(dict.fromkeys(runs.find(workspace, name) for name in references))
    if args.follow and (len(folders) > 1 or args.tracker == "tensorboard"):
        raise WorkbenchError(
            "--follow takes one run, and a tracker other than tensorboard.",
            "Several runs take several lines; a run's event file follows it by itself "
            "(logging.tensorboard).",
        )
    from workbench.trackers import sending

    reports = []
    for folder in folders:
        if args.tracker == "tensorboard":
            report = sending.to_tensorboard(folder)
        else:
            send = sending.send_live if args.follow else sending.send
            report = send(
                workspace,
                folder,
                args.tracker,
                args.project,
                offline=args.offline,
                again=args.again,
            )
        reports.append(report.to_json())
        if len(folders) > 1:
            say(_line(reports[-1]))
    return reports


def _show(result: list[dict[str, Any]]) -> None:
    if len(result) == 1:
        print(visible(_line(result[0])))
    for look in dict.fromkeys(report["look"] for report in result):
        print(visible(f"to see it: {look}", one_line=True))


def _line(report: dict[str, Any]) -> str:
    project = f", project {report['project']}" if report["project"] else ""
    place = f"{report['tracker']} ({report['place']}{project})"
    if report["already"]:
        return f"{report['run']} is in {place} already, up to step {report['step']}"
    steps = f"{report['steps']:,} step{'s' * (report['steps'] != 1)}"
    return f"{report['run']}: {steps} sent to {place}, up to step {report['step']}"
