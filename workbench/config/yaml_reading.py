"""YAML as a config means it: what YAML 1.1 and 1.2 both read, and no surprises of 1.1's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
import yaml.reader

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

MOST = 4 << 20
"""Bytes of a file that is read at all; configs have a few thousand."""

EXPONENT = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+")
"""Numbers such as 2e-4, which YAML 1.1 takes for text."""
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)")
_POINT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TAG = "tag:yaml.org,2002:"
_PLAINER = {
    r"'\t'": "Indent with spaces; YAML takes no tabs.",
    "mapping values are not allowed here": "A text with a colon and a space in it needs quotes.",
    "but found '<block mapping start>'": "Its indentation is that of nothing above it.",
    "that cannot start any token": "A text that begins with such a sign needs quotes.",
    "found undefined alias": "A text that begins with * needs quotes.",
    "expected a single document": "Keep one of them: --- begins another.",
    "while scanning a quoted scalar": "The quote that opens there is never closed.",
    "expected ',' or '": "The bracket that opens there is not closed, or lacks a comma.",
    "constructor for the tag": "A text that begins with ! needs quotes.",
}
"""What to do about an error, by a piece of the parser's own words."""


def file_text(path: Path) -> str:
    """What stands in a config's file. Raises WorkbenchError for a file that can't be read, or that
    is no text."""
    try:
        if path.is_dir():
            raise WorkbenchError(f"{path} can't be read: it is a folder.", "Name the config in it.")
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    if len(data) > MOST:
        raise WorkbenchError(f"{path} has more than {MOST >> 20} MiB: it is no config.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise WorkbenchError(f"{path} is UTF-16, not UTF-8 text.", "Save it as UTF-8.")
    if b"\0" in data:
        raise WorkbenchError(f"{path} is a binary file, not a config.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WorkbenchError(
            f"{path}, line {line}: it is not UTF-8 text.", "Save it as UTF-8."
        ) from error


class _Loader(yaml.SafeLoader):
    """Reads 2e-4 as a number, 017 as seventeen, 10:30 and 2024-10-01 as text, keys as written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    sign: [(tag, found) for tag, found in known if tag[len(_TAG) :] in ("bool", "null", "merge")]
    for sign, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_TAG}int", re.compile(rf"(?:{_WHOLE.pattern})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(rf"(?:{_POINT.pattern}|{EXPONENT.pattern})$"),
    list("-+0123456789."),
)


def value(text: str) -> Any:
    """The plain value of a YAML text. Raises yaml.YAMLError or ValueError when it is none."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)


def read(text: str, *, origin: str) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """The plain values of a config's YAML text, and the paths of what it names, with their lines.

    A path is that of a key, or of a list's item by its number. Raises WorkbenchError when it is
    no YAML, or no mapping.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        # Before the values are made: that changes the nodes.
        named = list(_named(node))
        body = loader.construct_document(node) if node else {}
    except yaml.MarkedYAMLError as error:
        raise _slip(error, origin) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        sign = repr(text[error.position])[1:-1]
        raise WorkbenchError(
            f"{origin}, line {line}: it is not valid YAML: the character {sign} can't stand in it.",
            f'Delete it; in a text in double quotes it is written "{sign}".',
        ) from error
    except RecursionError as error:
        raise WorkbenchError(f"{origin} is not valid YAML: it is nested too deeply.") from error
    except (yaml.YAMLError, ValueError) as error:
        where = " ".join(str(error).split())
        if "integer string conversion" in where:
            where = "a number in it has thousands of digits"
        raise WorkbenchError(f"{origin} is not valid YAML: {where}.") from error
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise WorkbenchError(
            f"{origin} holds no config: its top level must be `field: value` pairs."
        )
    return body, named


def _slip(error: yaml.MarkedYAMLError, origin: str) -> WorkbenchError:
    """What the parser says, with the line to look at: of what is never closed, where it opens,
    since the parser sees it only at the end."""
    reason = " ".join(part for part in (error.context, error.problem) if part)
    advice = next((text for piece, text in _PLAINER.items() if piece in reason), "")
    unclosed = " opens there " in advice
    mark = error.context_mark if unclosed else error.problem_mark
    line = f", line {mark.line + 1}" if mark else ""
    return WorkbenchError(f"{origin}{line}: it is not valid YAML: {reason}.", advice)


def _named(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """What a YAML text names, as deep as a config goes."""
    if prefix.count(".") > 3:
        return
    if isinstance(node, yaml.SequenceNode) and prefix:
        for number, item in enumerate(node.value):
            yield f"{prefix}{number}", item.start_mark.line + 1
            yield from _named(item, f"{prefix}{number}.")
    if not isinstance(node, yaml.MappingNode):
        return
    own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for key, inner in node.value:
        if key.tag == f"{_TAG}merge":
            yield from _merged(inner, own, prefix)
            continue
        path = f"{prefix}{key.value}"
        yield path, key.start_mark.line + 1
        yield from _named(inner, f"{path}.")


def _merged(node: yaml.Node, own: set[str], prefix: str) -> Iterator[tuple[str, int]]:
    """What `<<` brings into a mapping, by the lines where it stands."""
    for mapping in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        for key, _ in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value not in own:
                own.add(key.value)
                yield f"{prefix}{key.value}", key.start_mark.line + 1
