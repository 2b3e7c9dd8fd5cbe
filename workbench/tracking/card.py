"""An adapter's model card: README.md of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.files import user_path, write_text
from workbench.tracking import figures, manifest, runs

CARD = "README.md"


def write(run: Path, folder: Path) -> None:
    """Write the card of a run's adapter into `folder`."""
    made = manifest.read(run)
    config = loading.parse(made["config"], origin="The manifest's config")
    parts = (_front(made), _head(made, config), _training(config), _results(run), _use(made))
    write_text(folder / CARD, "\n".join("\n".join(part) + "\n" for part in parts))


def _front(made: dict[str, Any]) -> Iterator[str]:
    """What the hub reads of a card."""
    yield "---"
    yield "library_name: peft"
    if (hub := _hub_name(made["base"])) is not None:
        yield f"base_model: {hub}"
    yield "tags: [lora]"
    yield "---"


def _head(made: dict[str, Any], config: RunConfig) -> Iterator[str]:
    base, dataset = made["base"], made["dataset"]
    yield f"# {made['run']}: a LoRA adapter of {_title(base)}"
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
        yield f"- Trained on the base held in 4 bits ({config.model.quantization})."
    yield f"- Made with workbench {made['workbench']}."


def _training(config: RunConfig) -> Iterator[str]:
    training = config.training
    rows = training.batch_size * training.accumulation
    yield "## Training"
    yield ""
    yield f"- rank {config.lora.rank}, alpha {config.lora.alpha}, dropout {config.lora.dropout}"
    yield f"- modules: {config.lora.target_modules}"
    yield f"- {training.optimizer}, learning rate {training.learning_rate:g}, {training.schedule},"
    yield f"  warm-up {training.warmup_ratio:g}, weight decay {training.weight_decay:g}"
    yield f"- {rows} rows a step, {config.data.max_length} tokens a row at most"
    yield f"- seed {training.seed}"
    yield "- loss over the responses' tokens alone"


def _results(run: Path) -> Iterator[str]:
    yield "## Results"
    yield ""
    yield from figures.course(run)
    if runs.newest_evaluation(run) is not None:
        yield ""
        yield from figures.scores(run)


def _use(made: dict[str, Any]) -> Iterator[str]:
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
    yield 'model = PeftModel.from_pretrained(base, "THIS FOLDER")'
    yield 'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")'
    yield "```"
    yield ""
    yield "The tokenizer's chat template is the one that it was trained with."


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
