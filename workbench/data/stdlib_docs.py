"""The embedded default dataset: what the documentation strings of Python's library say.

Read from the source files of the Python that runs workbench, without importing them, so
nothing is downloaded and the rows are the same for a Python version.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data import split, versions
from workbench.data.example import Example, Message
from workbench.data.versions import Removed, Step, Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

NAME = "python-stdlib"
_SHARE = 0.1
_LONGEST = 300
"""Characters of a response: a sentence or two, which a small model can learn."""
_SHORTEST = 20
_LEFT_OUT = {
    *("antigravity", "this", "test", "idlelib", "lib2to3", "turtledemo", "__main__"),
    "encodings",
}
"""Jokes, tests, programs that are no library, and a hundred codecs of one sentence."""
_SAYS_NOTHING = re.compile(
    r"^(see |todo|deprecated|same as |like |alias|undocumented|internal|override)", re.IGNORECASE
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class _Documented:
    """An object of the library with its documentation string."""

    module: str
    name: str
    """`json.JSONEncoder.encode`."""
    group: str
    """The module's object that it belongs to, itself or a class: `json.JSONEncoder`."""
    node: ast.Module | ast.ClassDef | Function
    summary: str


def build(workspace: Workspace) -> Version:
    """Make the dataset in the workspace and return it.

    Raises WorkbenchError where Python came without its library's source.
    """
    found = list(pairs())
    if not found:
        raise WorkbenchError(
            f"Python's library in {_library()} has no source files to read.",
            "Use a Python that has them.",
        )
    kept, removed = _clean(found)
    # Methods and functions of a module often say almost the same: they stay on one side.
    divided = split.assign(kept, _SHARE, key=lambda e: str(e.extra["module"]))
    steps = [
        Step("read", len(found), len(found), {"longest": _LONGEST, "shortest": _SHORTEST}),
        Step("said twice", len(found), len(kept), {}),
        Step("split", len(kept), len(kept), {"share": _SHARE, "seed": 0, "by": "module"}),
    ]
    source = {"python": platform.python_version(), "what": "documentation strings"}
    workspace.ensure()
    return versions.create(workspace, NAME, divided, sources=[source], steps=steps, removed=removed)


def pairs() -> Iterator[Example]:
    """Every pair, before cleaning: what an object does, its signature, what a module is for."""
    for path, module in _modules():
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            # A file that this Python can't read documents nothing that it has.
            continue
        for found in _documented(tree, module):
            yield from _examples(found)


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _modules() -> Iterator[tuple[Path, str]]:
    """Source files of public modules with their names, in the order of the names."""
    library = _library()
    for top in sorted(sys.stdlib_module_names - _LEFT_OUT):
        if top.startswith("_"):
            continue
        files = [library / f"{top}.py", *sorted((library / top).rglob("*.py"))]
        for path in files:
            parts = path.relative_to(library).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            public = not any(p.startswith("_") or p in ("tests", "test") for p in parts)
            if path.is_file() and public:
                yield path, ".".join(parts)


def _documented(tree: ast.Module, module: str) -> Iterator[_Documented]:
    if summary := _summary(tree):
        yield _Documented(module, module, module, tree, summary)
    yield from _members(tree, module, module, group="")


def _members(
    parent: ast.Module | ast.ClassDef, module: str, prefix: str, group: str
) -> Iterator[_Documented]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        own_group = group or name
        if summary := _summary(node):
            yield _Documented(module, name, own_group, node, summary)
        if isinstance(node, ast.ClassDef):
            yield from _members(node, module, name, own_group)


def _summary(node: ast.Module | ast.ClassDef | Function) -> str:
    """The first paragraph of a documentation string, or its first sentences if it is long."""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
    paragraph = " ".join(text.partition("\n\n")[0].split())
    while len(paragraph) > _LONGEST:
        shorter, stop, _ = paragraph.rpartition(". ")
        if not stop:
            return ""
        paragraph = f"{shorter}."
    usable = (
        len(paragraph) >= _SHORTEST
        and paragraph[0].isalpha()
        and paragraph.endswith((".", "!"))
        and " " in paragraph
        and not _SAYS_NOTHING.match(paragraph)
    )
    return paragraph if usable else ""


def _examples(found: _Documented) -> Iterator[Example]:
    name = f"`{found.name}`"
    if isinstance(found.node, ast.Module):
        yield _example(found, "module", f"What is the Python module {name} for?", found.summary)
        return
    kind = "class" if isinstance(found.node, ast.ClassDef) else "function"
    question = f"What does the Python {kind} {name} do?"
    yield _example(found, "describe", question, found.summary)
    if isinstance(found.node, Function) and (signature := _signature(found.node)):
        question = f"What is the signature of the Python function {name}?"
        yield _example(found, "signature", question, f"`{found.name}{signature}`")


def _signature(node: Function) -> str:
    """The parameters as one calls them; empty when there are none to speak of."""
    arguments = ast.unparse(node.args)
    first, _, rest = arguments.partition(",")
    if first.strip() in ("self", "cls"):
        arguments = rest.strip()
    short = len(arguments) + len(node.name) < _LONGEST
    return f"({arguments})" if arguments and short else ""


def _example(found: _Documented, task: str, question: str, response: str) -> Example:
    return Example(
        messages=(Message("user", question), Message("assistant", response)),
        task=task,
        source=found.name,
        extra={"object": found.name, "group": found.group, "module": found.module},
    )


def _clean(found: Sequence[Example]) -> tuple[list[Example], list[Removed]]:
    """Keep the first of rows that ask or answer the same: they would sit in both splits."""
    seen: dict[str, str] = {}
    kept: list[Example] = []
    removed: list[Removed] = []
    for example in found:
        keys = [_digest(text) for text in (example.instruction, example.response)]
        earlier = next((seen[key] for key in keys if key in seen), None)
        if earlier is None:
            seen.update(dict.fromkeys(keys, example.source))
            kept.append(example)
        else:
            reason = f"it says what {earlier} says"
            removed.append(Removed("said twice", example.source, reason, example.to_json()))
    return kept, removed


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()
