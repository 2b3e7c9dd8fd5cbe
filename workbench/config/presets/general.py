"""The figures that hold for any base, and what other trainers take in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.config.presets.figures import Figure, Recipe, scientific

LARGE = 13_500_000_000
"""Parameters from which a base is above 13B, as sizes are named: Llama 2's 13B has 13.02."""
EFFECTIVE_BATCH = 16
_BATCHES = "with it 8 rows a step (Unsloth, Axolotl, LLaMA-Factory), 64 (Oumi)"
_ROWS = "2 (Unsloth, Axolotl, torchtune), 1 (QLoRA, LLaMA-Factory), 8 (TRL)"


def method(quantised: bool, bfloat16: bool) -> dict[str, Figure]:
    """How the base is held; `bfloat16`: whether the machine computes in it, and has a GPU."""
    if not quantised:
        return {
            "model.quantization": Figure("none", "LoRA: the base in 16 bits"),
            "model.compute_dtype": Figure("auto", "it is for 4-bit bases"),
            "model.upcast": Figure(False, "more memory, equal results: TRL pull request 4457"),
        }
    compute = Figure(
        "bfloat16",
        "QLoRA, 2023; its README: in float16 a fifth of 7B runs failed",
        "float16 (Ludwig), float32 (Oumi's default)",
    )
    if not bfloat16:
        compute = Figure(
            "auto",
            "float32 here: this machine has no GPU with bfloat16 (bfloat16 where there is one)",
            compute.others,
        )
    return {
        "model.quantization": Figure(
            "nf4", "QLoRA, 2023; TRL, ms-swift, H2O LLM Studio", "fp4 (Oumi's default)"
        ),
        "model.double_quantization": Figure(
            True, "QLoRA, 2023: 0.37 bits less a weight; LLaMA-Factory, ms-swift", "off (TRL)"
        ),
        "model.compute_dtype": compute,
        "model.upcast": Figure(False, "more memory, equal results: TRL pull request 4457"),
    }


def training(quantised: bool, parameters: int, recipes: Sequence[Recipe]) -> dict[str, Figure]:
    """The adapter and how it is trained; `recipes` are those for the base's size or family."""
    ranks = _published(recipes, lambda r: str(r.rank))
    alphas = _published([r for r in recipes if r.alpha], lambda r: f"{r.alpha} at {r.rank}")
    rates = _published(recipes, lambda r: scientific(r.learning_rate))
    high, low = 2e-4, 1e-4
    large = parameters > LARGE
    rate = Figure(
        low if large else high,
        "QLoRA, 2023: 1e-4 above 13B"
        if large
        else "QLoRA, 2023; Unsloth, Axolotl, LitGPT (1e-4 above 13B)",
        _joined(
            "1e-4 (LLaMA-Factory, ms-swift), 3e-4 (torchtune), 2e-5 (TRL's own default)", rates
        ),
    )
    return {
        "training.method": Figure("lora", "an adapter"),
        "lora.rank": Figure(
            16,
            "TRL, AutoTrain, Unsloth",
            _joined("8 (PEFT, LLaMA-Factory, torchtune), 32 (Axolotl), 64 (QLoRA)", ranks),
        ),
        "lora.alpha": Figure(
            32,
            "TRL, AutoTrain; 2 x rank: LLaMA-Factory, torchtune",
            _joined("16 (Unsloth at 16, Axolotl at 32, QLoRA at 64)", alphas),
        ),
        "lora.dropout": Figure(
            0.0, "PEFT, Unsloth, torchtune", "0.05 (TRL, Axolotl), 0.1 (QLoRA, 7B)"
        ),
        "lora.rslora": Figure(False, "alpha is made for alpha/r"),
        "training.learning_rate": rate,
        "training.schedule": Figure(
            "cosine", "LLaMA-Factory, Axolotl, torchtune", "linear (TRL, Unsloth), constant (QLoRA)"
        ),
        "training.warmup_ratio": Figure(
            0.03, "QLoRA, 2023", "0.1 (Axolotl, LLaMA-Factory), 100 steps (torchtune)"
        ),
        "training.optimizer": _optimizer(quantised),
        "training.max_gradient_norm": Figure(0.3, "QLoRA, 2023", "1.0 (transformers)")
        if quantised
        else Figure(1.0, "transformers", "0.3 (QLoRA), none (torchtune)"),
    }


def modules(listed: Sequence[str], recipes: Sequence[Recipe]) -> Figure:
    """The modules that get an adapter, by their own names."""
    return Figure(
        list(listed),
        "all linear layers: QLoRA, 2023; LoRA Without Regret, 2025; LLaMA-Factory, Axolotl",
        _joined("q, v (PEFT, LitGPT)", _published(recipes, lambda r: r.modules)),
    )


def batch(rows: int, why: str) -> dict[str, Figure]:
    """`rows` at once, and as many batches a step as make the effective batch."""
    return {
        "training.batch_size": Figure(rows, why, _ROWS),
        "training.accumulation": Figure(
            EFFECTIVE_BATCH // rows,
            f"{EFFECTIVE_BATCH} rows a step: QLoRA (7B), torchtune; below 32: LoRA Without "
            "Regret, 2025",
            _BATCHES,
        ),
        "training.micro_batch": Figure(None, "batch_size goes through at once"),
    }


def _optimizer(quantised: bool) -> Figure:
    if quantised:
        return Figure(
            "paged_adamw_32bit",
            "QLoRA, 2023: its state makes room when memory is short",
            "adamw_8bit (Unsloth, Axolotl), AdamW (torchtune, LLaMA-Factory)",
        )
    return Figure(
        "adamw",
        "TRL, LLaMA-Factory, torchtune: its state is small for an adapter",
        "adamw_8bit (Unsloth, Axolotl)",
    )


def _published(recipes: Sequence[Recipe], of: Callable[[Recipe], str]) -> str:
    """`for qwen3-8b 8 (torchtune), 32 (Axolotl)`: a figure of each recipe, those that agree
    together."""
    found: dict[str, dict[str, list[str]]] = {}
    for recipe in recipes:
        whose = found.setdefault(recipe.model, {}).setdefault(of(recipe), [])
        if recipe.who not in whose:
            whose.append(recipe.who)
    return "; ".join(
        f"for {model} " + ", ".join(f"{figure} ({', '.join(who)})" for figure, who in by.items())
        for model, by in found.items()
    )


def _joined(general: str, published: str) -> str:
    return f"{general}; {published}" if published else general
