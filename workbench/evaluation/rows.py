"""What is scored: rows with a prompt, references and each system's output, kept as JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.data.curate.words import WORD
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

OUTPUTS = "outputs.jsonl"
LOSSES = "losses.jsonl"
_ONE = "output"
"""The system of rows that have one output without a name."""
_SEVERAL = ("references", "answers")
"""Fields of a row of data that hold more right answers."""


@dataclass(frozen=True, slots=True)
class Row:
    """A held-out row: what systems answered, or the loss of its reference, or both."""

    key: str
    prompt: str = ""
    """The conversation as text."""
    references: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    """By system; one that has no output is not in it."""
    task: str = ""
    stopped: Mapping[str, bool] = field(default_factory=dict)
    """Whether the output ended by itself, by system, where that is known."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    contaminated: bool | None = None
    """Whether a training row holds it; None where nobody looked."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Sum over its trained tokens in nats, by system."""
    trained_tokens: int = 0
    prompt_words: int | None = None
    reference_words: int | None = None
    """Both None where there is none."""
    line: int | None = None
    """That of its outputs in their file, from 1."""


def words(text: str) -> int:
    """Words of a text; signs of scripts without spaces are one each."""
    return len(WORD.findall(text))


def references_of(example: Example) -> list[str]:
    """The right answers to an example: its response, then those in its extra fields `references`
    or `answers`, a list of texts or SQuAD's `{"text": [...]}`."""
    found = [example.response]
    for name in _SEVERAL:
        more = example.extra.get(name)
        if isinstance(more, dict):
            more = more.get("text")
        if isinstance(more, list):
            found += [text for text in more if isinstance(text, str)]
    return list(dict.fromkeys(found))


def conversation(messages: Sequence[Mapping[str, Any]]) -> str:
    """A prompt as text: a single turn as it is, else every turn under its role."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def read_outputs(path: Path) -> list[Row]:
    """The rows of a file of JSON lines, each with `outputs` (texts by system) or `output`; and, as
    far as they are known, `prompt` (text or messages), `reference` or `references`, `key`, `task`,
    `stopped` and `tokens` (by system), `contaminated`.

    An empty `reference` is none; `references: [""]` wants an empty answer. Raises WorkbenchError
    that names the file, the line and the field.
    """
    rows = [_row(body, line, f"{path}:{line}") for line, body in _lines(path)]
    if not rows:
        raise WorkbenchError(f"{path} has no rows.")
    if not any(row.outputs for row in rows):
        raise WorkbenchError(f"{path} has no outputs: there is nothing to score.")
    if len({row.key for row in rows}) < len(rows):
        raise WorkbenchError(
            f"{path} has rows with the same key.", 'Give each another "key", or leave it out.'
        )
    return rows


def read_losses(path: Path) -> list[Row]:
    """The rows whose losses an evaluation wrote; raises WorkbenchError for a damaged file."""
    rows = []
    for line, body in _lines(path):
        try:
            rows.append(
                Row(
                    key=body["key"],
                    task=body["task"],
                    contaminated=body.get("contaminated"),
                    losses={
                        system: math.nan if value is None else value
                        for system, value in body["losses"].items()
                    },
                    trained_tokens=body["trained_tokens"],
                    prompt_words=body["prompt_words"],
                    reference_words=body["reference_words"],
                )
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise WorkbenchError(f"{path}:{line} is no row of losses: {error!r}.") from error
    return rows


def loss_line(row: Row) -> dict[str, Any]:
    """What `read_losses` reads."""
    body: dict[str, Any] = {
        "key": row.key,
        "task": row.task,
        "losses": {
            system: value if math.isfinite(value) else None for system, value in row.losses.items()
        },
        "trained_tokens": row.trained_tokens,
        "prompt_words": row.prompt_words,
        "reference_words": row.reference_words,
    }
    if row.contaminated is not None:
        body["contaminated"] = row.contaminated
    return body


def together(answered: Iterable[Row], lost: Iterable[Row]) -> list[Row]:
    """Rows with outputs and rows with losses, those with the same key as one."""
    by_key = {row.key: row for row in lost}
    found = []
    for row in answered:
        other = by_key.pop(row.key, None)
        if other is not None:
            row = replace(row, losses=other.losses, trained_tokens=other.trained_tokens)
        found.append(row)
    return [*found, *by_key.values()]


def _lines(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _object(line, f"{path}:{number}")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: {error}.") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(body, dict):
        raise WorkbenchError(f"{where} is not a JSON object.")
    return body


def _row(body: dict[str, Any], line: int, where: str) -> Row:
    prompt = _prompt(body.get("prompt", ""), where)
    references = _references(body, where)
    return Row(
        key=_typed(body.get("key", f"row-{line}"), str, "key", "a text", where),
        prompt=prompt,
        references=references,
        outputs=_outputs(body, where),
        task=_typed(body.get("task") or "", str, "task", "a text", where),
        stopped=_by_system(body, "stopped", bool, "true or false", where),
        tokens=_by_system(body, "tokens", int, "whole numbers", where),
        contaminated=_typed(
            body.get("contaminated"), bool | None, "contaminated", "true or false", where
        ),
        prompt_words=words(prompt) if prompt else None,
        reference_words=words(references[0]) if references else None,
        line=line,
    )


def _outputs(body: dict[str, Any], where: str) -> dict[str, str]:
    found = body.get("outputs")
    if found is None:
        found = {_ONE: body[_ONE]} if _ONE in body else {}
    if not isinstance(found, dict) or not all(
        value is None or isinstance(value, str) for value in found.values()
    ):
        raise WorkbenchError(f'{where}: "outputs" must be an object of texts by system.')
    return {system: text for system, text in found.items() if text is not None}


def _references(body: dict[str, Any], where: str) -> tuple[str, ...]:
    several = body.get("references")
    if several is None:
        one = _typed(body.get("reference") or "", str, "reference", "a text", where)
        return (one,) if one else ()
    if not isinstance(several, list) or not all(isinstance(text, str) for text in several):
        raise WorkbenchError(f'{where}: "references" must be a list of texts.')
    return tuple(several)


def _prompt(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("role"), str)
        and isinstance(one.get("content"), str)
        for one in value
    ):
        return conversation(value)
    raise WorkbenchError(
        f'{where}: "prompt" must be a text, or a list of {{"role", "content"}} objects.'
    )


def _by_system(
    body: dict[str, Any], name: str, kind: type, what: str, where: str
) -> dict[str, Any]:
    found = body.get(name) or {}
    if not isinstance(found, dict) or not all(
        value is None or type(value) is kind for value in found.values()
    ):
        raise WorkbenchError(f'{where}: "{name}" must be an object of {what} by system.')
    return {system: value for system, value in found.items() if value is not None}


def _typed(value: Any, kind: Any, name: str, what: str, where: str) -> Any:
    if not isinstance(value, kind):
        raise WorkbenchError(f'{where}: "{name}" must be {what}.')
    return value
