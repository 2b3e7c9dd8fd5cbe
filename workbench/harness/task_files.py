"""Task files of lm-evaluation-harness from strangers: what in them would run code.

`!function` in a task file names a Python function, which lm_eval imports as it reads the file. So
the text is looked at before lm_eval sees it. What lm_eval brings itself is not: it was installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import yaml

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

ENDING = ".yaml"
_FUNCTION = "!function"
_TAGS = {_FUNCTION, *yaml.SafeLoader.yaml_constructors}
_ALLOW = "If you trust it: --allow-task-code."


def of(path: Path) -> list[Path]:
    """The task files that a path names: itself, or all in that folder and below."""
    if path.is_file():
        return [path]
    return sorted(path.rglob(f"*{ENDING}")) if path.is_dir() else []


def check(path: Path, *, allow_code: bool = False) -> None:
    """Look at a task file and all that it includes.

    Raises WorkbenchError that names file and line for one that can't be read as YAML, and, unless
    `allow_code`, for the first thing in it that would run code.
    """
    _check(path.absolute(), allow_code, set())


def is_group(path: Path) -> bool:
    """Whether a file that was checked is of a group of tasks."""
    tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return isinstance(tree, yaml.MappingNode) and any(k.value == "group" for k, _ in tree.value)


def _check(path: Path, allow_code: bool, seen: set[Path]) -> None:
    path = path.resolve()
    if path in seen or _is_lm_evals(path):
        return
    seen.add(path)
    try:
        tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise WorkbenchError(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, what = (mark.line + 1 if mark else 1), getattr(error, "problem", None) or error
        raise WorkbenchError(f"{path}:{line} is not valid YAML: {what}.") from error
    for node in _nodes(tree):
        where = f"{path}:{node.start_mark.line + 1}"
        if node.tag == _FUNCTION and not allow_code:
            raise WorkbenchError(
                f"{where}: {_FUNCTION} {node.value} would run Python code of this folder.", _ALLOW
            )
        if node.tag not in _TAGS:
            raise WorkbenchError(f"{where}: lm_eval knows no {node.tag}.")
    for included in _includes(tree):
        _check(path.parent / included, allow_code, seen)


def _is_lm_evals(path: Path) -> bool:
    found = find_spec("lm_eval")
    places = (found and found.submodule_search_locations) or ()
    return any(path.is_relative_to(Path(place).resolve()) for place in places)


def _nodes(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every node of a document; each once, since aliases may stand for one another."""
    found, left = set(), [node] if node else []
    while left:
        one = left.pop()
        if id(one) in found:
            continue
        found.add(id(one))
        yield one
        if isinstance(one, yaml.MappingNode):
            left += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            left += one.value


def _includes(tree: yaml.Node | None) -> Iterator[str]:
    """What stands at `include`, anywhere: a file or several."""
    for node in _nodes(tree):
        for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if name.value == "include":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                yield from (part.value for part in parts if isinstance(part, yaml.ScalarNode))
