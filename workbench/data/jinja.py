"""A model's chat template: where its text is, and the sandbox that it runs in.

Templates come from strangers: they can read the conversation and nothing else.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

if TYPE_CHECKING:
    from jinja2 import Template

DATE = "strftime_now"
"""The one way in which a template can see what day it is."""


def find_source(folder: Path, settings: dict[str, Any]) -> str:
    """The template of a model folder, `settings` being its tokenizer_config.json; empty where
    it has none, as a base model that was never tuned on conversations.

    Raises WorkbenchError for a file that can't be read.
    """
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise WorkbenchError(f"{path} is not UTF-8.") from error
        except OSError as error:
            raise explain_os_error(error, f"read {path}") from error
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = (item for item in found if isinstance(item, dict) and item.get("name") == "default")
        found = next(named, {}).get("template")
    return found if isinstance(found, str) else ""


def compile_template(source: str, today: date | None) -> Template:
    """The template, which means what it means to transformers. Raises jinja2.TemplateError."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's part in some templates; it adds no text."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    def strftime_now(form: str) -> str:
        # The day alone: with the hour in it no two renderings would be the same.
        return datetime.combine(today or date.today(), time()).strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals[DATE] = strftime_now
    return environment.from_string(source)
