"""The `workbench` command: thin verbs over the engine.

Exit codes: 0 done, 1 a fault of workbench's own, a job that failed or a red verdict, 2 something a
person can mend, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.verbs.common import OpenApp, add_app_options, add_workspace, open_app, say
from workbench.workspace import Workspace

_DESCRIPTION = "Fine-tune language models from a terminal. Without a verb it opens the app."
_MODULES = {
    "demo": "demo",
    "data": "data",
    "config": "config",
    "model": "model",
    "train": "train",
    "attach": "train",
    "queue": "queue",
    "sweep": "sweep",
    "lr-find": "lr_find",
    "stop": "commands",
    "pause": "commands",
    "resume": "commands",
    "save": "commands",
    "evaluate-now": "commands",
    "restart": "commands",
    "log-every": "commands",
    "stacks": "commands",
    "status": "status",
    "alarms": "alarms",
    "curves": "curves",
    "jobs": "jobs",
    "runs": "runs",
    "eval": "evaluate",
    "score": "score",
    "outputs": "outputs",
    "harness": "harness",
    "review": "review",
    "chat": "chat",
    "adapters": "adapters",
    "export": "export",
    "gpus": "gpus",
    "doctor": "doctor",
}
"""Where each verb is, in the order of the help."""
_MANY = 200
"""Things of a list that --json prints over several lines each, at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names and texts that the terminal's encoding can't hold are shown escaped.
            stream.reconfigure(errors="backslashreplace")
    try:
        # Reading the arguments imports a verb, which takes long enough to be interrupted.
        return _answered(_parse(arguments))
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130


def _answered(args: argparse.Namespace) -> int:
    """The exit code of a verb; whatever goes wrong is told in a sentence."""
    try:
        return _run(args)
    except WorkbenchError as error:
        _complain(args, error)
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output left (`| head`); nothing more can be said to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        _complain(args, explain_os_error(error, "go on"))
        return 2
    except Exception as error:
        from workbench import faults

        say(f"workbench: {faults.tell(error)}")
        return 1


def _run(args: argparse.Namespace) -> int:
    result = args.run(args)
    if isinstance(result, OpenApp):
        _open_app(result)
    if args.json:
        _print_json(result)
    else:
        args.show(result)
    status: int = args.status_of(result) if "status_of" in args else 0
    return status


def _print_json(value: object) -> None:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    if isinstance(value, list) and len(value) > _MANY:
        # A line each: indented, thousands take half a second.
        print("[\n" + ",\n".join(json.dumps(v, ensure_ascii=not unicode) for v in value) + "\n]")
        return
    print(json.dumps(value, indent=2, ensure_ascii=not unicode))


def _complain(args: argparse.Namespace, error: WorkbenchError) -> None:
    if getattr(args, "json", False):
        _print_json({"error": error.message, "hint": error.hint})
    say(f"workbench: {error.message}")
    if error.hint:
        say(error.hint)


def _open_app(request: OpenApp) -> NoReturn:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise WorkbenchError(
            "The app needs a terminal.", "Every verb works without one: workbench --help."
        )
    from screens.app import run_app

    run_app(
        request.workspace,
        mode=request.mode,
        run_id=request.run_id,
        dataset=request.dataset,
        session=request.session,
        annotator=request.annotator,
        mouse=request.mouse,
        symbols=request.symbols,
        compact=request.compact,
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    # The app comes without the verbs' modules, and a verb with its own alone: all of them take
    # 300 ms to import.
    arguments = _with_minus(sys.argv[1:] if arguments is None else arguments)
    args, more = _parser(add_help=False).parse_known_args(arguments)
    if not more:
        return args
    module = _MODULES.get(more[0])
    return (_parser_of(module) if module else _parser_of_verbs()).parse_args(arguments)


def _with_minus(arguments: Sequence[str]) -> list[str]:
    """`--sort -tokens` as one argument: the parser takes what begins with a minus for an option."""
    found: list[str] = []
    for argument in arguments:
        one = found and found[-1] in ("--sort", "--where") and argument[:1] == "-"
        if one and not argument.startswith("--"):
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def _parser(*, add_help: bool = True) -> argparse.ArgumentParser:
    """What can be said without a verb."""
    parser = argparse.ArgumentParser(
        prog="workbench", description=_DESCRIPTION, add_help=add_help, allow_abbrev=False
    )
    add_workspace(parser)
    add_app_options(parser)
    parser.add_argument("--dataset", metavar="REF", help="dataset version or JSONL file to browse")
    parser.set_defaults(
        run=_app,
        show=None,
        json=False,
        workspace=None,
        no_mouse=False,
        ascii=False,
        symbols=None,
    )
    return parser


def _parser_of_verbs() -> argparse.ArgumentParser:
    return _parser_of(*dict.fromkeys(_MODULES.values()))


def _parser_of(*modules: str) -> argparse.ArgumentParser:
    """The verbs of these modules, in their order."""
    parser = _parser()
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    verbs = parser.add_subparsers(metavar="VERB")
    for name in modules:
        import_module(f"workbench.verbs.{name}").add_parser(verbs)
    return parser


def _app(args: argparse.Namespace) -> OpenApp:
    if args.dataset is not None:
        from workbench.data import browse, rows

        # Before the app opens: what can't be browsed is said on the command line.
        rows.open_rows(browse.locate(Workspace.find(args.workspace), args.dataset)).close()
    return open_app(args, "datasets", dataset=args.dataset)


if __name__ == "__main__":
    sys.exit(main())
