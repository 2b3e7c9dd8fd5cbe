"""`workbench export push`: publish an exported folder on a hub, after asking."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.export import push
from workbench.files import user_path
from workbench.jobs import tasks
from workbench.text import size, visible
from workbench.verbs.common import leaf, say
from workbench.verbs.following import add_detach, do_job
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench export`."""
    parser = leaf(
        verbs,
        "push",
        help="publish an exported folder on a hub; shows what would go, and asks first",
        run=_push,
        show=_show,
    )
    parser.add_argument("folder", metavar="DIR", help="what `workbench export` has made")
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument(
        "--public", action="store_true", help="a new repository is seen by everybody (else private)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would go; ask no hub, send nothing"
    )
    parser.add_argument("--yes", action="store_true", help="send it without asking")
    add_detach(parser)


def _push(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    upload = push.plan(user_path(args.folder).absolute(), args.repository, private=not args.public)
    shown = upload.to_json()
    if args.dry_run:
        return {**shown, "sent": False}
    asks = not args.yes
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise WorkbenchError(
            "Nothing was published: it asks first, and there is no terminal to ask in.",
            "--dry-run shows what would go, --yes sends it without asking.",
        )
    on_hub = push.ask_hub(upload.repository)
    for line in _lines(shown):
        say(line)
    say(_where(upload, on_hub))
    if asks and not _agreed(upload.repository):
        raise WorkbenchError("Nothing was published.")

    def result(folder: Path) -> dict[str, Any]:
        return {**shown, "sent": True, "url": tasks.result(folder)}

    return do_job(args, lambda: push.start(workspace, upload), result)


def _agreed(repository: str) -> bool:
    say("Type the repository's name to publish it, anything else to leave it:")
    return sys.stdin.readline().strip() == repository


def _where(upload: push.Upload, on_hub: push.OnHub) -> str:
    if on_hub.exists:
        seen = "private" if on_hub.private else "PUBLIC"
        what = f"adds to the {seen} repository {upload.repository}, which is there already"
    else:
        what = f"makes the {'private' if upload.private else 'PUBLIC'} repository "
        what += upload.repository
    return f"As {on_hub.account} on {upload.endpoint} it {what}."


def _lines(upload: dict[str, Any]) -> list[str]:
    files = [f"  {file['name']:40} {_size(file['bytes']):>10}" for file in upload["files"]]
    left_out = upload["left_out"]
    return [
        f"{len(files)} files of {upload['folder']}, {_size(upload['bytes'])}:",
        *files,
        *([f"left out: {', '.join(left_out)}"] if left_out else []),
    ]


def _size(amount: int) -> str:
    return size(amount) if amount >= 1 << 20 else f"{amount / 1024:.1f} KiB"


def _show(result: dict[str, Any]) -> None:
    if result.get("detached"):
        print(f"started {result['job']}; `workbench jobs show {result['job']}` shows it")
        return
    if result["sent"]:
        print(visible(f"published: {result['url']}"))
        return
    for line in _lines(result):
        print(visible(line))
    seen = "private" if result["private"] else "PUBLIC"
    print(f"would go to {result['repository']} on {result['endpoint']}, {seen} where it is new;")
    print("nothing was sent")
