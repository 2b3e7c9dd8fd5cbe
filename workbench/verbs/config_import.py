"""`workbench config import`: take over the config of another trainer."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config import foreign, loading
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, user_path
from workbench.text import visible
from workbench.verbs.common import leaf, width
from workbench.workspace import Workspace, check_name

if TYPE_CHECKING:
    from workbench.config.foreign.taking import DatasetHere, Surroundings
    from workbench.data.lengths import Lengths

_TITLES = {
    "taken": "Taken over",
    "defaults": "By {title}'s default, since the file doesn't say",
    "differently": "Had here in another way",
    "no_counterpart": "No counterpart here",
    "problems": "To decide",
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench config`."""
    parser = leaf(
        verbs,
        "import",
        help="take over the config of Axolotl, LLaMA-Factory or TRL",
        run=_run,
        show=_show,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="their YAML, TRL's arguments as JSON, an adapter_config.json, or a script with the "
        "command line (read, never run)",
    )
    parser.add_argument(
        "--from", dest="trainer", choices=foreign.NAMES, help="whose it is (default: by its keys)"
    )
    parser.add_argument("--name", help="of the config (default: the file's)")
    parser.add_argument(
        "--gpus",
        type=int,
        default=1,
        metavar="N",
        help="GPUs to train on: theirs count rows on each, ours over all (default: 1)",
    )
    parser.add_argument("--force", action="store_true", help="replace one that is there")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.config.foreign import importing

    workspace = Workspace.find(args.workspace)
    source = user_path(args.file)
    name = check_name(args.name or _name_of(source), "config")
    path = workspace.configs / f"{name}.yaml"
    if not 1 <= args.gpus <= 64:
        raise WorkbenchError("--gpus is from 1 to 64.")
    if path.exists() and not args.force:
        raise WorkbenchError(
            f"There is a config {path} already.",
            "--force replaces it; --name chooses another name.",
        )
    imported = importing.read(
        source, _around(workspace), trainer=args.trainer, name=name, gpus=args.gpus
    )
    workspace.ensure()
    loading.save(imported.config, path)
    return {
        "path": str(path),
        "source": str(source),
        "from": imported.trainer,
        "title": imported.title,
        "version": imported.version,
        "config": imported.config.model_dump(),
        **imported.report.to_json(),
        "commands": list(imported.commands),
    }


def _name_of(path: Path) -> str:
    """A config's name for a file's: `qlora-fsdp-70b` of `Qlora FSDP (70b).yml`."""
    stem = path.parent.name if path.name == "adapter_config.json" else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "imported"


def _around(workspace: Workspace) -> Surroundings:
    from workbench.config.foreign.taking import Surroundings

    return Surroundings(
        dataset=lambda name: _dataset(workspace, name),
        family=lambda base: _family(workspace, base),
        lengths=lambda reference, base: _lengths(workspace, reference, base),
    )


def _dataset(workspace: Workspace, name: str) -> DatasetHere | None:
    from workbench.config.foreign.taking import DatasetHere
    from workbench.data import versions

    try:
        version = versions.resolve(workspace, name)
    except WorkbenchError:
        return None
    return DatasetHere(version.reference, version.splits.get("train", 0))


def _family(workspace: Workspace, base: str) -> str:
    from workbench import base_models

    try:
        body = read_json_object(base_models.resolve(workspace, base) / "config.json")
    except WorkbenchError:
        return ""
    return str(body.get("model_type", ""))


def _lengths(workspace: Workspace, reference: str, base: str) -> Lengths | None:
    from workbench.data import versions
    from workbench.planning import known

    config = RunConfig.model_validate({"data": {"dataset": reference}, "model": {"base": base}})
    try:
        return known.train_lengths(workspace, config, versions.resolve(workspace, reference))
    except WorkbenchError:
        return None


def _show(result: dict[str, Any]) -> None:
    print(f"Read as a config of {result['title']} (by version {result['version']}).")
    for name, title in _TITLES.items():
        if result[name]:
            print(f"\n{title.format(title=result['title'])}:")
            for text, entries in _told_together(result[name]):
                for entry in entries:
                    print(_entry(entry))
                if text:
                    print(_wrapped(text, " " * 9, " " * 9))
    if idle := result["nothing_to_do"]:
        print("\nNothing to take over (empty, off, or as here anyway):")
        told = ", ".join(f"{_key(entry)}{_reason(entry)}" for entry in idle)
        print(_wrapped(told, "  ", "  "))
    print(f"\nWritten to {result['path']}. Next:")
    for command in result["commands"]:
        print(f"  {visible(command)}")


def _told_together(entries: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Entries that the same is to be said of, at the place of the first; those without a key
    are of the whole file."""
    texts = dict.fromkeys(entry["text"] or number for number, entry in enumerate(entries))
    for text in texts:
        same = [e for n, e in enumerate(entries) if (e["text"] or n) == text and e["key"]]
        yield text if isinstance(text, str) else "", same


def _entry(entry: dict[str, Any]) -> str:
    """`12  lora_r: 16 → lora.rank = 16`."""
    from workbench.config.foreign.taking import shown

    line = entry["line"]
    number = f"{line:>5}  " if line else " " * 7
    sets = ", ".join(f"{path} = {shown(value, 50)}" for path, value in entry["sets"].items())
    head = f"{_key(entry, line=False)}: {shown(entry['value'], 50)}"
    return _wrapped(head + (f" → {sets}" if sets else ""), number, " " * 9)


def _key(entry: dict[str, Any], *, line: bool = True) -> str:
    where = f"{entry['file']} " if entry["file"] else ""
    number = f" ({entry['line']})" if line and entry["line"] else ""
    return f"{where}{entry['key']}{number}"


def _reason(entry: dict[str, Any]) -> str:
    return f": {entry['text']}" if entry["text"] not in ("", "empty") else ""


def _wrapped(text: str, first: str, other: str) -> str:
    return "\n".join(
        textwrap.wrap(
            visible(text, one_line=True),
            width(),
            initial_indent=first,
            subsequent_indent=other,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
