"""What is compared: a prompt, and what each system answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

OUTPUTS = "outputs.jsonl"


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt with the output of each system."""

    key: str
    """Its name in the evaluation: the same for both systems."""
    prompt_text: str
    """The conversation as it is shown to the annotator."""
    reference: str
    """The wanted answer, or an empty string."""
    outputs: Mapping[str, str]
    """The output by system."""


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A prompt as text: a single user turn as it is, else every turn under its role."""
    if [message["role"] for message in messages] == ["user"]:
        return messages[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def read_evaluation(folder: Path) -> list[Item]:
    """The items of an evaluation folder, from its `outputs.jsonl`.

    Raises WorkbenchError that names the file, the line and the field.
    """
    path = folder / OUTPUTS
    if not path.is_file():
        raise WorkbenchError(
            f"{folder} is no evaluation: it has no {OUTPUTS}.",
            "Name the folder that `workbench eval` wrote.",
        )
    items = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    items.append(_parse(line, f"{path}:{number}"))
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: {error}.") from error
    return items


def _parse(line: str, where: str) -> Item:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise WorkbenchError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(row, dict):
        raise WorkbenchError(f"{where} is not a JSON object.")
    prompt, outputs = row.get("prompt"), row.get("outputs")
    if not isinstance(prompt, list) or not all(map(_is_message, prompt)):
        raise WorkbenchError(f'{where}: "prompt" must be a list of {{"role", "content"}} objects.')
    if not isinstance(outputs, dict) or not all(isinstance(v, str) for v in outputs.values()):
        raise WorkbenchError(f'{where}: "outputs" must be an object of texts by system.')
    return Item(
        key=_text(row, "key", where),
        prompt_text=conversation_text(prompt),
        reference=_text(row, "reference", where),
        outputs=outputs,
    )


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def _text(row: dict[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise WorkbenchError(f'{where}: "{field}" must be a text.')
    return value
