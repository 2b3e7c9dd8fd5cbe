"""Published recipes for LoRA and QLoRA, by family: each figure was read in the file that is named
(of Google's guide and Microsoft's sample, in copies of them).

Files of Axolotl are under its `examples/`, of torchtune under `recipes/configs/`, of LLaMA-Factory
under `examples/`, of Oumi under `configs/recipes/`, of the alignment handbook under `recipes/`.
"""

from __future__ import annotations

from workbench.config.presets.figures import Recipe

ALL = "all linear"
_NO_K = "q, v, o and MLP"
_QKV = "q, k, v"

LLAMA_2 = (
    Recipe("QLoRA, scripts/finetune_guanaco_7b.sh", "llama-2-7b", True, 64, 16, 2e-4, ALL),
    Recipe("QLoRA, scripts/finetune_guanaco_13b.sh", "llama-2-13b", True, 64, 16, 2e-4, ALL),
)
LLAMA_3 = (
    Recipe(
        "torchtune, llama3_1/8B_qlora_single_device.yaml",
        *("llama-3-8b", True, 8, 16, 3e-4, _NO_K),
    ),
    Recipe(
        "torchtune, llama3_2/3B_qlora_single_device.yaml",
        *("llama-3.2-3b", True, 64, 128, 3e-4, _NO_K),
    ),
    Recipe("torchtune, llama3_3/70B_qlora.yaml", "llama-3-70b", True, 16, 32, 3e-4, _NO_K),
    Recipe("Axolotl, llama-3/lora-8b.yml", "llama-3-8b", False, 32, 16, 2e-4, ALL),
    Recipe("Axolotl, llama-3/qlora.yml", "llama-3-8b", True, 32, 16, 2e-4, ALL),
    Recipe("Axolotl, llama-3/qlora-1b.yml", "llama-3.2-1b", True, 32, 16, 2e-4, ALL),
    Recipe("Axolotl, llama-3/qlora-fsdp-70b.yaml", "llama-3-70b", True, 8, 16, 1e-5, ALL),
    Recipe(
        "LLaMA-Factory, train_lora/llama3_lora_sft.yaml",
        *("llama-3-8b", False, 8, 16, 1e-4, ALL),
    ),
)
QWEN_2_5 = (
    Recipe(
        "torchtune, qwen2_5/7B_lora_single_device.yaml",
        *("qwen2.5-7b", False, 8, 16, 3e-4, _NO_K),
    ),
    Recipe("torchtune, qwen2_5/32B_lora.yaml", "qwen2.5-32b", False, 8, 16, 3e-4, _NO_K),
    Recipe("Axolotl, qwen2/qlora-fsdp.yaml (Qwen2)", "qwen2.5-7b", True, 32, 64, 2e-4, ALL),
)
QWEN_3 = (
    Recipe("torchtune, qwen3/8B_lora_single_device.yaml", "qwen3-8b", False, 8, 16, 3e-4, _NO_K),
    Recipe(
        "torchtune, qwen3/0.6B_lora_single_device.yaml",
        *("qwen3-0.6b", False, 32, 64, 1e-4, _NO_K),
    ),
    Recipe("torchtune, qwen3/32B_lora.yaml", "qwen3-32b", False, 8, 16, 3e-4, _NO_K),
    Recipe("Axolotl, qwen3/8b-lora-fused-attn.yaml", "qwen3-8b", False, 32, 64, 2e-4, ALL),
    Recipe("Axolotl, qwen3/qlora-fsdp.yaml", "qwen3-8b", True, 32, 64, 2e-4, ALL),
    Recipe(
        "Axolotl, qwen3/32b-qlora.yaml",
        *("qwen3-32b", True, 16, 32, 2e-4, "all linear but gate_proj"),
    ),
    Recipe("LLaMA-Factory, train_lora/qwen3_lora_sft.yaml", "qwen3-4b", False, 8, 16, 1e-4, ALL),
    Recipe(
        "LLaMA-Factory, train_qlora/qwen3_lora_sft_otfq.yaml",
        *("qwen3-4b", True, 8, 16, 1e-4, ALL),
    ),
    Recipe("Oumi, qwen3/sft/32b_lora/train.yaml", "qwen3-32b", False, 16, 32, 3e-4, _QKV),
)
QWEN_3_MOE = (
    Recipe(
        "Axolotl, qwen3/30b-a3b-nvfp4-lora.yaml",
        *("qwen3-30b-a3b", False, 16, 32, 2e-4, "attention and experts"),
    ),
    Recipe("Oumi, qwen3/sft/30b_a3b_lora/train.yaml", "qwen3-30b-a3b", False, 16, 32, 3e-4, _QKV),
)
MISTRAL = (
    Recipe("mistral-finetune, example/7B.yaml", "mistral-7b", False, 64, None, 6e-5, ALL),
    Recipe(
        "alignment handbook, zephyr-7b-beta/sft/config_qlora.yaml",
        *("mistral-7b", True, 16, 16, 2e-4, ALL),
    ),
    Recipe("Axolotl, mistral/qlora.yml", "mistral-7b", True, 32, 16, 2e-4, ALL),
    Recipe(
        "torchtune, mistral/7B_qlora_single_device.yaml",
        *("mistral-7b", True, 64, 16, 2e-5, "q, k, v and MLP"),
    ),
    Recipe(
        "Axolotl, mistral/mistral-small-3.1-24B-lora.yml",
        *("mistral-small-24b", False, 32, 16, 2e-4, ALL),
    ),
)
MIXTRAL = (Recipe("Axolotl, mistral/mixtral.yml", "mixtral-8x7b", True, 32, 16, 2e-4, ALL),)
GEMMA_2 = (
    Recipe("Axolotl, gemma2/qlora.yml", "gemma-2-9b", True, 32, 16, 2e-4, ALL),
    Recipe(
        "torchtune, gemma2/9B_qlora_single_device.yaml",
        *("gemma-2-9b", True, 64, 128, 2e-5, _NO_K),
    ),
    Recipe(
        "torchtune, gemma2/2B_qlora_single_device.yaml",
        *("gemma-2-2b", True, 64, 128, 2e-5, "q, k, v and MLP"),
    ),
)
GEMMA_3 = (
    Recipe(
        "Google, Fine-tune Gemma with Transformers and QLoRA (ai.google.dev)",
        *("gemma-3-4b", True, 16, 16, 2e-4, "all linear; embeddings and head whole"),
    ),
    Recipe("Axolotl, gemma3/gemma-3-4b-qlora.yml", "gemma-3-4b", True, 32, 16, 2e-4, ALL),
    Recipe("Axolotl, gemma3/gemma-3-1b-qlora.yml", "gemma-3-1b", True, 32, 16, 2e-4, ALL),
    Recipe("Oumi, gemma3/sft/12b_lora/train.yaml", "gemma-3-12b", False, 16, 32, 3e-4, _QKV),
)
PHI_3 = (
    Recipe(
        "Microsoft, Phi-3-mini-4k-instruct: sample_finetune.py",
        *("phi-3-mini", False, 16, 32, 5e-6, ALL),
    ),
    Recipe("Axolotl, phi/lora-3.5.yaml", "phi-3-mini", False, 32, 16, 2e-4, ALL),
    Recipe(
        "torchtune, phi3/mini_qlora_single_device.yaml",
        *("phi-3-mini", True, 8, 16, 3e-4, "attention and MLP"),
    ),
    Recipe("torchtune, phi4/14B_qlora_single_device.yaml", "phi-4", True, 8, 16, 3e-4, _NO_K),
)
OLMO_3 = (
    Recipe("Axolotl, olmo3/olmo3-7b-qlora.yaml", "olmo-3-7b", True, 32, 16, 2e-4, ALL),
    Recipe("Oumi, olmo3/sft/32b_lora/train.yaml", "olmo-3-32b", False, 16, 32, 3e-4, _QKV),
)
