"""`workbench config advise`: what an expert would say of a config, and its fixes."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config import loading, saving
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.verbs.common import add_settings, leaf, width
from workbench.verbs.naming import add_config
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.config.advice import Advice
    from workbench.config.circumstances import Circumstances

ALL = "all"


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench config`."""
    parser = leaf(
        verbs,
        "advise",
        help="what an expert would say of a config before it runs, with sources and fixes",
        run=_advise,
        show=_show,
    )
    add_config(parser, required=False)
    add_settings(parser)
    parser.add_argument(
        "--fix",
        metavar="NAME",
        help="what is left to say with the settings of this advice, or of `all`",
    )
    parser.add_argument("--write", action="store_true", help="of --fix: put them into the file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where there are errors")
    parser.add_argument(
        "--rules", action="store_true", help="print every rule there is, as Markdown"
    )
    parser.set_defaults(status_of=_status_of)


def _advise(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.config import advice
    from workbench.planning import known

    if args.rules:
        from workbench.config.advice import page

        return {"rules": [_rule(rule) for rule in advice.rules()], "text": page.text()}
    if args.config is None:
        raise WorkbenchError("Name the config to advise on.", "--rules lists every rule.")
    if args.write and not args.fix:
        raise WorkbenchError("--write is for --fix NAME, or --fix all.")
    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    config = loading.load(path, args.settings)
    facts = known.gather(workspace, config)
    result: dict[str, Any] = {"path": str(path), "strict": args.strict}
    if args.fix:
        config, followed = _fixed(config, facts, args.fix)
        # The last value that a field is given counts.
        by_field = {s.partition("=")[0]: s for one in followed for s in one.fix}
        settings = list(by_field.values())
        written = bool(args.write and settings)
        if written:
            saving.save_over(path, config)
        names = list(dict.fromkeys(one.name for one in followed))
        result |= {"followed": names, "settings": settings, "written": written}
        # What is asked of the base, or of the rows, may be another by now.
        facts = known.gather(workspace, config)
    return {
        **result,
        "advice": [asdict(found) for found in advice.advise(config, facts)],
        "unknown": list(facts.unknown),
        "command": command(args.config, args.settings),
    }


def _rule(rule: Any) -> dict[str, Any]:
    body = asdict(rule)
    del body["find"]
    return body


def _fixed(
    config: RunConfig, facts: Circumstances, name: str
) -> tuple[RunConfig, Sequence[Advice]]:
    """The config with the fixes of `name`, and the advice that was followed."""
    from workbench.config import advice

    if name == ALL:
        return advice.all_fixed(config, facts)
    found = advice.advise(config, facts)
    for one in found:
        if one.name == name:
            return advice.fixed(config, one), [one]
    names = ", ".join(one.name for one in found if one.fix)
    raise WorkbenchError(
        f"There is no advice {name} on this config.",
        f"Fixes there are of {names}." if names else "There is no advice with a fix.",
    )


def _status_of(result: dict[str, Any]) -> int:
    errors = any(found["severity"] == "error" for found in result.get("advice", ()))
    return int(result.get("strict", False) and errors)


def _show(result: dict[str, Any]) -> None:
    if "rules" in result:
        print(result["text"], end="")
        return
    if "settings" in result:
        _show_fix(result)
    for found in result["advice"]:
        print(visible(told(found)))
        print()
    for line in result["unknown"]:
        print(visible(f"Not known: {line}"))
    print(visible(f"{result['path']}: {counted(result['advice']) or 'nothing to say'}."))
    if any(found["fix"] for found in result["advice"]) and "settings" not in result:
        print(visible(f"{result['command']} --fix NAME --write puts a fix into the file."))


def _show_fix(result: dict[str, Any]) -> None:
    settings = result["settings"]
    if not settings:
        print("There is no advice with a fix.\n")
        return
    where = f"Written to {result['path']}" if result["written"] else "The settings"
    print(visible(f"{where}, of {', '.join(result['followed'])}:"))
    print(visible(f"    {as_options(settings)}"))
    print("\nWith them:\n" if result["advice"] else "")


def told(found: dict[str, Any]) -> str:
    """A piece of advice as a few lines."""

    def under(text: str) -> str:
        return textwrap.fill(
            text, width(), initial_indent="    ", subsequent_indent="    ", break_long_words=False
        )

    lines = [f"{found['severity']}: {found['name']} ({found['path']})", under(found["text"])]
    lines.append(under(f"Source: {found['source']}."))
    if found["fix"]:
        lines.append(f"    Fix: {as_options(found['fix'])}")
    if found["do"]:
        lines.append(under(f"To do: {found['do']}"))
    return "\n".join(lines)


def as_options(settings: Sequence[str]) -> str:
    """Settings as they are typed."""
    return " ".join(f"--set {shlex.quote(setting)}" for setting in settings)


def counted(found: Sequence[dict[str, Any]]) -> str:
    """`1 error, 2 warnings`; empty where there is nothing to say."""
    # Here: the rules are not imported by a verb that only names this module.
    from workbench.config import advice

    return advice.counted(each["severity"] for each in found)


def command(reference: str | Path, settings: Sequence[str] = ()) -> str:
    """The command that shows the advice on a config."""
    parts = ["workbench", "config", "advise", str(reference)]
    return shlex.join([*parts, *(text for s in settings for text in ("--set", s))])


def standing(workspace: Workspace, config: RunConfig) -> list[dict[str, Any]]:
    """Errors and warnings on a config, for verbs that start or check one."""
    from workbench.config import advice
    from workbench.planning import known

    found = advice.advise(config, known.gather(workspace, config))
    return [asdict(one) for one in found if one.severity != "hint"]


def in_one_line(advice: Sequence[dict[str, Any]], shown_by: str) -> str:
    """How much there is to say, and how to see it; empty where that is nothing."""
    return f"Advice: {counted(advice)}; see {shown_by}" if advice else ""
