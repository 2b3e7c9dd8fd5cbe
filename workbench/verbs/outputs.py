"""`workbench outputs`: what several systems answered, row by row: found, sorted, compared."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, say, table
from workbench.workspace import Workspace

_SHOWN = 20
_PROMPT = 40
"""Characters of a prompt in a table."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "outputs",
        help="what runs answered to held-out rows: find, sort and compare it",
        run=_outputs,
        show=_show,
    )
    parser.add_argument(
        "references",
        nargs="*",
        default=[finding.LATEST],
        metavar="WHAT",
        help="runs (their newest evaluations), evaluations' folders, .jsonl files; "
        "default: the latest run",
    )
    parser.add_argument(
        "--where",
        default="",
        metavar="QUERY",
        help="such as 'rougeL<0.2 flag:loop task:qa disagree b.words>200 change<0 -rain'",
    )
    parser.add_argument(
        "--sort",
        default="",
        metavar="FIELD",
        help="row, task, words, response, change, spread, apart, flags, a metric, or b.METRIC; "
        "with a minus the largest first",
    )
    parser.add_argument(
        "--metric", default="", metavar="NAME", help="that is in view (default: the first)"
    )
    parser.add_argument(
        "--limit", type=int, default=None, metavar="N", help=f"rows (default: {_SHOWN}; --json all)"
    )
    parser.add_argument("--show", action="store_true", dest="whole", help="print the texts")


def _outputs(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.evaluation import outputs as reading
    from workbench.evaluation import row_scores
    from workbench.evaluation.output_query import Asker

    workspace = Workspace.find(args.workspace)
    sources = [reading.find_source(workspace, reference) for reference in args.references]
    found = reading.gather(workspace, sources)
    for source in found.unscored:
        say(f"Scoring the outputs of {source.label}, which is kept …")
        row_scores.make(workspace, source.outputs, source.run)
    if found.unscored:
        found = reading.gather(workspace, sources)
    asker = Asker(found, found.metric)
    if args.metric:
        asker = Asker(found, _metric(asker, args.metric))
    places = asker.find(args.where, args.sort)
    limit = args.limit if args.limit is not None else len(places) if args.json else _SHOWN
    return {
        "systems": dict(found.letters),
        "sources": {source.label: str(source.path) for source in found.sources},
        "metrics": list(found.metrics),
        "metric": asker.metric,
        "of": len(found.rows),
        "in_common": found.in_common(),
        "found": len(places),
        "mean": asker.means(places),
        "rows": [reading.to_json(found, found.rows[p], asker.metric) for p in places[:limit]],
        "whole": args.whole,
    }


def _metric(asker: Any, name: str) -> str:
    metric: str | None = asker.metric_of(name)
    if metric is None:
        raise WorkbenchError(
            f"These outputs have no metric {name}.",
            f"There are {', '.join(asker.outputs.metrics)}.",
        )
    return metric


def _show(result: dict[str, Any]) -> None:
    from workbench.evaluation.telling_outputs import flags, key, legend, number

    metric, systems = result["metric"], result["systems"]
    print(visible(legend(systems, metric, result["mean"]), one_line=True))
    count = f"{result['found']:,} of {result['of']:,} rows"
    if result["in_common"] < result["of"]:
        count += f", {result['in_common']:,} of them answered by all"
    print(count)
    if result["whole"]:
        for row in result["rows"]:
            _show_whole(row, systems, metric)
        return
    between = "change" if len(systems) == 2 else "spread"
    headers = ["row", "task", *systems, between, *(f"{a} words" for a in systems), "flags"]
    rows = []
    for row in result["rows"]:
        of = [row["systems"].get(name) for name in systems.values()]
        rows.append(
            [
                row["row"],
                row["task"],
                *(number(said and said["scores"].get(metric)) for said in of),
                number(row[between], signed=between == "change"),
                *("–" if said is None else said["words"] for said in of),
                flags(said and said["marks"] for said in of),
                visible(row["prompt"][:_PROMPT], one_line=True),
            ]
        )
    if rows:
        print(table([*headers, "prompt"], rows))
    marks = {m for row in result["rows"] for said in row["systems"].values() for m in said["marks"]}
    if told := key(marks):
        print(f"flags, by system: {told}")
    if (more := result["found"] - len(rows)) > 0:
        print(f"and {more:,} more: --limit")


def _show_whole(row: dict[str, Any], systems: dict[str, str], metric: str) -> None:
    print()
    print(visible(f"=== row {row['row']}, {row['key']} {row['task']}", one_line=True))
    print(visible(row["prompt"]))
    for reference in row["references"]:
        print(visible(f"--- reference\n{reference}"))
    for letter, name in systems.items():
        if (said := row["systems"].get(name)) is None:
            continue
        score = said["scores"].get(metric)
        told = [f"{letter} {name}", f"{said['words']} words"]
        told += [f"{metric} {score:.4f}"] if score is not None else []
        print(visible("--- " + "  ".join([*told, *said["marks"]]), one_line=True))
        print(visible(said["output"]))
