"""What a base model's files say of it without its being loaded: names, shapes, number formats.

`config.json`, and of each safetensors file its header alone: 8 bytes with the header's length,
little end first, then that much JSON (the format's own README: huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object

LENGTH = 8
"""Bytes at the beginning of a safetensors file: how long its header is, little end first."""
LONGEST_HEADER = 100 << 20
"""Bytes, the format's own bound."""
_EMBEDDINGS = re.compile(r"(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)")
_POSITIONS = re.compile(r"wpe|embed_positions|position_embeddings?")
_HEAD = re.compile(r"(.*\.)?(lm_head|embed_out)\.weight")
_EXPERT = re.compile(r"(?P<around>.*\bexperts)\.(\d+\.)?(?P<own>\w+)(\.\w+)?")
_ROUTER = re.compile(r"(.*\.)?(gate|router|router\.layer)")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk", "moe_k")
_NO_WEIGHTS = re.compile(r"(.*\.)?(inv_freq|masked_bias|attn\.bias|rotary_emb\.\w+)")
"""Buffers that old files hold, and that are computed today."""
_BESIDE_TEXT = re.compile(r"vision|visual|image|audio|multi_modal|multimodal|(^|\.)mm_")
_LAYER = re.compile(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of a base."""

    name: str
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def module(self) -> str:
        """The full name of the module that has it."""
        return self.name.rpartition(".")[0]

    @property
    def own(self) -> str:
        """That module's own name."""
        return self.module.rpartition(".")[2]

    @property
    def layer(self) -> int | None:
        """The decoder layer that it is in, from 0; None outside of them."""
        return _layer_of(self.name)


# Asked of each of some thousand tensors several times a key in a form: by name, once.
@cache
def _layer_of(name: str) -> int | None:
    found = _LAYER.match(name)
    return int(found[1]) if found else None


@cache
def _is_beside_text(name: str) -> bool:
    return _BESIDE_TEXT.search(name) is not None


@dataclass(frozen=True)
class BaseFacts:
    """A causal language model by its files."""

    weights: tuple[Weight, ...]
    """Each tensor that is loaded; a head that has the weights of the embeddings is none."""
    config: dict[str, Any]
    """The text part of `config.json`."""
    tied: bool
    """Whether head and embeddings have the same weights."""

    @classmethod
    def of(cls, folder: Path) -> BaseFacts:
        """Of the model in `folder`; reads its config.json and some KB of each weights' file.

        Raises WorkbenchError when one of these is missing or is none, and as `from_shapes`.
        """
        path = folder / "config.json"
        if not path.exists():
            raise WorkbenchError(
                f"{folder} has no config.json, so its memory can't be forecast.",
                "Name the folder that `save_pretrained` wrote.",
            )
        return cls.from_shapes(read_json_object(path), _shapes(folder), str(folder))

    @classmethod
    def from_shapes(
        cls, body: dict[str, Any], shapes: Iterable[tuple[str, Sequence[int]]], origin: str
    ) -> BaseFacts:
        """Of a config.json's content, and of the name and shape of each tensor in the weights'
        files; `origin` says whose they are.

        Raises WorkbenchError where there is no tensor, and for a base that was saved quantised,
        which no run starts from.
        """
        if "quantization_config" in body:
            raise WorkbenchError(
                f"The base in {origin} was saved quantised.",
                "Name the model that it was made from, with model.quantization: nf4.",
            )
        inner = body.get("text_config")
        config = {**body, **inner} if isinstance(inner, dict) else body
        weights = [
            Weight(name, tuple(shape)) for name, shape in shapes if not _NO_WEIGHTS.fullmatch(name)
        ]
        if not weights:
            raise WorkbenchError(
                f"{origin} has no weights in safetensors, so its memory can't be forecast.",
                "Weights in pickle files (*.bin) are not loaded; save them again with "
                "save_pretrained.",
            )
        has_head = any(_HEAD.fullmatch(weight.name) for weight in weights)
        said = body.get("tie_word_embeddings", config.get("tie_word_embeddings"))
        tied = not has_head or said is True
        facts = cls(
            tuple(w for w in weights if not (tied and _HEAD.fullmatch(w.name))), config, tied
        )
        # Layers behind the last, as DeepSeek's for several tokens at once, are not loaded.
        known = tuple(w for w in facts.weights if w.layer is None or w.layer < facts.layers)
        return cls(known, config, tied)

    @property
    def parameters(self) -> int:
        return sum(weight.numel for weight in self.weights)

    @cached_property
    def layers(self) -> int:
        """Decoder layers."""
        return self._number("num_hidden_layers", "n_layer", "num_layers") or 1 + max(
            (w.layer for w in self.weights if w.layer is not None), default=0
        )

    @cached_property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return self._number("hidden_size", "n_embd", "d_model") or self.embeddings.shape[1]

    @cached_property
    def heads(self) -> int:
        """Attention heads of a query."""
        return self._number("num_attention_heads", "n_head", "n_heads") or 1

    @property
    def vocabulary(self) -> int:
        """Rows of the embeddings."""
        return self.embeddings.shape[0]

    @property
    def context(self) -> int | None:
        """Tokens that it was made for; None where config.json doesn't say."""
        return self._number("max_position_embeddings", "n_positions")

    @property
    def window(self) -> int | None:
        """Tokens of the sliding window of its layers; None where they see all."""
        if self.config.get("use_sliding_window") is False:
            return None
        return self._number("sliding_window")

    @property
    def attention_dropout(self) -> bool:
        """Whether attention weights are dropped in training."""
        return bool(self.config.get("attention_dropout") or self.config.get("attn_pdrop"))

    @property
    def family(self) -> str:
        """Its `model_type`; empty where config.json doesn't say."""
        return str(self.config.get("model_type") or "")

    @cached_property
    def experts(self) -> int:
        """Experts of a layer; 0 for a dense model."""
        return self._number(*_EXPERTS) or 0

    @property
    def experts_per_token(self) -> int:
        return self._number(*_CHOSEN) or 0

    @cached_property
    def embeddings(self) -> Weight:
        """The table of the tokens' embeddings. Raises WorkbenchError where none is known."""
        for weight in self.weights:
            if len(weight.shape) == 2 and _EMBEDDINGS.search(weight.name):
                return weight
        raise WorkbenchError("None of the base's weights has the name of a table of embeddings.")

    @cached_property
    def head(self) -> Weight | None:
        """The output layer's weight; None where it is that of the embeddings."""
        return next((w for w in self.weights if _HEAD.fullmatch(w.name)), None)

    @cached_property
    def linear(self) -> tuple[Weight, ...]:
        """The weights of linear layers but the head: out × in numbers each, GPT-2's in × out.

        Experts and routers are none: transformers 5 holds a layer's experts in two tensors, which
        bitsandbytes doesn't quantise.
        """
        return tuple(w for w in self.weights if self._is_linear(w))

    @cached_property
    def linear_names(self) -> frozenset[str]:
        """The names of `linear`."""
        return frozenset(weight.name for weight in self.linear)

    def is_expert(self, weight: Weight) -> bool:
        """Whether a tensor is of experts that a router chooses from."""
        return self.experts > 0 and _EXPERT.fullmatch(weight.name) is not None

    def is_router(self, weight: Weight) -> bool:
        """Whether it is what chooses experts, and no linear layer of the loaded model."""
        return (
            self.experts > 0
            and _ROUTER.fullmatch(weight.module) is not None
            and weight.shape[0] == self.experts
        )

    def expert_width(self, layer: int) -> int:
        """Numbers inside an expert of a decoder layer; 0 where it has none."""
        return self._expert_widths.get(layer, 0)

    @cached_property
    def _expert_widths(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for weight in self.weights:
            if weight.layer is not None and len(weight.shape) > 1 and self.is_expert(weight):
                inside = next((n for n in weight.shape[-2:] if n != self.width), self.width)
                found[weight.layer] = min(found.get(weight.layer, inside), inside)
        return found

    def expert_modules(self, name: str) -> set[str]:
        """What `name` beside each layer's experts, or among them, would be in full."""
        return {
            f"{place}.{name}"
            for weight in self.weights
            if self.is_expert(weight) and (found := _EXPERT.fullmatch(weight.name))
            for place in (found["around"], found["around"].rpartition(".")[0])
        }

    def beside_text(self, weight: Weight) -> bool:
        """Whether no text passes through it: towers for images or sound, and what joins them."""
        return _is_beside_text(weight.name)

    def loaded(self) -> tuple[Weight, ...]:
        """The tensors as the loaded model has them: a layer's experts in two, gate and up as one.

        Only their number differs from `weights`, which an optimiser's counters go by.
        """
        joined: dict[str, int] = {}
        rest: list[Weight] = []
        for weight in self.weights:
            if self.is_expert(weight):
                found = _EXPERT.fullmatch(weight.name)
                own = found["own"] if found else ""
                kind = "down_proj" if own in ("down_proj", "w2") else "gate_up_proj"
                name = f"{found['around'] if found else ''}.{kind}"
                joined[name] = joined.get(name, 0) + weight.numel
            else:
                rest.append(weight)
        return (*rest, *(Weight(name, (numel,)) for name, numel in joined.items()))

    def to_json(self) -> dict[str, Any]:
        return {
            "parameters": self.parameters,
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "vocabulary": self.vocabulary,
            "context": self.context,
            "window": self.window,
            "experts": self.experts,
            "tied": self.tied,
            "weights": [asdict(weight) for weight in self.weights],
        }

    def _is_linear(self, weight: Weight) -> bool:
        if len(weight.shape) != 2 or not weight.name.endswith(".weight"):
            return False
        if weight is self.embeddings or weight is self.head or _POSITIONS.search(weight.name):
            return False
        return not self.is_router(weight) and not self.is_expert(weight)

    def _number(self, *names: str) -> int | None:
        values = (self.config.get(name) for name in names)
        return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)


def is_weights(name: str) -> bool:
    """Whether a file of that name holds weights that are loaded: some families have all of theirs
    twice."""
    return name.endswith(".safetensors") and not name.startswith("consolidated")


def shapes_of(header: bytes) -> list[tuple[str, list[int]]]:
    """Name and shape of each tensor by a safetensors file's header, the JSON behind its length.

    Raises ValueError when it is none.
    """
    body = json.loads(header)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    found: list[tuple[str, list[int]]] = []
    for name, about in body.items():
        if name == "__metadata__":
            continue
        if not isinstance(about, dict) or not is_shape(about.get("shape")):
            raise ValueError(f"no shape of {name}")
        found.append((name, about["shape"]))
    return found


def is_shape(value: Any) -> bool:
    """Whether it is a list of sizes."""
    return isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value
    )


def _shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    for path in sorted(folder.glob("*.safetensors")):
        if is_weights(path.name):
            yield from _shapes_in(path)


def _shapes_in(path: Path) -> list[tuple[str, list[int]]]:
    broken = WorkbenchError(
        f"{path} has no header of safetensors.", "Copy or download it again, whole."
    )
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(LENGTH), "little")
            if not 0 < length <= LONGEST_HEADER:
                raise broken
            return shapes_of(stream.read(length))
    except OSError as error:
        raise WorkbenchError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise broken from error
