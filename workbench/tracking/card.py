"""The model card of an adapter, or of a whole model: README.md of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config import loading
from workbench.config.lora import Lora
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.files import user_path, write_text
from workbench.tracking import figures, manifest

CARD = "README.md"
_TEMPLATE = "The tokenizer's chat template is the one that it was trained with."


def write(run: Path, folder: Path) -> None:
    """Write the card of what a run has made into `folder`."""
    made = manifest.read(run)
    config = loading.parse(made["config"], origin="The manifest's config")
    use = _use_model() if _is_whole(config) else _use_adapter(made, config)
    parts = (_front(made, config), _head(made, config), _training(config), _results(run), use)
    write_text(folder / CARD, "\n".join("\n".join(part) + "\n" for part in parts))


def _is_whole(config: RunConfig) -> bool:
    return config.training.method == "full"


def _front(made: dict[str, Any], config: RunConfig) -> Iterator[str]:
    """What the hub reads of a card."""
    yield "---"
    yield f"library_name: {'transformers' if _is_whole(config) else 'peft'}"
    if (hub := _hub_name(made["base"])) is not None:
        yield f"base_model: {hub}"
    if not _is_whole(config):
        yield "tags: [lora]"
    yield "---"


def _head(made: dict[str, Any], config: RunConfig) -> Iterator[str]:
    base, dataset = made["base"], made["dataset"]
    kind = "all weights tuned" if _is_whole(config) else "a LoRA adapter"
    yield f"# {made['run']}: {kind} of {_title(base)}"
    yield ""
    yield f"- Base: {_title(base)}" + _at(base)
    if base["name"] == base_models.DEFAULT:
        yield "  The weights were unpacked from a 4-bit GGUF file (Q4_1), so they are near"
        yield f"  {base_models.DEFAULT_HUB_NAME}'s and not the same."
    for name, digest in base.get("files", {}).items():
        if name.endswith(".safetensors"):
            yield f"  - {name}: SHA-256 {digest}"
    yield f"- Licence of the base: {_licence(base)}"
    yield f"- Dataset: {dataset['name']}@{dataset['version']}, {dataset['rows']} rows,"
    yield f"  SHA-256 {dataset['sha256']}"
    if config.model.quantization != "none":
        bits = 8 if config.model.quantization == "int8" else 4
        yield f"- Trained on the base held in {bits} bits ({config.model.quantization})."
    if config.model.new_tokens:
        yield f"- New tokens: {', '.join(f'`{token}`' for token in config.model.new_tokens)}"
    yield f"- Made with workbench {made['workbench']}."


def _training(config: RunConfig) -> Iterator[str]:
    training = config.training
    step = StepSize.of(training).in_words()
    yield "## Training"
    yield ""
    if not _is_whole(config):
        yield from _adapter(config.lora)
    warmup = f"{training.warmup_ratio:g}"
    if training.warmup_steps is not None:
        warmup = f"{training.warmup_steps} steps"
    yield f"- {training.optimizer}, learning rate {training.learning_rate:g}, {training.schedule},"
    yield f"  warm-up {warmup}, weight decay {training.weight_decay:g}"
    if training.neftune_alpha:
        yield f"- NEFTune, alpha {training.neftune_alpha:g}"
    yield f"- {step}, {config.data.max_length} tokens a row at most"
    yield f"- seed {training.seed}"
    yield "- loss over the responses' tokens alone"


def _adapter(lora: Lora) -> Iterator[str]:
    yield f"- rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout}"
    yield f"- modules: {lora.target_modules}"
    named = (("rsLoRA", lora.rslora), ("DoRA", lora.dora))
    kinds = [name for name, wanted in named if wanted]
    if lora.plus_ratio != 1:
        kinds.append(f"LoRA+ with B {lora.plus_ratio:g} times as fast")
    if lora.initialisation != "default":
        kinds.append(f"initialisation {lora.initialisation}")
    if kinds:
        yield f"- {', '.join(kinds)}"
    if lora.modules_to_save:
        yield f"- trained whole beside it: {', '.join(lora.modules_to_save)}"


def _results(run: Path) -> Iterator[str]:
    yield "## Results"
    yield ""
    yield from figures.course(run)
    if figures.measured(run):
        yield ""
        yield from figures.scores(run)


def _use_model() -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "```python"
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    yield 'model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")'
    yield 'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")'
    yield "```"
    yield ""
    yield _TEMPLATE


def _use_adapter(made: dict[str, Any], config: RunConfig) -> Iterator[str]:
    base = made["base"]
    where = f'"{base["name"]}"' if base.get("revision") else '"FOLDER OF THE BASE"'
    revision = f', revision="{base["revision"]}"' if base.get("revision") else ""
    yield "## Use"
    yield ""
    yield "```python"
    yield "from peft import PeftModel"
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    yield f"base = AutoModelForCausalLM.from_pretrained({where}{revision})"
    yield 'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")'
    if config.model.new_tokens:
        # Some bases have rows to spare, and a smaller table would not take the adapter.
        yield "rows = base.get_input_embeddings().num_embeddings"
        yield "base.resize_token_embeddings(max(rows, len(tokenizer)))"
    yield 'model = PeftModel.from_pretrained(base, "THIS FOLDER")'
    yield "```"
    yield ""
    yield _TEMPLATE


def _title(base: dict[str, Any]) -> str:
    """The base's name; of a local folder the last part, since the rest tells nobody a thing."""
    if base["name"] == base_models.DEFAULT:
        return base_models.DEFAULT_TITLE
    return base["name"] if base.get("revision") else user_path(base["name"]).name


def _hub_name(base: dict[str, Any]) -> str | None:
    if base["name"] == base_models.DEFAULT:
        return base_models.DEFAULT_HUB_NAME
    return base["name"] if base.get("revision") else None


def _at(base: dict[str, Any]) -> str:
    return f" at commit {base['revision']}" if base.get("revision") else ""


def _licence(base: dict[str, Any]) -> str:
    if base["name"] == base_models.DEFAULT:
        return base_models.DEFAULT_LICENCE
    where = "its page on the hub" if base.get("revision") else "its folder"
    return f"not known to workbench; see {where}"
