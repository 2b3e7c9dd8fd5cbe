"""The data card of a dataset version: README.md of its folder, as the Hugging Face hub reads it.

Whatever comes from data (names of files and tasks, reasons) is escaped: nothing of it is markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.text import visible

NAME = "README.md"
NOT_DECLARED = "not declared"
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LONGEST = 20_000
"""Characters of a recipe that a card shows: one that names thousands of rows is no reading."""
_MARKUP = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>()#|~!&:"})
_LENGTHS = ("min", "median", "p95", "p99", "max")


def render(card: dict[str, Any]) -> str:
    """The text of a card whose facts are in `card`, as `data_card.facts` gathers them."""
    parts = (_front, _head, _sources, _steps, _removed, _content, _tokens, _checks, _replay)
    return "\n".join("\n".join(lines) + "\n" for part in parts if (lines := list(part(card))))


def licences(sources: Iterable[dict[str, Any]]) -> list[str]:
    """The licences of files, as declared, each once; NOT_DECLARED for those without."""
    return sorted({source.get("license") or NOT_DECLARED for source in sources})


def _front(card: dict[str, Any]) -> Iterator[str]:
    """What the hub reads of a card."""
    declared = card["licences"]
    yield "---"
    if declared and NOT_DECLARED not in declared:
        # JSON is YAML, whatever a licence is called.
        yield f"license: {json.dumps(declared if len(declared) > 1 else declared[0])}"
    yield f"pretty_name: {json.dumps(card['reference'])}"
    yield f"size_categories: [{json.dumps(_size(card['rows']))}]"
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files: data.jsonl"
    yield "---"


def _size(rows: int) -> str:
    return next((name for most, name in _SIZES if rows < most), "n>10M")


def _head(card: dict[str, Any]) -> Iterator[str]:
    yield f"# {card['reference']}"
    yield ""
    splits = ", ".join(f"{count:,} {name}" for name, count in card["splits"].items())
    yield f"- {card['rows']:,} rows: {splits} (the field `split` says which)"
    yield f"- SHA-256 of data.jsonl: {card['sha256']}"
    yield f"- Licences as declared: {', '.join(map(escaped, card['licences']))}"
    left = f"{card['removed']:,} rows were left out; " if card["removed"] else ""
    yield f"- {left}removed.jsonl holds each row that was left out, with the reason"


def _sources(card: dict[str, Any]) -> Iterator[str]:
    yield "## Sources"
    yield ""
    yield from _listed_sources(card["sources"])
    for parent in card["lineage"]:
        yield ""
        if "problem" in parent:
            yield f"{escaped(parent['reference'])}: {escaped(parent['problem'])}"
        else:
            yield f"{escaped(parent['reference'])} was made from"
            yield ""
            yield from _listed_sources(parent["sources"])


def _listed_sources(sources: Sequence[dict[str, Any]]) -> Iterator[str]:
    for source in sources:
        if "dataset" in source:
            yield f"- dataset version {escaped(source['dataset'])}"
            continue
        # Of a path the name: the rest is of one machine.
        facts = [escaped(Path(source["path"]).name)] if "path" in source else []
        facts.append(f"licence {escaped(source.get('license') or NOT_DECLARED)}")
        facts += [
            f"{name} {escaped(str(value))}"
            for name, value in source.items()
            if value and name not in ("path", "license")
        ]
        yield f"- {'; '.join(facts)}"


def _steps(card: dict[str, Any]) -> Iterator[str]:
    yield "## Steps"
    for made in (*reversed([p for p in card["lineage"] if "steps" in p]), card):
        yield ""
        yield f"{escaped(made['reference'])}:"
        yield ""
        rows = [
            (s["name"], s["before"], s["after"], s.get("changed", 0), _how(s["parameters"]))
            for s in made["steps"]
        ]
        yield from _table(("step", "rows before", "rows after", "changed", "how"), rows)


def _how(parameters: dict[str, Any]) -> str:
    """The parameters that are short; rows that a step names are in the recipe."""
    plain = {
        name: value
        for name, value in parameters.items()
        if isinstance(value, str | int | float) or name in ("options", "kinds", "weights")
    }
    return ", ".join(
        f"{name} {value}" for name, value in plain.items() if value not in ({}, [], "")
    )


def _removed(card: dict[str, Any]) -> Iterator[str]:
    reasons = card["statistics"]["removed"]
    if reasons:
        yield "## Rows that were left out"
        yield ""
        rows = [(entry["step"], entry["reason"], entry["rows"]) for entry in reasons]
        yield from _table(("step", "reason", "rows"), rows)


def _content(card: dict[str, Any]) -> Iterator[str]:
    statistics = card["statistics"]
    yield "## Content"
    yield ""
    columns = ("task", "split", "rows", "different rows", "characters", "of them trained")
    keys = ("rows", "different_rows", "characters", "trained_characters")
    rows = [
        (part["task"] or "–", part["split"], *(part[key] for key in keys))
        for part in statistics["parts"]
    ]
    yield from _table(columns, rows)
    yield ""
    roles = [(r, n["turns"], n["characters"]) for r, n in statistics["roles"].items()]
    if statistics["plain_texts"]:
        yield f"{statistics['plain_texts']:,} rows are plain text."
        yield ""
    if roles:
        yield from _table(("role", "turns", "characters"), roles)
        yield ""
    lengths = [statistics["characters"][name] for name in _LENGTHS]
    yield from _table(("characters of a row", *_LENGTHS), [("", *lengths)])


def _tokens(card: dict[str, Any]) -> Iterator[str]:
    yield "## Tokens"
    yield ""
    if not card["tokens"]:
        yield "Not counted: `workbench data tokens` counts them for a base model."
    for counted in card["tokens"]:
        # Of a local folder the name: the rest is of one machine.
        base = counted["base"] if counted["revision"] else Path(counted["base"]).name
        yield f"Of {escaped(base)}, chat template {escaped(counted['template'])}:"
        yield ""
        parts = {"all": counted["all"], **counted["splits"]}
        parts |= {f"task {name or '–'}": part for name, part in counted["tasks"].items()}
        rows = [
            (
                name,
                *(part[key] for key in ("rows", "tokens", "trained_tokens")),
                *(part["lengths"][key] for key in _LENGTHS),
            )
            for name, part in parts.items()
        ]
        yield from _table(("", "rows", "tokens", "trained", *_LENGTHS), rows)


def _checks(card: dict[str, Any]) -> Iterator[str]:
    yield "## Checks"
    yield ""
    rows = [
        (
            found["check"],
            _how({"options": found["options"]}),
            found["flagged"],
            ", ".join(f"{count:,} {kind}" for kind, count in found["kinds"].items()) or "none",
        )
        for found in card["findings"]
    ]
    if rows:
        yield from _table(("check", "how", "flagged rows", "findings"), rows)
        yield ""
    looked = {found["check"] for found in card["findings"]}
    for name in card["checks"]:
        if name not in looked:
            yield f"- {name}: not looked for in this version"
    redacted = card["redacted"]
    yield f"- rows in which personal data gave way to placeholders: {redacted:,}"


def _replay(card: dict[str, Any]) -> Iterator[str]:
    yield "## How to make it again"
    yield ""
    if card["recipe"] is None:
        yield "It was made without a recipe."
        return
    yield "With the sources beside it, `workbench data make FILE` makes the same rows of this:"
    yield ""
    if len(card["recipe"]) > _LONGEST:
        yield f"(it is long; `workbench data recipe {card['reference']}` prints it)"
        return
    # Indented, not fenced: no text in a recipe can end it.
    yield from (f"    {line}" for line in visible(card["recipe"]).splitlines())


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else escaped(str(value))


def escaped(text: str) -> str:
    """A text on one line in which no sign is Markdown's or a terminal's."""
    return visible(text, one_line=True).translate(_MARKUP)
