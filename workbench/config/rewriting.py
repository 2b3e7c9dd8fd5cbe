"""Changes the values of a config's YAML text and nothing else of it.

The new values are written into the text at the places of the old ones, so comments, order, blank
lines, indentation and quotes stay to the byte. A library that loads and dumps (ruamel.yaml keeps
the comments) sets indentation, spaces and lists anew: of 29 lines of a hand-made file it changed
9 where no value had changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from workbench.config import loading, yaml_reading
from workbench.config.fields import field_at, fields, value_at
from workbench.config.problems import ConfigError
from workbench.config.schema import RunConfig
from workbench.config.yaml_places import Place, Text
from workbench.errors import WorkbenchError

_PASSES = 20
"""More than any text needs: to free what others refer to, to replace, to add, for each of them."""


class _Edit(NamedTuple):
    """Put `new` in the place of what stands between two positions."""

    start: int
    end: int
    new: str


def rewrite(text: str, config: RunConfig) -> str:
    """The YAML text of a config with those values changed whose meaning is not `config`'s.

    A field that the text leaves out and `config` has at its default stays out; another is added
    in its section. A comment stays where it is, or goes above the field where it stood inside a
    value. What stands in a top-level key that is no field of a run (`sweep`) keeps its meaning.

    Raises WorkbenchError when the text is no YAML, ConfigError when something is wrong with it
    that other values don't mend.
    """
    plain = config.model_dump()
    for _ in range(_PASSES):
        body, named = yaml_reading.read(text, origin="The config")
        wanted = {path: _at(plain, path) for path in _differing(body, named, config)}
        if not wanted:
            return text
        text = _apply(text, _edits(Text(text), body, wanted))
    raise WorkbenchError(
        f"{', '.join(wanted)} can't be changed in the file as it is written.",
        "Change it in an editor.",
    )


def _differing(body: dict[str, Any], named: list[tuple[str, int]], config: RunConfig) -> list[str]:
    """Paths of the fields that the text says otherwise, or says what can't be."""
    body = {key: value for key, value in body.items() if key not in loading.BESIDE}
    paths = [path for path, _ in named]
    wrong: set[str] = set()
    while True:
        try:
            before = loading.parse(body, origin="The config", keys=named)
            break
        except ConfigError as error:
            mendable = {p.path for p in error.problems if paths.count(p.path) == 1}
            mendable &= {item.path for item in fields()} - wrong
            if mendable != {p.path for p in error.problems}:
                raise
            wrong |= mendable
            body = _without(body, mendable)
    return [
        item.path
        for item in fields()
        if value_at(before, item.path) != value_at(config, item.path) or item.path in wrong
    ]


def _at(plain: dict[str, Any], path: str) -> Any:
    section, _, name = path.rpartition(".")
    return plain[section][name] if section else plain[name]


def _without(body: dict[str, Any], paths: set[str]) -> dict[str, Any]:
    return {
        key: {name: item for name, item in value.items() if f"{key}.{name}" not in paths}
        if isinstance(value, dict)
        else value
        for key, value in body.items()
        if key not in paths
    }


def _apply(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda e: (e.start, e.end))[::-1]:
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def _edits(places: Text, body: dict[str, Any], wanted: dict[str, Any]) -> list[_Edit]:
    """What to do next: free what is shared, else replace what is there, else add what isn't."""
    there = {path: found for path in wanted if (found := _found(places, path))}
    missing = {path: value for path, value in wanted.items() if path not in there}
    if freed := _freed(places, body, [value for _, value in there.values()], missing):
        return freed
    if there:
        pairs = [(*found, wanted[path]) for path, found in there.items()]
        return [edit for pair in pairs for edit in _replaced(places, *pair)]
    return list(_added(places, body, missing))


def _found(places: Text, path: str) -> tuple[Place, Place] | None:
    """The key and the value of a field, where the text itself has them."""
    place = places.root
    entry = None
    for name in path.split("."):
        entry = place.entry(name) if place else None
        place = entry[1] if entry else None
    return entry


def _freed(
    places: Text, body: dict[str, Any], changing: list[Place], missing: Iterable[str]
) -> list[_Edit]:
    """Moves a value that others refer to out of what is to change, to the first of them."""
    own = [place.path for place in changing if place.kind != "alias"]
    growing = [tuple(path.split(".")[:-1]) for path in missing]
    named: dict[str, Place] = {}
    for place in places.root.everything if places.root else ():
        if place.kind != "alias":
            named[place.anchor] = place
            continue
        source = named[place.anchor]
        if any(_within(path, source.path) or _within(source.path, path) for path in own) or any(
            _within(path, source.path) for path in growing
        ):
            value: Any = body
            for step in source.path:
                value = value[step]
            anchor = f"&{place.anchor}"
            at = places.text.index(anchor, source.start)
            after = at + len(anchor)
            after += len(places.text[after:]) - len(places.text[after:].lstrip(" "))
            moved = f"{anchor} {loading.value_text(value)}"
            return [_Edit(at, after, ""), _Edit(place.start, place.end, moved)]
    return []


