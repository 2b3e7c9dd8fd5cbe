"""What an expert knows of several families."""

from __future__ import annotations

from workbench.config.presets.figures import Note

HAS_UNSEEN_TOKENS = Note(
    "Of a base (not Instruct) the tokens of its chat template were never trained: their rows of "
    "embeddings and head stay so under LoRA, and it may not learn to stop. Start from the Instruct "
    "model, or train embed_tokens and lm_head whole (`lora.modules_to_save`).",
    "QwenLM issue 1064; Axolotl, llama-3/lora-8b.yml trains both",
)
GEMMA_ROLES = Note(
    "Its template has no system role: Gemma 2's refuses a system turn, Gemma 3's puts it in front "
    "of the first user turn. Axolotl drops system turns for Gemma 2.",
    "the models' chat templates; Axolotl, gemma2/qlora.yml: drop_system_message",
)
GEMMA_FLOAT16 = Note(
    "bfloat16, never float16: activations of Gemma 3 reach some 800,000, and float16 ends at "
    "65,504. Workbench has no float16; where a GPU has no bfloat16, it computes in float32.",
    "transformers issue 36822; Unsloth pull request 4014",
)
EXPERTS = Note(
    "The list has the linear layers: attention. Experts are parameters, no linear layers, in "
    "transformers 5; `lora.target_modules: mlp` adapts them alone, `all-linear` attention, them "
    "and the router, which takes many times the memory. LoRA Without Regret (2025) finds adapters "
    "on experts worth it; Unsloth leaves the router alone for stability.",
    "Axolotl, qwen3/30b-a3b-nvfp4-lora.yaml adapts attention and experts; Oumi q, k and v",
)
EXPERTS_4BIT = Note(
    "With nf4 the experts, most of the weights, stay in 16 bits: bitsandbytes quantises linear "
    "layers. QLoRA saves little here.",
    "Unsloth, Qwen3.5 fine-tuning guide: MoE QLoRA is not recommended",
    quantised_only=True,
)
