"""Calls of tools, and the tools themselves, as OpenAI and ShareGPT's descendants write them."""

from __future__ import annotations

import json
from typing import Any

from workbench.data.example import ToolCall
from workbench.data.turns import RowError, kind


def calls_of(turn: dict[str, Any], where: str) -> tuple[ToolCall, ...]:
    """The calls of a turn: its `tool_calls`, or the older `function_call`.

    Raises RowError with the place for what is no call.
    """
    found = turn.get("tool_calls") or []
    place = f"{where}.tool_calls"
    if not isinstance(found, list):
        raise RowError(f"`{place}` is {kind(found)}, not a list of calls")
    calls = [_call(call, f"{place}[{number}]") for number, call in enumerate(found)]
    if turn.get("function_call"):
        calls.append(_call(turn["function_call"], f"{where}.function_call"))
    return tuple(calls)


def calls_in(text: str, where: str) -> tuple[ToolCall, ...]:
    """The calls that a turn's text is, as JSON: one, or a list of them."""
    found = _parsed(text, where, "a call of a tool")
    listed = found if isinstance(found, list) else [found]
    if not listed:
        raise RowError(f"`{where}` is no call of a tool")
    return tuple(_call(call, where) for call in listed)


def _call(call: Any, where: str) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise RowError(f"`{where}` is no call of a tool: it has no function with a name")
    place = f"{where}.arguments"
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parsed(arguments, place, "a JSON object") if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise RowError(f"`{place}` is {kind(arguments)}, not a JSON object")
    id = call.get("id")
    return ToolCall(name, _written(arguments, place), id if isinstance(id, str) else "")


def tools_of(value: Any) -> str:
    """The tools that a row offers, as an example has them; empty for what is no list of tools.

    Takes OpenAI's `tools`, bare descriptions of functions, and either as JSON text.
    """
    if isinstance(value, str):
        try:
            value = _parsed(value, "tools", "a list")
        except RowError:
            return ""
    if not isinstance(value, list) or not value:
        return ""
    tools = []
    for tool in value:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return ""
        tools.append(tool if "function" in tool else {"type": "function", "function": tool})
    return _written(tools, "tools")


def _parsed(text: str, where: str, wanted: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"`{where}` is not {wanted}: it is no JSON") from error


def _written(value: Any, where: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise RowError(f"`{where}` holds what no JSON text can") from error
    return text
