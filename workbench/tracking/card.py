"""The model card of an adapter, a merged or a whole model: README.md of its folder.

What a stranger asks of it: made of what, on which rows, how, how well and with what doubt, judged
by whom, under which licences, and how to make it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench import base_models, default_model
from workbench.config import loading
from workbench.config.lora import Lora
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.data import data_card, versions
from workbench.errors import WorkbenchError
from workbench.files import user_path, write_text
from workbench.text import visible
from workbench.tracking import figures, manifest
from workbench.workspace import Workspace

CARD = "README.md"
_TASKS = 12
"""Names of tasks that are shown."""
_TEMPLATE = "The tokenizer's chat template is the one that it was trained with."


def write(run: Path, folder: Path, merged: dict[str, Any] | None = None) -> None:
    """Write the card of what a run has made into `folder`; of its adapter merged into the base,
    where `merged` is the certificate of that."""
    made = manifest.read(run)
    config = loading.parse(made["config"], origin="The manifest's config")
    whole = _is_whole(config) or merged is not None
    parts = (
        _front(made, config, whole=whole),
        _head(made, config, merged=merged is not None),
        _data(run, made),
        _training(config),
        _results(run),
        merge_section(merged) if merged is not None else iter(()),
        _review(run),
        _licences(run, made),
        _repeat(made),
        _use_model() if whole else _use_adapter(made, config),
    )
    texts = ("\n".join(part) for part in parts)
    write_text(folder / CARD, "\n".join(f"{text}\n" for text in texts if text))


def merge_section(merged: dict[str, Any]) -> Iterator[str]:
    """How near a merged model is to base plus adapter, by its certificate."""
    yield "## Merge"
    yield ""
    yield f"{merged['precision']}"
    yield ""
    yield f"Compared on {merged['prompts']} rows of {merged['compared_on']}, computed in"
    yield f"{merged['computed_in']} ({merged['how']}):"
    yield ""
    yield "| | base plus adapter | as trained, on the quantised base |"
    yield "|---|---|---|"
    other = merged.get("against_quantized") or {}
    for title, name, form in _MERGE_ROWS:
        cells = [format(found[name], form) if name in found else "–" for found in (merged, other)]
        yield f"| {title} | {cells[0]} | {cells[1]} |"
    yield f"| answers that changed | {_answers(merged)} | {_answers(other)} |"
    yield ""
    yield f"The adapter itself moves the base by {merged['adapter_moves_kl_nats']:.2e} nats."
    if not merged["within_bounds"]:
        yield "It is beyond the bounds that a merge has to keep, and was kept all the same."


_MERGE_ROWS = (
    ("positions", "positions", "d"),
    ("largest logit difference", "largest_logit_difference", ".4f"),
    ("mean KL divergence, nats", "mean_kl_nats", ".2e"),
    ("same most likely token", "same_top_token", ".1%"),
)


def _answers(found: dict[str, Any]) -> str:
    return f"{found['changed_outputs']} of {found['outputs']}" if found.get("outputs") else "–"


def _is_whole(config: RunConfig) -> bool:
    return config.training.method == "full"


def _front(made: dict[str, Any], config: RunConfig, *, whole: bool) -> Iterator[str]:
    """What the hub reads of a card."""
    yield "---"
    yield f"library_name: {'transformers' if whole else 'peft'}"
    if (hub := _hub_name(made["base"])) is not None:
        yield f"base_model: {hub}"
        if not _is_whole(config):
            yield f"base_model_relation: {'finetune' if whole else 'adapter'}"
    if made["base"]["name"] == base_models.DEFAULT:
        yield f"license: {default_model.LICENCE.lower()}"
    yield "pipeline_tag: text-generation"
    if not _is_whole(config):
        yield "tags: [lora]"
    yield "---"


def _head(made: dict[str, Any], config: RunConfig, *, merged: bool) -> Iterator[str]:
    base, dataset = made["base"], made["dataset"]
    kind = "all weights tuned" if _is_whole(config) else "a LoRA adapter"
    if merged:
        kind = "a LoRA adapter merged into the weights"
    yield f"# {made['run']}: {kind} of {_title(base)}"
    yield ""
    yield f"- Base: {_title(base)}" + _at(base)
    if base["name"] == base_models.DEFAULT:
        yield "  The weights were unpacked from a 4-bit GGUF file (Q4_1), so they are near"
        yield f"  {default_model.HUB_NAME}'s and not the same."
    for name, digest in base.get("files", {}).items():
        if name.endswith(".safetensors"):
            yield f"  - {name}: SHA-256 {digest}"
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


def _data(run: Path, made: dict[str, Any]) -> Iterator[str]:
    """The data card in short; where the version is gone, what the manifest has."""
    dataset = made["dataset"]
    yield "## Data"
    yield ""
    yield f"- {dataset['name']}@{dataset['version']}: {dataset['rows']} rows"
    facts = _facts(run, dataset)
    if facts is None:
        yield "- Its data card isn't here any more."
        return
    splits = ", ".join(f"{name} {rows}" for name, rows in facts["splits"].items())
    yield f"- Splits: {splits}"
    tasks = [visible(str(task), one_line=True) for task in facts["tasks"]]
    if len(tasks) > 1:
        more = " and others" if tasks[_TASKS:] else ""
        yield f"- Tasks: {', '.join(tasks[:_TASKS])}{more}"
    yield f"- {facts['removed']} rows were removed, each with its reason in the version's folder."
    yield f"- Licences declared of its sources: {', '.join(facts['licences']) or 'none'}"


def _facts(run: Path, dataset: dict[str, Any]) -> dict[str, Any] | None:
    with suppress(WorkbenchError, OSError, KeyError):
        reference = f"{dataset['name']}@{dataset['version']}"
        return data_card.facts(versions.resolve(Workspace(run.parent.parent), reference))
    return None


def _review(run: Path) -> Iterator[str]:
    # A review's modules take a while to import, and at the end of a training there is none.
    from workbench.review import sessions
    from workbench.review.wording import report_lines

    yield "## Human review"
    yield ""
    found = sessions.of_run(Workspace(run.parent.parent), run)
    if not found:
        yield "No person has judged it."
    for session in found:
        yield f"Blind review session {session.name}:"
        yield ""
        for line in report_lines(session.report().to_json()):
            if line.strip():
                yield f"- {line}"


def _licences(run: Path, made: dict[str, Any]) -> Iterator[str]:
    yield "## Licences"
    yield ""
    yield f"- Licence of the base: {_licence(made['base'])}"
    facts = _facts(run, made["dataset"])
    if facts is not None:
        yield f"- Of the data, as declared: {', '.join(facts['licences']) or 'nothing'}"
    yield "- What was made of both is bound by both; whoever passes it on has to see to that."


def _repeat(made: dict[str, Any]) -> Iterator[str]:
    yield "## How to repeat it"
    yield ""
    yield "The config, the hash of each file of base and data, the seeds and the packages are in"
    yield "`workbench-manifest.json`. With the same base and dataset version at hand, save its"
    yield "`config` as `config.yaml`, then:"
    yield ""
    yield "    workbench train config.yaml"
    yield ""
    yield f"Its seed is {made['config']['training']['seed']}."


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


def base_name(base: dict[str, Any]) -> str:
    """The base's name on the hub; of a local folder the last part."""
    return _hub_name(base) or _title(base)


def _title(base: dict[str, Any]) -> str:
    """The base's name; of a local folder the last part, since the rest tells nobody a thing."""
    if base["name"] == base_models.DEFAULT:
        return default_model.TITLE
    return base["name"] if base.get("revision") else user_path(base["name"]).name


def _hub_name(base: dict[str, Any]) -> str | None:
    if base["name"] == base_models.DEFAULT:
        return default_model.HUB_NAME
    return base["name"] if base.get("revision") else None


def _at(base: dict[str, Any]) -> str:
    return f" at commit {base['revision']}" if base.get("revision") else ""


def _licence(base: dict[str, Any]) -> str:
    if base["name"] == base_models.DEFAULT:
        return default_model.LICENCE
    where = "its page on the hub" if base.get("revision") else "its folder"
    return f"not known to workbench; see {where}"
