"""Which fields of a row are what, said by a person, for rows whose format isn't recognised."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from workbench.data.tool_calls import tools_of
from workbench.data.turn_reading import Names, history_turns, read_turns
from workbench.data.turns import ROLE_NAMES, RowError, Turn, as_text
from workbench.errors import WorkbenchError

Role = Literal["system", "user", "assistant", "tool", "function_call"]
_ABSENT = object()
_HINT = (
    "Say which field is what: `--map prompt=FIELD --map response=FIELD`, or for a list of turns "
    "`--map messages=FIELD --map role=KEY --map content=KEY --map role.user=NAME`. "
    "Dots lead into objects: `data.question`."
)


class Mapping(BaseModel):
    """The fields of a row, by what they are. Dots lead into objects: `data.question`.

    Either `prompt` and `response`, or `messages`, or `text` for plain text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = ""
    context: str = ""
    """What the prompt is about; put after it. May be absent from a row."""
    response: str = ""
    history: str = ""
    """Earlier pairs of prompt and response. May be absent."""
    messages: str = ""
    """A list of turns."""
    role: str = ""
    """The key of a turn's role; empty: `role` or `from`."""
    content: str = ""
    """The key of a turn's text; empty: `content` or `value`."""
    roles: dict[str, Role] = {}
    """What the rows call the roles, beside the usual names."""
    text: str = ""
    """Plain text."""
    system: str = ""
    """May be absent."""
    tools: str = ""
    """May be absent."""
    task: str = ""
    """Empty: `task`. May be absent."""

    @model_validator(mode="after")
    def _one_way(self) -> Mapping:
        ways = [bool(self.prompt or self.response), bool(self.messages), bool(self.text)]
        if sum(ways) != 1 or bool(self.prompt) != bool(self.response):
            raise ValueError("it takes prompt and response, or messages, or text")
        for name in ("context", "history"):
            if getattr(self, name) and not self.prompt:
                raise ValueError(f"{name} goes with prompt and response")
        if self.text and (self.system or self.tools):
            raise ValueError("plain text has no system turn and no tools")
        if (self.role or self.content or self.roles) and not self.messages:
            raise ValueError("role and content are of the turns of messages")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it takes something from."""
        named = (self.prompt, self.context, self.response, self.history, self.messages)
        return tuple(filter(None, (*named, self.text, self.system, self.tools, self.task)))

    def text_of(self, row: dict[str, Any]) -> str:
        """The plain text of a row. Raises RowError."""
        return as_text(_get(row, self.text), self.text)

    def task_of(self, row: dict[str, Any]) -> str:
        """The task of a row; empty where it has none."""
        if not self.task:
            named = row.get("task", "")
            return named if isinstance(named, str) else ""
        found = _find(row, self.task)
        return "" if found in (_ABSENT, None) else as_text(found, self.task)

    def tools_of(self, row: dict[str, Any]) -> str:
        """The tools of a row. Raises RowError for what is no list of tools."""
        found = _find(row, self.tools) if self.tools else _ABSENT
        if found in (_ABSENT, None, "", "[]") or found == []:
            return ""
        if not (tools := tools_of(found)):
            raise RowError(f"`{self.tools}` is no list of tools")
        return tools

    def turns_of(self, row: dict[str, Any]) -> list[Turn]:
        """The turns of a row. Raises RowError for a field that isn't there or isn't what it
        should be."""
        return [*self._system(row), *(self._talk(row) if self.messages else self._pair(row))]

    def rest_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row without the fields that have a place of their own in an example."""
        rest = copy.deepcopy(row)
        for path in self.fields:
            _remove(rest, path)
        return rest

    def _system(self, row: dict[str, Any]) -> list[Turn]:
        found = _find(row, self.system) if self.system else _ABSENT
        if found in (_ABSENT, None, ""):
            return []
        return [Turn(self.system, "system", as_text(found, self.system))]

    def _talk(self, row: dict[str, Any]) -> list[Turn]:
        names = Names(self.role, self.content, {**ROLE_NAMES, **self.roles})
        return read_turns(_get(row, self.messages), self.messages, names)

    def _pair(self, row: dict[str, Any]) -> Iterator[Turn]:
        if self.history and (found := _find(row, self.history)) not in (_ABSENT, None):
            yield from history_turns(found, self.history)
        prompt = as_text(_get(row, self.prompt), self.prompt)
        context = _find(row, self.context) if self.context else _ABSENT
        if context not in (_ABSENT, None, ""):
            prompt = f"{prompt}\n\n{as_text(context, self.context)}"
        yield Turn(self.prompt, "user", prompt)
        response = _get(row, self.response)
        yield Turn(self.response, "assistant", as_text(response, self.response))


def from_texts(texts: Sequence[str]) -> Mapping | None:
    """The mapping that `NAME=FIELD` texts describe, of which `role.ROLE=NAME` names a role; None
    for no text. Raises WorkbenchError for one that makes no mapping."""
    if not texts:
        return None
    body: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise WorkbenchError(f"--map takes NAME=FIELD, not {text!a}.", _HINT)
        if name.startswith("role."):
            roles[value] = name.removeprefix("role.")
        elif name in body:
            raise WorkbenchError(f"--map says twice what {name} is.", _HINT)
        else:
            body[name] = value
    if "roles" in body:
        raise WorkbenchError("--map names a role by role.user=NAME.", _HINT)
    return mapping({**body, **({"roles": roles} if roles else {})}, "--map")


def mapping(body: dict[str, Any], origin: str) -> Mapping:
    """The mapping that plain data describes. Raises WorkbenchError with what is wrong."""
    try:
        return Mapping.model_validate(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise WorkbenchError(f"{origin} makes no mapping: {problems}.", _HINT) from error


def _get(row: dict[str, Any], path: str) -> Any:
    if (found := _find(row, path)) is _ABSENT:
        present = ", ".join(map(str, list(row)[:8])) or "none"
        raise RowError(f"there is no field `{path}`, which the mapping names; it has {present}")
    return found


def _find(row: Any, path: str) -> Any:
    """What stands in the field; a field whose name has dots itself goes first."""
    if isinstance(row, dict) and path in row:
        return row[path]
    for at in _dots(path):
        if isinstance(row, dict) and path[:at] in row:
            found = _find(row[path[:at]], path[at + 1 :])
            if found is not _ABSENT:
                return found
    return _ABSENT


def _remove(row: Any, path: str) -> None:
    """Take a field out, and the objects around it that then are empty."""
    if not isinstance(row, dict):
        return
    if path in row:
        del row[path]
        return
    for at in _dots(path):
        if path[:at] in row and _find(row[path[:at]], path[at + 1 :]) is not _ABSENT:
            _remove(row[path[:at]], path[at + 1 :])
            if not row[path[:at]]:
                del row[path[:at]]
            return


def _dots(path: str) -> Iterator[int]:
    return (at for at, sign in enumerate(path) if sign == ".")