def _within(path: tuple[str | int, ...], outer: tuple[str | int, ...]) -> bool:
    return path[: len(outer)] == outer


def _replaced(places: Text, key: Place, value: Place, new: Any) -> Iterator[_Edit]:
    """Puts a new value in the place of the old one."""
    if value.kind == "sequence" and value.is_block and isinstance(new, list) and new:
        edits = _items(places, value, new)
        if edits is not None:
            yield from edits
            return
    if value.kind == "mapping" and isinstance(new, dict) and new:
        edits = _weights(places, value, new)
        if edits is not None:
            yield from edits
            return
    styles = {item.style for item in value.items} or {value.style}
    quote = next((style for style in styles if style in ("'", '"')), "")
    text = loading.value_text(new, quote)
    anchor = f"&{value.anchor} " if value.anchor and value.kind != "alias" else ""
    if kept := places.comments_in(value.start, value.end):
        at = places.line_start(key.start)
        indent = places.indent(key.start)
        yield _Edit(at, at, "".join(f"{indent}{comment}{places.newline}" for comment in kept))
    if value.is_block:
        colon = places.text.index(":", key.end) + 1
        yield _Edit(colon, colon, f" {anchor}{text}")
        start, end = len(places.text[: value.start].rstrip()), value.end
        if places.comments_in(end, places.line_end(end)) and places.comments_in(colon, start):
            # Its last comment would end in the one before.
            start, end = value.start, places.text.index("#", end)
        yield _Edit(start, end, "")
        return
    space = " " if places.text[value.start - 1] == ":" else ""
    yield _Edit(value.start, value.end, f"{space}{anchor}{text}")


def _items(places: Text, value: Place, new: list[Any]) -> list[_Edit] | None:
    """Changes a list by its lines, each with its comment; None where it isn't one name a line."""
    for item in value.items:
        line = places.text[places.line_start(item.start) : item.start].strip()
        plain = item.kind == "scalar" and not item.anchor and line == "-"
        if not plain or "\n" in places.text[item.start : item.end]:
            return None
    if not all(isinstance(text, str) for text in new):
        return None
    old = [item.value for item in value.items]
    quote = value.items[0].style if value.items[0].style in ("'", '"') else ""
    indent = places.indent(value.items[0].start)
    edits: list[_Edit] = []
    for _, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        pairs = min(b - a, d - c)
        for item, text in zip(value.items[a:b], new[c:d], strict=False):
            if item.value != text:
                edits.append(_Edit(item.start, item.end, loading.value_text(text, item.style)))
        edits += [_gone(places, item.start, item.end) for item in value.items[a + pairs : b]]
        lines = [f"{indent}- {loading.value_text(text, quote)}" for text in new[c + pairs : d]]
        if lines and a + pairs:
            at = places.line_end(value.items[a + pairs - 1].end)
            edits.append(_Edit(at, at, "".join(places.newline + line for line in lines)))
        elif lines:
            at = places.line_start(value.items[0].start)
            edits.append(_Edit(at, at, "".join(line + places.newline for line in lines)))
    return edits


def _weights(places: Text, value: Place, new: dict[str, Any]) -> list[_Edit] | None:
    """Changes a mapping by its values; None where one goes that has no line of its own."""
    edits: list[_Edit] = []
    for key, inner in value.entries:
        line = places.text[places.line_start(key.start) : key.start].strip()
        if key.kind != "scalar" or inner.kind != "scalar" or not inner.end > inner.start:
            return None
        if key.value in new:
            if yaml_reading.value(inner.value) != new[key.value]:
                edits.append(_Edit(inner.start, inner.end, loading.value_text(new[key.value])))
        elif line or not value.is_block:
            return None
        else:
            edits.append(_gone(places, key.start, inner.end))
    more = {name: item for name, item in new.items() if not value.entry(name)}
    if len(more) == len(new):
        return None
    if more:
        add = _add_lines if value.is_block else _add_in_flow
        edits.append(add(places, value, more))
    return edits


def _gone(places: Text, start: int, end: int) -> _Edit:
    """Takes a line of a list or a mapping away, but not its comment."""
    first, last = places.line_start(start), places.line_end(end)
    if places.comments_in(end, last):
        return _Edit(first + len(places.indent(start)), places.text.index("#", end), "")
    return _Edit(first, min(len(places.text), last + len(places.newline)), "")


