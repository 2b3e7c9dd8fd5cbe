"""Starting points by the task: what each changes on top of a base's preset, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench.config.presets.figures import Figure, Note
from workbench.errors import WorkbenchError


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is fine-tuned for."""

    name: str
    title: str
    settings: Mapping[str, Figure]
    data: str
    """The rows that it wants."""
    metric: str
    """What judges it."""
    answer: float
    """How many times the mean answer `evaluation.max_new_tokens` is, where that is known."""
    notes: tuple[Note, ...] = ()
    most_learning_rate: float | None = None
    """A lower rate of the base's preset stays."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "settings": {path: asdict(figure) for path, figure in self.settings.items()},
            "data": self.data,
            "metric": self.metric,
            "notes": [{"text": note.text, "source": note.source} for note in self.notes],
        }


_CHUNKS = "workbench data import FILE --name NAME --cut-tokens N --model BASE"

_ALL = (
    Task(
        "domain-adaptation",
        "domain adaptation: the terms, reasoning and formats of a field",
        {
            "lora.rank": Figure(
                64,
                "new knowledge is of a higher rank than a new format: LoRA Learns Less and Forgets "
                "Less, 2024",
                "256 for continued pretraining (that paper, Unsloth); 8 (LLaMA-Factory, "
                "train_lora/llama3_lora_pretrain.yaml)",
            ),
            "lora.alpha": Figure(
                128, "2 x rank, as in LoRA Learns Less and Forgets Less, 2024", "32 at rank 256"
            ),
            "training.learning_rate": Figure(
                1e-4,
                "LLaMA-Factory, train_lora/llama3_lora_pretrain.yaml; a low rate forgets less",
                "5e-5 (Unsloth, continued pretraining)",
            ),
            "training.epochs": Figure(
                1.0,
                "one pass, as in pretraining: a second one learns texts by heart",
                "3 (LLaMA-Factory, train_lora/llama3_lora_pretrain.yaml)",
            ),
            "data.too_long": Figure(
                "truncate", "a text that ends early still teaches what it has of the field"
            ),
            "evaluation.max_new_tokens": Figure(256, "answers in full sentences"),
        },
        "Plain texts of the field (a few MB at least), cut to rows by "
        f"`{_CHUNKS}`; or questions and answers about it. With one in ten rows of general "
        "instructions it forgets less.",
        "Perplexity on held-out texts of the field, and the loss on a general dataset beside it, "
        "which tells what is forgotten.",
        4.0,
        (
            Note(
                "For another language or many new terms, embeddings and head are trained whole "
                "(`lora.modules_to_save: [embed_tokens, lm_head]`), at several GB.",
                "Unsloth, Continued Pretraining, 2024",
            ),
        ),
        1e-4,
    ),
    Task(
        "instruction-following",
        "instruction following: complex instructions, structured answers",
        {
            "evaluation.max_new_tokens": Figure(512, "answers are long; a cut one can't be judged"),
            "evaluation.sample_tokens": Figure(128, "to see how an answer goes on"),
        },
        "Various instructions with answers as you want them; 1,000 that are right and different "
        "beat many that aren't (LIMA, 2023). Several turns and system turns where they will occur.",
        "Blind comparison with the base by people (`workbench review`); the share of answers that "
        "end by themselves. ROUGE says little here.",
        3.0,
        (
            Note(
                "`training.neftune_alpha: 5` made answers longer and better liked in its paper; "
                "try it after a run without.",
                "NEFTune, 2023",
            ),
        ),
    ),
    Task(
        "summarisation",
        "summarisation: long texts, short answers",
        {
            "data.max_length": Figure(
                4096,
                "documents are long; a guess, until lengths are measured",
                "2,048 (Axolotl, LLaMA-Factory), 1,024 (TRL)",
            ),
            "data.too_long": Figure(
                "drop",
                "the summary stands at the end: a cut row loses it. Axolotl, ms-swift drop",
                "truncate (TRL, LLaMA-Factory)",
            ),
            "evaluation.max_new_tokens": Figure(256, "summaries of several sentences"),
            "evaluation.generate_rows": Figure(
                100, "ROUGE differs much from row to row: 32 rows tell little"
            ),
        },
        "Documents with their summaries, all of one style and length; the document in the user "
        "turn, nothing that isn't in the document in the summary.",
        "ROUGE-L against the reference, and people for what is made up, which ROUGE doesn't see.",
        2.0,
        (
            Note(
                "Rows of 4,096 tokens need four times the activations of 1,024: look at "
                "`workbench config forecast`.",
            ),
        ),
    ),
    Task(
        "extraction",
        "extraction: fields, labels or JSON out of a text",
        {
            "lora.rank": Figure(
                8,
                "a narrow task needs little: LoRA, 2021, section 7.2; LLaMA-Factory, torchtune",
                "16 (TRL, AutoTrain)",
            ),
            "lora.alpha": Figure(16, "2 x rank: LLaMA-Factory, torchtune"),
            "data.too_long": Figure(
                "drop", "the answer stands at the end: a cut row loses it. Axolotl, ms-swift drop"
            ),
            "evaluation.max_new_tokens": Figure(
                64,
                "answers are short, and one that goes on is wrong already; raise it for long JSON",
            ),
            "evaluation.generate_rows": Figure(
                200, "a share of 200 rows is known to 7 points, of 32 to 17 (Wilson, 95 %)"
            ),
        },
        "Texts with their answers in one strict format, with rows that have nothing to extract "
        "among them; a few hundred do.",
        "Exact match and token F1. Answers are greedy here (no temperature), as an extraction is "
        "used.",
        4.0,
    ),
    Task(
        "multi-task",
        "multi-task: several tasks in one adapter",
        {
            "lora.rank": Figure(
                32,
                "several tasks share the adapter's capacity: LoRA Without Regret, 2025",
                "16 (TRL, AutoTrain), 64 (QLoRA)",
            ),
            "lora.alpha": Figure(64, "2 x rank: LLaMA-Factory"),
            "evaluation.generate_rows": Figure(200, "enough for figures by task"),
            "evaluation.max_new_tokens": Figure(256, "the longest of the tasks' answers"),
        },
        "A mixture whose rows have a task each: `workbench data mix NAME REF… --temperature 2` "
        "keeps large sets from drowning small ones (T5, 2020, section 3.5.2: T = 2).",
        "Each task's own figure on its own rows: a mean hides the one that got worse.",
        4.0,
        (
            Note(
                "No set needs more than some 30,000 rows in a mixture: `--cap 30000`.",
                "FLAN, 2022, section 2.1",
            ),
        ),
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}


def task_of(name: str) -> Task:
    """The task of that name. Raises WorkbenchError with those that there are."""
    if name not in TASKS:
        raise WorkbenchError(f"There is no task {name}.", f"Choose one of {', '.join(TASKS)}.")
    return TASKS[name]
