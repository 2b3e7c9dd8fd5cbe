"""A GGUF file held against its model by llama.cpp itself, where the extra `gguf` is installed.

transformers builds a tokenizer of its own from the file; what llama.cpp and Ollama make of it only
llama.cpp says: how it cuts a text, and how its Jinja renders the template.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.export import golden

_PACKAGE = "xllamacpp"
_PATIENCE = 300.0
"""Seconds that an answer may take on a busy machine."""
_CONTEXT = 512


def is_here() -> bool:
    """Whether llama.cpp can be asked."""
    return find_spec(_PACKAGE) is not None


def check(path: Path, template: ChatTemplate) -> int:
    """How many tokens of the golden conversations llama.cpp has the same as `template`.

    Raises WorkbenchError when it can't load the file, renders them otherwise, or has others.
    """
    server = _serve(path)
    count = 0
    for messages in (golden.CONVERSATION, golden.WITHOUT_SYSTEM):
        try:
            text = template.render(messages, add_generation_prompt=True)
        except MaskError:
            continue  # a family that knows no system turn
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        rendered = _ask(server, "/apply-template", {"messages": turns})["prompt"]
        # llama.cpp puts the bos token before it by itself, and takes it off what it renders.
        if rendered not in (text, text.removeprefix(template.special("bos_token"))):
            raise WorkbenchError("llama.cpp renders the chat template of the GGUF file otherwise.")
        asked = {"content": text, "add_special": False, "parse_special": True}
        wanted = template.tokenize(text)[0]
        if _ask(server, "/tokenize", asked)["tokens"] != wanted:
            raise WorkbenchError(
                "llama.cpp has other tokens of the golden conversation than the model's tokenizer."
            )
        count += len(wanted)
    return count


def _serve(path: Path) -> Any:
    """llama.cpp's server on the file, within this process, for as long as it is held."""
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path = str(path)
    asked.n_ctx, asked.n_parallel, asked.warmup = _CONTEXT, 1, False
    try:
        return xllamacpp.Server(asked)
    except (RuntimeError, ValueError) as error:
        raise WorkbenchError(f"llama.cpp can't load the GGUF file: {error}") from error


def _ask(server: Any, route: str, body: dict[str, Any]) -> dict[str, Any]:
    request = Request(  # noqa: S310 - its own server
        server.listening_address + route,
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with build_opener(ProxyHandler({})).open(request, timeout=_PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
