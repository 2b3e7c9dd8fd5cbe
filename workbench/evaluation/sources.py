"""What is compared in an evaluation, and where each of it is on disk. Plain Python."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation.request import BASE, ENGINES, TUNED, Request, result
from workbench.files import user_path
from workbench.tracking import finding, inputs, runs
from workbench.workspace import Workspace

CODE = 1
"""Of the code that makes answers; raised whenever it would give other ones, so that none of an
earlier file counts any more."""
_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "vllm")


@dataclass(frozen=True, slots=True)
class Source:
    """A system: a whole model, or one with an adapter."""

    name: str
    model: Path
    adapter: Path | None = None
    whole: bool = False
    """It is loaded as it is, never quantised: what a run that trained all weights has made, and a
    merged model."""


def of(run: Path, request: Request) -> list[Source]:
    """The systems of an evaluation, as `systems` has them.

    Raises WorkbenchError as that does, and for an engine that isn't here or can't do it.
    """
    request.sampling  # noqa: B018 - it says what can't be
    found = systems(run, request.runs, request.models)
    workspace = Workspace(run.parent.parent)
    others = (finding.find(workspace, name) for name in request.runs)
    _check_engine(request.engine, [runs.load_config(one) for one in (run, *others)])
    return found


def systems(run: Path, others: Sequence[str], models: Sequence[str]) -> list[Source]:
    """The base of `run` and what it has made of it, what other runs have, by their ids, and whole
    models in folders; those of one base one after another.

    Of one run they are called `base` and `adapter` (or `tuned`), of several by the runs' ids, and
    a whole model by its folder's name. Raises WorkbenchError for a run that has made nothing yet
    or is of another base, for a folder that holds no model or one with other tokens, and for two
    of one name.
    """
    folder = inputs.base_folder(run)
    found = [Source(BASE, folder), _of_run(run, folder, alone=not others)]
    workspace = Workspace(run.parent.parent)
    for name in others:
        other = finding.find(workspace, name)
        _check_alike(run, other)
        found.append(_of_run(other, folder, alone=False))
    template = inputs.load_template(run) if models else None
    for text in models:
        path = user_path(text).absolute()
        base_models.check_folder(path)
        if template and ChatTemplate.load(path).fingerprint() != template.fingerprint():
            raise WorkbenchError(
                f"The model in {path} has another tokenizer or chat template than {run.name}: "
                "the two would not be asked the same.",
                "Name a model that was merged from this base.",
            )
        found.append(Source(path.name, path, whole=True))
    names = [source.name for source in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WorkbenchError(
            f"Two systems are called {twice[0]}: nobody could tell their answers apart.",
            "Name each run once, and rename the folder of a model.",
        )
    return sorted(found, key=lambda source: source.whole)


def identity(
    source: Source,
    files: Callable[[Path], dict[str, str]],
    config: RunConfig,
    template: ChatTemplate,
    request: Request,
    where: dict[str, str],
) -> dict[str, Any]:
    """All that decides a system's answer to given tokens: a file of answers is known by it.

    `files` gives the hashes of a model's folder, `where` says the device's kind and the number
    format.
    """
    sampling = request.sampling
    how: dict[str, Any] = {"max_new_tokens": sampling.max_new_tokens}
    if not sampling.greedy:
        names = ("temperature", "top_p", "top_k", "seed")
        how.update({name: getattr(sampling, name) for name in names})
    versions = packages(*_PACKAGES)
    return {
        **weights(source, files, config),
        "template": template.encoding_key(),
        "stops": sorted(template.stop_ids),
        "sampling": how,
        "engine": request.engine,
        "where": where,
        "packages": versions if request.engine == "vllm" else {**versions, "vllm": None},
        "code": CODE,
    }


def weights(
    source: Source, files: Callable[[Path], dict[str, str]], config: RunConfig
) -> dict[str, Any]:
    """What a system is; `files` gives the hashes of a model's folder."""
    how = config.model.model_dump(mode="json", exclude={"base"})
    return {
        "model": files(source.model),
        "adapter": files(source.adapter) if source.adapter else None,
        "loaded": "whole" if source.whole else how,
    }


def packages(*names: str) -> dict[str, str | None]:
    """The versions of installed packages; None for one that isn't."""
    return {name: _version(name) for name in names}


def _of_run(run: Path, base: Path, *, alone: bool) -> Source:
    made = result(run)
    adapter = made.name == finding.ADAPTER
    own = finding.ADAPTER if adapter else TUNED
    name = own if alone else run.name
    return Source(name, base, made) if adapter else Source(name, made, whole=True)


def _check_alike(run: Path, other: Path) -> None:
    """Raises WorkbenchError where two runs' adapters can't be on one base."""
    if inputs.base_folder(run) != inputs.base_folder(other):
        raise WorkbenchError(
            f"{other.name} is of another base model than {run.name}.",
            "Evaluate it by itself; the figures of both are of their own held-out rows.",
        )
    mine, others = runs.load_config(run).model, runs.load_config(other).model
    fields = type(mine).model_fields
    differing = [f for f in fields if f != "base" and getattr(mine, f) != getattr(others, f)]
    if differing:
        raise WorkbenchError(
            f"{other.name} has its base in another way than {run.name}: "
            f"model.{', model.'.join(differing)} differ.",
            "Evaluate it by itself.",
        )


def _check_engine(engine: str, configs: Sequence[RunConfig]) -> None:
    if engine not in ENGINES:
        raise WorkbenchError(f"There is no engine {engine}.", f"Choose {' or '.join(ENGINES)}.")
    if engine != "vllm":
        return
    other = "Leave --engine out: transformers makes the same answers, slower."
    if find_spec("vllm") is None:
        raise WorkbenchError(
            "vLLM is not installed.",
            f"On a machine with a GPU: pip install 'finetune-workbench[vllm]'. {other}",
        )
    unknown = [
        name
        for config in configs
        for name, there in (
            ("model.quantization", config.model.quantization != "none"),
            ("model.new_tokens", bool(config.model.new_tokens)),
            ("lora.dora", config.lora.dora),
            ("lora.modules_to_save", bool(config.lora.modules_to_save)),
        )
        if there
    ]
    if unknown:
        raise WorkbenchError(f"vLLM can't load this run's model: it has {unknown[0]}.", other)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
