"""`workbench runs report`: one run, or a comparison, as Markdown and as HTML with charts."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to `workbench runs`."""
    parser = leaf(
        verbs,
        "report",
        help="what a run is, on what, how well, with what doubt; of several what differs",
        run=_report,
        show=_show,
    )
    parser.add_argument(
        "references",
        nargs="*",
        default=[finding.LATEST],
        metavar="RUN",
        help="one (default: the latest), or several, which are held against the first",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with charts, one file that needs no network"
    )
    parser.add_argument("--markdown", metavar="FILE", help="write Markdown instead of printing it")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="write both into the run's folder; of several runs into reports/RUN_RUN",
    )


def _report(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.files import user_path, write_text
    from workbench.reporting import report

    workspace = Workspace.find(args.workspace)
    folders = [finding.find(workspace, reference) for reference in args.references]
    made = report.of(workspace, folders)
    text = made.markdown
    files = {"html": args.html, "markdown": args.markdown}
    if args.keep:
        folder = report.place(workspace, folders)
        files["html"] = files["html"] or str(folder / report.PAGE)
        files["markdown"] = files["markdown"] or str(folder / report.REPORT)
    paths = {kind: user_path(file) for kind, file in files.items() if file}
    for kind, path in paths.items():
        write_text(path, made.html if kind == "html" else text)
    return {
        "runs": made.runs,
        "missing": made.missing,
        "text": text,
        "paths": {kind: str(path) for kind, path in paths.items()},
    }


def _show(result: dict[str, Any]) -> None:
    if not result["paths"]:
        print(visible(result["text"]), end="")
    for path in result["paths"].values():
        print(visible(f"Written to {path}.", one_line=True))
