"""`workbench export gguf`: one file for llama.cpp and Ollama, checked by loading it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.export import gguf_request
from workbench.export.gguf_request import CERTIFICATE, CONVERTER_VARIABLE, MODELFILE, TYPES
from workbench.files import read_json, user_path
from workbench.text import visible
from workbench.verbs.common import leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench export`."""
    parser = leaf(
        verbs,
        "gguf",
        help="write a model for llama.cpp and Ollama: GGUF and a Modelfile, checked by loading",
        run=_gguf,
        show=show_result(_show),
    )
    parser.add_argument(
        "reference",
        metavar="MODEL",
        help="a merged model's folder; or a run or an adapter, which is merged first",
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="a folder to be made")
    parser.add_argument("--type", choices=TYPES, default="f16", help="of the numbers (default f16)")
    parser.add_argument(
        "--converter",
        default="",
        metavar="PATH",
        help="checkout of llama.cpp, or its convert_hf_to_gguf.py (default: "
        f"${CONVERTER_VARIABLE}; without one, the Llama family alone)",
    )
    parser.add_argument("--base", default="", help="base of an adapter that no run here has made")
    add_detach(parser)


def _gguf(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    target = user_path(args.to).absolute()

    def start() -> Path:
        return gguf_request.start(
            workspace,
            args.reference,
            target,
            type=args.type,
            converter=args.converter,
            base=args.base,
        )

    def result(job: Path) -> dict[str, Any]:
        return {"path": str(target), "check": read_json(target / CERTIFICATE)}

    return do_job(args, start, result)


def _show(result: dict[str, Any]) -> None:
    found = result["check"]
    print(visible(f"in {result['path']}: model.gguf ({found['type']}), {MODELFILE}"))
    print(
        f"loaded again with {found['checked_with']}: {found['golden_tokens']} tokens of the golden "
        "conversation and the chat template are the same; largest logit difference "
        f"{found['largest_logit_difference']:.4f}, mean KL {found['mean_kl_nats']:.2e} nats"
    )
    if not found["ollama_template"]:
        print(f"The chat template can't be put in Go's words: {MODELFILE} leaves it to Ollama.")
    print(visible(f"ollama create NAME -f {result['path']}/{MODELFILE}"))
