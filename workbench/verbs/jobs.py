"""`workbench jobs`: everything that goes on, and what came of it."""

from __future__ import annotations

import argparse
import time
from typing import Any

from workbench.errors import MENDABLE
from workbench.files import read_json_object
from workbench.jobs.tasks import REQUEST
from workbench.text import visible
from workbench.tracking import finding, jobs
from workbench.tracking.view import ago, amount, duration, per_second
from workbench.verbs.common import leaf, table
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "jobs",
        help="list every job: trainings, evaluations, merges, imports, …; or show one",
        run=_list,
        show=_show_list,
    )
    verbs = parser.add_subparsers(metavar="COMMAND")
    show = leaf(verbs, "show", help="one job in full", run=_show_one, show=_print_one)
    show.add_argument("reference", metavar="JOB", help="as `workbench jobs` lists it")


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [job.to_json() for job in jobs.list_jobs(Workspace.find(args.workspace))]


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print(
            "There are no jobs yet. `workbench data import FILE` begins with data, "
            "`workbench train CONFIG` with a run."
        )
        return
    rows = [
        [
            job["reference"],
            job["kind"],
            job["status"],
            *(part or "–" for part in _course(job)),
            ago(job["started"]) if job["started"] else "–",
        ]
        for job in result
    ]
    print(table(["job", "kind", "state", "phase", "done", "rate", "left", "started"], rows))


def _course(job: dict[str, Any]) -> tuple[str, str, str, str]:
    """Phase, how much of it is done, its rate and the time left; empty where there is none."""
    rate, left, unit = job["rate"], job["seconds_left"], job["unit"]
    return (
        job["phase"],
        amount(job["done"], job["total"], unit),
        per_second(rate, unit) if rate is not None and unit else "",
        "" if left is None else duration(left),
    )


def _show_one(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    folder = finding.find_job(workspace, args.reference)
    request = read_json_object(folder / REQUEST) if (folder / REQUEST).exists() else {}
    return {**jobs.summarise(workspace, folder).to_json(), "request": request}


def _print_one(job: dict[str, Any]) -> None:
    phase, done, rate, left = _course(job)
    course = "  ".join(part for part in (phase, done, rate, left and f"{left} left") if part)
    lines = {
        "job": f"{job['reference']} ({job['kind']})",
        "state": f"{job['status']}. {job['text']}",
        "advice": job["hint"],
        "go on": finding.how_to_go_on(job["reference"], job["status"]),
        "progress": course,
        "started": _moment(job["started"]),
        "ended": _moment(job["ended"]),
        "result": job["result"],
        "folder": job["folder"],
        **{name: value for name, value in job["request"].items() if value not in (None, "", [])},
    }
    for name, value in lines.items():
        if value:
            print(visible(f"{name:16} {value}"))
    # Of what is the person's to mend all is said above.
    if job["status"] in ("failed", "dead") and job["last_words"] and job["cause"] not in MENDABLE:
        print("its last words, of stderr.log:")
        print(visible("\n".join(f"  {line}" for line in job["last_words"])))


def _moment(at: float | None) -> str:
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}, {ago(at)}" if at else ""
