"""Rules of the adapter."""

from __future__ import annotations

from tests.config.advice.case import LONGER, Case
from tests.config.advice.made import known, mixture

CASES = [
    Case("scale-out-of-the-ordinary", "lora.alpha=256", "warning", "256/16 = 16"),
    Case(
        "scale-out-of-the-ordinary",
        "lora.alpha=16 lora.rank=256 lora.rslora=false",
        "warning",
        "16/256 = 0.0625",
        # rsLoRA: 16/sqrt(64) = 2.
        "lora.rank=64 lora.alpha=16 lora.rslora=true",
    ),
    Case(
        "scale-out-of-the-ordinary",
        "lora.rank=64 lora.alpha=128 lora.rslora=true",
        "warning",
        "128/sqrt(64) = 16",
    ),
    Case("alpha-against-rank", "lora.alpha=16", "hint", "alpha 16 is 1 times the rank 16"),
    Case("rank-too-low", "lora.rank=2 lora.alpha=4", "hint", "Rank 2", "lora.rank=8 lora.alpha=16"),
    Case(
        "rank-high",
        "lora.rank=256 lora.alpha=32 lora.rslora=true",
        "hint",
        "trained parameters for 665,000 trained tokens",
        "lora.rank=64",
    ),
    Case(
        "high-rank-without-rslora",
        "lora.rank=64 lora.alpha=128",
        "hint",
        "Rank 64 with a scale of alpha/rank, 2",
        "lora.rank=64 lora.alpha=16 lora.rslora=true",
    ),
    Case(
        "adapter-smaller-than-data",
        "lora.target_modules=k_proj lora.rank=1 lora.alpha=2",
        "hint",
        # 16 layers of 2,048 + 512 numbers; 200 rows of 850 and 4,800 of 150 trained tokens.
        "40,960 trained parameters for 890,000 trained tokens",
        "lora.rank=16",
        on=LONGER,
    ),
    Case(
        "target-modules-match-nothing",
        "lora.target_modules=c_attn",
        "error",
        "['c_attn'] names none of this base's modules. Its linear layers are down_proj, gate_proj",
        "lora.target_modules=o_proj",
    ),
    Case(
        "modules-to-save-match-nothing",
        "lora.modules_to_save=score",
        "error",
        "the base model has no module score",
        "lora.modules_to_save=lm_head",
    ),
    Case(
        "target-module-unknown",
        "lora.target_modules=q_proj,gate_proj,c_attn",
        "warning",
        "The base has no module c_attn; its linear layers are",
        "lora.target_modules=q_proj,gate_proj",
    ),
    Case(
        "target-module-unknown",
        "lora.target_modules=q_proj,experts.0.up_proj",
        "warning",
        "The base has no module experts.0.up_proj; its linear layers are",
        "lora.target_modules=q_proj,experts.0.up_proj,gate_proj",
        on=known(base=mixture("a family that PEFT doesn't know")),
        elsewhere=known(base=mixture("deepseek_v3")),
    ),
    Case(
        "attention-only",
        "lora.target_modules=q_proj",
        "hint",
        "no MLP gets an adapter",
        "lora.target_modules=q_proj,gate_proj,up_proj,down_proj",
        on=known(base=mixture("deepseek_v3")),
        elsewhere=known(base=mixture("deepseek_v3")),
    ),
    Case(
        "attention-only",
        "lora.target_modules=q_proj,v_proj",
        "hint",
        "q_proj, v_proj: no MLP gets an adapter",
        "lora.target_modules=q_proj,up_proj",
    ),
    Case(
        "attention-only",
        "lora.target_modules=attention",
        "hint",
        "attention: no MLP",
        "lora.target_modules=mlp",
        on=known(base=None),
    ),
    Case(
        "dropout-turns-off-fast-path",
        "lora.dropout=0.05",
        "hint",
        "MiB by the forecast",
        "lora.dropout=0.05 model.quantization=nf4",
    ),
    Case("dora-is-slower", "lora.dora=true", "hint", "26 % more time"),
    Case("adapter-in-bfloat16", "lora.dtype=bfloat16", "hint", "which saves"),
]