def _added(places: Text, body: dict[str, Any], missing: dict[str, Any]) -> Iterator[_Edit]:
    """Adds fields that the text doesn't have, in their sections."""
    root = places.root
    by_section: dict[str, dict[str, Any]] = {}
    for path, value in missing.items():
        section, _, name = path.rpartition(".")
        by_section.setdefault(section, {})[name] = value
    if root is None or not root.entries:
        yield from _add_to_nothing(places, by_section)
        return
    if own := by_section.pop("", None):
        yield _add_to_root(places, root, own)
    # What goes to the end of the text comes after what goes into its last section.
    begun = places.text[: places.end].endswith("\n")
    for section, inner in sorted(by_section.items(), key=lambda pair: not root.entry(pair[0])):
        entry = root.entry(section)
        if entry is None and root.is_block:
            text = ("" if begun else places.newline) + _at_the_end(places, root, section, inner)
            begun = True
            yield _Edit(places.end, places.end, text)
        elif entry is None:
            yield _add_in_flow(places, root, {section: inner})
        elif entry[1].kind == "mapping" and entry[1].is_block:
            yield _add_lines(places, entry[1], inner)
        elif entry[1].kind == "mapping":
            yield _add_in_flow(places, entry[1], inner)
        else:
            yield from _fill(places, *entry, {**(body.get(section) or {}), **inner})


def _add_to_nothing(places: Text, by_section: dict[str, dict[str, Any]]) -> Iterator[_Edit]:
    """Begins the document of a text that has comments at most, or an empty mapping."""
    if places.root is not None:
        yield _Edit(places.root.start, places.root.end, "")
    begun = places.text[: places.end]
    text = places.newline if begun and not begun.endswith("\n") else ""
    text += _lines(places, by_section.pop("", {}))
    for section, inner in by_section.items():
        text += f"{section}:{places.newline}{_lines(places, inner, '  ')}"
    yield _Edit(places.end, places.end, text)


def _add_to_root(places: Text, root: Place, own: dict[str, Any]) -> _Edit:
    """Adds top-level fields after the last that there is, else before all else."""
    if not root.is_block:
        return _add_in_flow(places, root, own)
    indent = places.indent(root.entries[0][0].start)
    if before := [value for key, value in root.entries if field_at(key.value)]:
        return _after(places, before[-1], _pairs(own), indent)
    at = places.line_start(root.entries[0][0].start)
    return _Edit(at, at, _lines(places, own, indent))


def _at_the_end(places: Text, root: Place, section: str, inner: dict[str, Any]) -> str:
    indent = places.indent(root.entries[0][0].start)
    head = f"{places.newline}{indent}{section}:{places.newline}"
    return head + _lines(places, inner, indent + "  ")


def _add_lines(places: Text, mapping: Place, inner: dict[str, Any]) -> _Edit:
    """Adds fields below the last one of a section."""
    first = mapping.entries[0][0]
    return _after(places, mapping.entries[-1][1], _pairs(inner), places.indent(first.start))


def _add_in_flow(places: Text, mapping: Place, inner: dict[str, Any]) -> _Edit:
    """Adds fields to a section in braces; one in the style of JSON stays JSON."""
    root = places.root
    quote = '"' if root and root.entries and root.entries[0][0].style == '"' else ""
    text = ", ".join(_pairs(inner, quote))
    if mapping.entries:
        at = max(mapping.entries[-1][0].end, mapping.entries[-1][1].end)
        return _Edit(at, at, f", {text}")
    at = places.text.index("{", places.content(mapping)) + 1
    return _Edit(at, at, text)


def _fill(places: Text, key: Place, value: Place, inner: dict[str, Any]) -> Iterator[_Edit]:
    """Gives a section that was empty, or the same as another, fields of its own."""
    if value.kind == "alias" or not (places.root and places.root.is_block):
        space = " " if places.text[value.start - 1] == ":" else ""
        yield _Edit(value.start, value.end, f"{space}{{{', '.join(_pairs(inner))}}}")
        return
    yield _Edit(value.start, value.end, "")
    yield _after(places, value, _pairs(inner), places.indent(key.start) + "  ")


def _after(places: Text, place: Place, pairs: list[str], indent: str) -> _Edit:
    at = places.line_end(place.end)
    return _Edit(at, at, "".join(f"{places.newline}{indent}{pair}" for pair in pairs))


def _lines(places: Text, values: dict[str, Any], indent: str = "") -> str:
    return "".join(f"{indent}{pair}{places.newline}" for pair in _pairs(values))


def _pairs(values: dict[str, Any], quote: str = "") -> list[str]:
    return [f"{quote}{name}{quote}: {_text(value, quote)}" for name, value in values.items()]


def _text(value: Any, quote: str) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(_pairs(value, quote))}}}"
    return loading.value_text(value, quote)
