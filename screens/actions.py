"""The commands of `:` and ctrl+p: every key's work, by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from screens.help import key_name


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """A command for each binding that has a description and can be used now."""
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description or not active.enabled or binding.action in seen:
            continue
        if binding.action in ("command_palette", "app.command_palette"):
            continue
        seen.add(binding.action)
        keys = f"key {key_name(binding.key)}"
        run = partial(app.run_action, binding.action, active.node)
        yield SystemCommand(binding.description, keys, partial(app.call_later, run))
