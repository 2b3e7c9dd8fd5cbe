"""What is judged: a prompt, and what each system answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

OUTPUTS = "outputs.jsonl"
SCORES = "scores.jsonl"

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt with the output of each system."""

    key: str
    """Its name in the evaluation: the same for all systems."""
    prompt_text: str
    """The conversation as it is shown to the annotator."""
    reference: str
    """The wanted answer, or an empty string."""
    outputs: Mapping[str, str]
    """The output by system."""
    messages: tuple[Message, ...] = ()
    """The conversation; empty: `prompt_text` as a user's turn."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Which outputs are compared with each other; empty: all."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By system and metric, as an evaluation has stored them."""


def conversation_text(messages: Sequence[Message]) -> str:
    """A prompt as text: a single user turn as it is, else every turn under its role."""
    if [message["role"] for message in messages] == ["user"]:
        return messages[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def read_evaluation(folder: Path) -> list[Item]:
    """The items of an evaluation folder, from its `outputs.jsonl`, with what its `scores.jsonl`
    has of them, if that is there.

    Raises WorkbenchError that names the file, the line and the field.
    """
    path = folder / OUTPUTS
    if not path.is_file():
        raise WorkbenchError(
            f"{folder} is no evaluation: it has no {OUTPUTS}.",
            "Name the folder that `workbench eval` wrote.",
        )
    scores = _stored_scores(folder / SCORES)
    return [replace(i, scores=scores.get(i.key, i.scores)) for i in read_file(path)]


def _stored_scores(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of each row by its key, by system and metric."""
    if not path.is_file():
        return {}
    found = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"Could not read {path}: {error}.") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        row = _row(line, where)
        found[_key(row, str(number), where)] = _scores(row.get("scores", {}), where)
    return found


def read_file(path: Path) -> list[Item]:
    """The items of a file of JSON lines, from wherever it is.

    A row has `prompt` (a text, or messages) and `outputs` (texts by system), or `completions` (a
    list of `model` and `completion`), or one `output` (of `model`, else of the file's name); it
    may have `key` or `id`, `reference` and `scores` (numbers by system and metric). Rows with one
    key are one item, of which the outputs of each row are compared with each other. Raises
    WorkbenchError that names the file, the line and the field.
    """
    found: dict[str, Item] = {}
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    item = _parse(line, f"{path}:{number}", str(number), path.stem)
                    earlier = found.get(item.key)
                    found[item.key] = _joined(earlier, item, f"{path}:{number}")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: {error}.") from error
    return list(found.values())


def _joined(earlier: Item | None, item: Item, where: str) -> Item:
    if earlier is None:
        return item
    if earlier.prompt_text != item.prompt_text:
        raise WorkbenchError(f"{where}: the key {item.key!r} stood before, with another prompt.")
    for system, text in item.outputs.items():
        if earlier.outputs.get(system, text) != text:
            raise WorkbenchError(
                f"{where}: {system!r} has another output here than before for {item.key!r}.",
                "Give the rows keys that differ.",
            )
    groups = [
        *(earlier.groups or (tuple(earlier.outputs),)),
        *(item.groups or (tuple(item.outputs),)),
    ]
    return replace(
        earlier,
        outputs={**earlier.outputs, **item.outputs},
        groups=tuple(dict.fromkeys(groups)),
        scores={**earlier.scores, **item.scores},
    )


def _parse(line: str, where: str, number: str, stem: str) -> Item:
    row = _row(line, where)
    messages = _messages(row.get("prompt"), where)
    return Item(
        key=_key(row, number, where),
        prompt_text=conversation_text(messages),
        reference=_reference(row, where),
        outputs=_outputs(row, where, stem),
        messages=messages,
        scores=_scores(row.get("scores", {}), where),
    )


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise WorkbenchError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(row, dict):
        raise WorkbenchError(f"{where} is not a JSON object.")
    return row


def _messages(prompt: Any, where: str) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        return ({"role": "user", "content": prompt},)
    if not isinstance(prompt, list) or not prompt or not all(map(_is_message, prompt)):
        raise WorkbenchError(
            f'{where}: "prompt" must be a text, or a list of {{"role", "content"}} objects.'
        )
    return tuple({"role": each["role"], "content": each["content"]} for each in prompt)


def _outputs(row: Mapping[str, Any], where: str, stem: str) -> dict[str, str]:
    completions = row.get("completions")
    if "outputs" not in row and isinstance(completions, list):
        pairs = [(c.get("model"), c.get("completion")) for c in completions if isinstance(c, dict)]
        outputs: Any = dict(pairs)
        if len(outputs) != len(completions):
            raise WorkbenchError(f'{where}: "completions" must name a different model each.')
    elif "outputs" not in row and "output" in row:
        outputs = {row.get("model", stem): row["output"]}
    else:
        outputs = row.get("outputs")
    if (
        not isinstance(outputs, dict)
        or not outputs
        or not all(isinstance(v, str) and isinstance(k, str) and k for k, v in outputs.items())
    ):
        raise WorkbenchError(
            f'{where}: "outputs" must be an object of texts by system.',
            'Or have "completions" of "model" and "completion", or one "output".',
        )
    return outputs


def _scores(given: Any, where: str) -> dict[str, dict[str, float]]:
    if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
        raise WorkbenchError(f'{where}: "scores" must be an object of numbers by system, metric.')
    return {
        system: {
            name: float(value)
            for name, value in by_metric.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for system, by_metric in given.items()
    }


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def _key(row: dict[str, Any], number: str, where: str) -> str:
    value = row.get("key", row.get("id", number))
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise WorkbenchError(f'{where}: "key" must be a text.')
    return value


def _reference(row: dict[str, Any], where: str) -> str:
    value = row.get("reference", "")
    if not isinstance(value, str):
        raise WorkbenchError(f'{where}: "reference" must be a text.')
    return value
