"""An adapter merged into its base tensor by tensor: the whole model is never in memory.

The base's files are mapped into memory and written anew, one tensor after another, in the same
files and the same order; a tensor that the adapter changes is changed on its way. What is done to
it is what PEFT's `merge_and_unload` does, operation by operation, so that the two give the same
bits: W + s B A, and for DoRA (Liu et al. 2024, arXiv 2402.09353) m (W + s B A) / ||W + s B A||,
norms by rows of the output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.adapters import checks
from workbench.adapters.files import WEIGHTS, Adapter, read_header
from workbench.errors import WorkbenchError
from workbench.files import copy_if_there, write_json
from workbench.jobs.progress import Tell
from workbench.training import embeddings

_FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_FLOATS = ("F64", "F32", "F16", "BF16")
_PREFIX = "base_model.model."
_INDEX = "model.safetensors.index.json"
_NEW_ROWS = ".token_adapter.trainable_tokens_delta"
_PASSED_OVER = (
    "target_parameters",
    "lora_bias",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
)
"""Of PEFT's settings of LoRA, what is not done here."""

Change = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class _Plan:
    """What becomes of the base's tensors."""

    changes: dict[str, list[Change]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of embeddings that get more."""
    own_head: tuple[str, str] | None = None
    """A head that gets weights of its own: its tensor's name, and that of the embeddings."""


def refusal(adapter: Adapter, base: Path) -> str | None:
    """Why the adapter can't be merged tensor by tensor; None where it can."""
    config = adapter.config
    if config.get("peft_type") != "LORA":
        return f"it is a {config.get('peft_type')}, not a LoRA"
    if config.get("bias") not in (None, "none"):
        return "it changes biases"
    if used := [name for name in _PASSED_OVER if config.get(name)]:
        return f"it uses {used[0]}"
    if any("lora_embedding_A" in name for name in adapter.tensors) and config.get("use_dora"):
        return "it is a DoRA on the embeddings"
    known = checks.tensors_of(base)
    _, head = _ends(base)
    strange = [
        module
        for module in adapter.modules
        if checks.name_in(known, module) is None and module != head
    ]
    return f"the base's files know no {strange[0]}" if strange else None


def merge(adapter: Adapter, base: Path, folder: Path, dtype: torch.dtype, tell: Tell) -> None:
    """Write the base of the folder `base` with the adapter merged into it to `folder`, its weights
    in `dtype`, with config.json and generation_config.json.

    Raises WorkbenchError where the adapter holds what is not a number.
    """
    known = checks.tensors_of(base)
    with safe_open(adapter.folder / WEIGHTS, "pt") as weights:
        stored = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    parts = {name.removeprefix(_PREFIX): tensor for name, tensor in stored.items()}
    plan = _plan(adapter, parts, base, known)
    files = checks.weights_files(base)
    total = sum(path.stat().st_size for path in files)
    weight_map: dict[str, str] = {}
    size = done = 0
    for path in files:
        last = path == files[-1]
        size += _write(path, folder / path.name, plan, dtype, weight_map, last, tell, done, total)
        done += path.stat().st_size
    tell("merging", total, total, "bytes")
    if len(files) > 1:
        body = {"metadata": {"total_size": size}, "weight_map": weight_map}
        write_json(folder / _INDEX, body)
    _write_config(base, folder, plan, dtype)


def _plan(adapter: Adapter, parts: dict[str, Tensor], base: Path, known: dict[str, Any]) -> _Plan:
    plan = _Plan()
    embed, head = _ends(base)
    embed_name = checks.name_in(known, embed)
    tied = _is_tied(base, known, head)

    def tensor_name(module: str, end: str = ".weight") -> str:
        found = checks.name_in(known, module, end)
        if module == head and tied:
            found = None
        if found is None and module == head and embed_name is not None:
            # It has the weights of the embeddings, and is to have its own.
            plan.own_head = (f"{head}.weight", embed_name)
            return f"{head}.weight"
        if found is None:
            raise WorkbenchError(f"The base's files have no {module}{end}.")
        return found

    for module in adapter.modules:
        if tied and module == embed:
            tensor_name(head)  # what stays as it was is the head's from now on
        change = _low_rank(adapter.config, module, parts)
        plan.changes.setdefault(tensor_name(module), []).append(change)
    for name, tensor in parts.items():
        if ".lora_" in name:
            continue
        if name.endswith(_NEW_ROWS):
            module = name.removesuffix(_NEW_ROWS)
            found, ids = tensor_name(module), _ids(adapter.config, module)
            plan.rows[found] = max(known[found].shape[0], max(ids) + 1)
            plan.changes.setdefault(found, []).append(partial(_with_rows, tensor, ids))
            continue
        module, _, end = name.rpartition(".")
        # PEFT saves the base's own weights of embeddings and head where an adapter is on them.
        module = module.removesuffix(".base_layer")
        copied = _is_trained_whole(adapter.config, module)
        tying = adapter.config.get("ensure_weight_tying") is True
        if module == head and tied and (tying or not copied):
            continue  # it is the embeddings', which are there, too
        if module == embed and tied and copied and not tying:
            tensor_name(head)  # it was trained without it
        found = tensor_name(module, f".{end}")
        if found in (embed_name, f"{head}.weight"):
            plan.rows[found] = tensor.shape[0]
        plan.changes.setdefault(found, []).insert(0, partial(_replaced_by, tensor))
    if plan.own_head is not None and plan.own_head[1] in plan.rows:
        plan.rows.setdefault(plan.own_head[0], plan.rows[plan.own_head[1]])
    return plan


def _is_trained_whole(config: dict[str, Any], module: str) -> bool:
    """Whether it is a copy that was trained, by `modules_to_save`."""
    names = config.get("modules_to_save") or ()
    return any(module == name or module.endswith(f".{name}") for name in names)


def _low_rank(config: dict[str, Any], module: str, parts: dict[str, Tensor]) -> Change:
    # PEFT computes in float32, whatever the adapter is saved in.
    scale = _scale(config, module, parts)
    swapped = config.get("fan_in_fan_out") is True
    if f"{module}.lora_embedding_A" in parts:
        rows, columns = (parts[f"{module}.lora_embedding_{side}"].float() for side in "BA")
        return lambda weight: weight + ((rows @ columns).T * scale).to(weight.dtype)
    a, b = (parts[f"{module}.lora_{side}.weight"].float() for side in "AB")
    magnitude = parts.get(f"{module}.lora_magnitude_vector")

    def change(weight: Tensor) -> Tensor:
        product = b @ a
        delta = (product.T if swapped else product) * scale
        if magnitude is None:
            return weight + delta.to(weight.dtype)
        updated = weight + delta
        norm = torch.linalg.norm(updated.T if swapped else updated, dim=1)
        factor = (magnitude.float() / norm).view(-1, 1)
        changed: Tensor = ((factor.T if swapped else factor) * updated).to(weight.dtype)
        return changed

    return change


def _scale(config: dict[str, Any], module: str, parts: dict[str, Tensor]) -> float:
    """alpha/r, or alpha/sqrt(r) for rsLoRA (Kalajdzievski 2023, arXiv 2312.03732); some layers
    have an alpha and a rank of their own."""

    def own(name: str, usual: float) -> float:
        pattern = config.get(name) or {}
        value: float = pattern.get(get_pattern_key(list(pattern), module), usual)
        return value

    rank, alpha = own("rank_pattern", config["r"]), own("alpha_pattern", config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _with_rows(new: Tensor, ids: list[int], weight: Tensor) -> Tensor:
    changed = weight.clone()
    changed[ids] = new.to(weight.dtype)
    return changed


def _replaced_by(new: Tensor, weight: Tensor) -> Tensor:
    return new.to(weight.dtype)


def _ids(config: dict[str, Any], module: str) -> list[int]:
    """The tokens whose embeddings were trained."""
    indices = config["trainable_token_indices"]
    if isinstance(indices, list):
        return indices
    return next(list(ids) for name, ids in indices.items() if module.endswith(name))


def _write(
    source: Path,
    target: Path,
    plan: _Plan,
    dtype: torch.dtype,
    weight_map: dict[str, str],
    last: bool,
    tell: Tell,
    before: int,
    total: int,
) -> int:
    """Write one file anew; returns the bytes of its tensors."""
    header, _ = read_header(source)
    names = {name: name for name in header}
    if plan.own_head is not None:
        # A copy of it that nobody loads is in some files.
        names.pop(plan.own_head[0], None)
        if last:
            names[plan.own_head[0]] = plan.own_head[1]
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    shapes = _sources_of(plan, source, header)
    end = 0
    for name, origin in names.items():
        about = shapes[origin]
        shape, form = list(about.shape), about.dtype
        if name in plan.rows:
            shape[0] = plan.rows[name]
        if form in _FLOATS:
            form, width = _FORMATS[dtype], dtype.itemsize
            length = math.prod(shape) * width
        else:
            length = about.end - about.begin
        described[name] = {"dtype": form, "shape": shape, "data_offsets": [end, end + length]}
        weight_map[name] = target.name
        end += length
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, origin in names.items():
            tensor = _made(source, name, origin, plan, dtype, described[name])
            stream.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
            tell("merging", min(total, before + stream.tell()), total, "bytes")
    return end


def _sources_of(plan: _Plan, source: Path, header: dict[str, Any]) -> dict[str, Any]:
    if plan.own_head is None or plan.own_head[1] in header:
        return header
    return {**header, plan.own_head[1]: checks.tensors_of(source.parent)[plan.own_head[1]]}


def _made(
    source: Path, name: str, origin: str, plan: _Plan, dtype: torch.dtype, about: dict[str, Any]
) -> Tensor:
    """The tensor `name` as it is to be written, made of the base's tensor `origin`."""
    path = source
    if name != origin:
        path = next(p for p in checks.weights_files(source.parent) if origin in read_header(p)[0])
    with safe_open(path, "pt") as file:
        tensor: Tensor = file.get_tensor(origin)
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.to(dtype)
    rows = plan.rows.get(name, len(tensor) if tensor.ndim else 0)
    if tensor.ndim and rows > len(tensor):
        # Of tokens that nobody trained: what is known of none in particular.
        mean = tensor.float().mean(0, keepdim=True).to(dtype)
        tensor = torch.cat([tensor, mean.expand(rows - len(tensor), *tensor.shape[1:])])
    for change in plan.changes.get(name, ()):
        tensor = change(tensor)
    if name in plan.changes and not torch.isfinite(tensor).all():
        raise WorkbenchError(f"The adapter makes {name} hold what is not a number.")
    if list(tensor.shape) != about["shape"]:
        raise WorkbenchError(f"{name} would have the shape {tuple(tensor.shape)}.")
    return tensor


def _ends(base: Path) -> tuple[str, str]:
    """The full names of embeddings and head."""
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    with init_empty_weights():
        network = AutoModelForCausalLM.from_config(config)
    names = embeddings.end_names(network)
    return names[0], names[-1]


def _is_tied(base: Path, known: dict[str, Any], head: str) -> bool:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    text = config.get_text_config()
    return bool(text.tie_word_embeddings) or checks.name_in(known, head) is None


def _write_config(base: Path, folder: Path, plan: _Plan, dtype: torch.dtype) -> None:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    text = config.get_text_config()
    config.dtype = dtype
    config.use_cache = text.use_cache = True
    if plan.own_head is not None:
        config.tie_word_embeddings = text.tie_word_embeddings = False
    if plan.rows:
        text.vocab_size = max(plan.rows.values())
    config.save_pretrained(folder)
    copy_if_there(base / "generation_config.json", folder)
