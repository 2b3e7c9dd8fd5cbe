"""The families of bases, by what their config.json says: members, modules, notes."""

from __future__ import annotations

from workbench.config.base_facts import BaseFacts
from workbench.config.presets import notes, recipes
from workbench.config.presets.family import Family, Member
from workbench.config.presets.figures import Note

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FOUR = SEVEN[:4]
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
_LLAMA_3_TOKENS = 128_256
_SMOLLM_TOKENS = 49_152
_ADDED = 1024
"""Rows by which a table of embeddings may have grown for tokens of one's own."""
_SMALL = 2_000_000_000


def family_of(facts: BaseFacts) -> Family | None:
    """The family of a base, by its model_type, and by shapes where families share one."""
    for family in FAMILIES:
        if facts.family in family.model_types and (family.only is None or family.only(facts)):
            return family
    return None


def _tokens(facts: BaseFacts, least: int) -> bool:
    said = facts.config.get("vocab_size")
    rows = said if isinstance(said, int) else facts.vocabulary
    return least <= rows < least + _ADDED


def _is_llama_3(facts: BaseFacts) -> bool:
    return _tokens(facts, _LLAMA_3_TOKENS)


def _is_smollm(facts: BaseFacts) -> bool:
    # Granite's code models have this vocabulary and model_type, too.
    return _tokens(facts, _SMOLLM_TOKENS) and facts.parameters < _SMALL


FAMILIES: tuple[Family, ...] = (
    Family(
        "smollm",
        "SmolLM 1 and 2",
        ("llama",),
        SEVEN,
        (
            Member("smollm2-135m", "SmolLM 1 and 2 135M", 134_515_008),
            Member("smollm2-360m", "SmolLM 1 and 2 360M", 361_821_120),
            Member("smollm2-1.7b", "SmolLM 1 and 2 1.7B", 1_711_376_384),
        ),
        (
            Note(
                "Its makers fine-tuned it whole, at 1e-3 (SmolLM 360M) and 3e-4 (SmolLM2 1.7B): "
                "small models take high rates, so 2e-4 is cautious, and full fine-tuning is within "
                "reach of one GPU.",
                "alignment handbook, smollm/sft/config.yaml and smollm2/sft/config.yaml",
            ),
            Note(
                "SmolLM2's template begins with a system turn of its own where the data has none.",
                "alignment handbook, smollm2/sft/config.yaml: chat_template",
            ),
        ),
        (),
        _is_smollm,
    ),
    Family(
        "llama-3",
        "Llama 3, 3.1, 3.2 and 3.3",
        ("llama",),
        SEVEN,
        (
            Member("llama-3.2-1b", "Llama 3.2 1B", 1_235_814_400),
            Member("llama-3.2-3b", "Llama 3.2 3B", 3_212_749_824),
            Member("llama-3-8b", "Llama 3 and 3.1 8B", 8_030_261_248),
            Member("llama-3-70b", "Llama 3, 3.1 and 3.3 70B", 70_553_706_496),
            Member("llama-3.1-405b", "Llama 3.1 405B", 405_853_388_800),
        ),
        (
            Note(
                "Llama 3's tokenizer has no padding token. Don't take the end marker for it: what "
                "is padding is masked, and the model doesn't learn to stop. From 3.1 on "
                "<|finetune_right_pad_id|> is made for it; workbench masks by length.",
                "FastChat issue 3266; Axolotl, llama-3/qlora-1b.yml sets <|end_of_text|>",
            ),
            notes.HAS_UNSEEN_TOKENS,
        ),
        recipes.LLAMA_3,
        _is_llama_3,
    ),
    Family(
        "llama-2",
        "Llama 1 and 2, and others of their kind",
        ("llama",),
        SEVEN,
        (
            Member("tinyllama-1.1b", "TinyLlama 1.1B", 1_100_048_384),
            Member("llama-2-7b", "Llama 1 and 2 7B", 6_738_415_616),
            Member("llama-2-13b", "Llama 1 and 2 13B", 13_015_864_320),
            Member("llama-2-70b", "Llama 2 70B", 68_976_648_192),
        ),
        (
            Note(
                "Many models are made as Llama is (Yi, TinyLlama, Granite code, …): look whether "
                "the model's own card says otherwise.",
            ),
        ),
        recipes.LLAMA_2,
    ),
    Family(
        "qwen2.5",
        "Qwen 2 and 2.5",
        ("qwen2",),
        SEVEN,
        (
            Member("qwen2.5-0.5b", "Qwen 2 and 2.5 0.5B", 494_032_768),
            Member("qwen2.5-1.5b", "Qwen 2 and 2.5 1.5B", 1_543_714_304),
            Member("qwen2.5-3b", "Qwen 2.5 3B", 3_085_938_688),
            Member("qwen2.5-7b", "Qwen 2 and 2.5 7B", 7_615_616_512),
            Member("qwen2.5-14b", "Qwen 2.5 14B", 14_770_033_664),
            Member("qwen2.5-32b", "Qwen 2.5 32B", 32_763_876_352),
            Member("qwen2.5-72b", "Qwen 2 and 2.5 72B", 72_706_203_648),
        ),
        (
            Note(
                'Qwen 2.5\'s template begins with a system turn of its own ("You are Qwen, …") '
                "where the data has none: a system turn in the data replaces it.",
                "Qwen2.5-7B-Instruct: tokenizer_config.json",
            ),
            notes.HAS_UNSEEN_TOKENS,
        ),
        recipes.QWEN_2_5,
    ),
    Family(
        "qwen3",
        "Qwen 3",
        ("qwen3",),
        SEVEN,
        (
            Member("qwen3-0.6b", "Qwen3 0.6B", 596_049_920),
            Member("qwen3-1.7b", "Qwen3 1.7B", 1_720_574_976),
            Member("qwen3-4b", "Qwen3 4B", 4_022_468_096),
            Member("qwen3-8b", "Qwen3 8B", 8_190_735_360),
            Member("qwen3-14b", "Qwen3 14B", 14_768_307_200),
            Member("qwen3-32b", "Qwen3 32B", 32_762_123_264),
        ),
        (
            Note(
                "Its template thinks: answers without <think> teach it not to. To keep its "
                "reasoning, mix in three rows with reasoning to one without.",
                "Qwen documentation, training with Unsloth: 75 % to 25 %",
            ),
            Note(
                "The template takes the reasoning out of all but the last turn, so what is before "
                "it may not be kept: `workbench data verdict` checks that for each row.",
                "Qwen3-8B: tokenizer_config.json; Qwen3 issue 1522",
            ),
        ),
        recipes.QWEN_3,
    ),
    Family(
        "qwen3-moe",
        "Qwen 3 with experts",
        ("qwen3_moe",),
        FOUR,
        (
            Member("qwen3-30b-a3b", "Qwen3 30B-A3B", 30_532_122_624),
            Member("qwen3-235b-a22b", "Qwen3 235B-A22B", 235_093_634_560),
        ),
        (notes.EXPERTS, notes.EXPERTS_4BIT),
        recipes.QWEN_3_MOE,
    ),
    Family(
        "mistral",
        "Mistral",
        ("mistral",),
        SEVEN,
        (
            Member("mistral-7b", "Mistral 7B v0.1 to v0.3", 7_248_023_552),
            Member("mistral-nemo-12b", "Mistral Nemo 12B", 12_247_782_400),
            Member("mistral-small-24b", "Mistral Small 3 24B", 23_572_403_200),
        ),
        (
            Note(
                "Its makers train at 6e-5 and advise rank 64 or less: go below 2e-4 if the loss is "
                "unsteady.",
                "mistral-finetune, README.md and example/7B.yaml",
            ),
            Note(
                "Templates differ between versions (v1, v3, v7, tekken) by a space and by where "
                "the system text goes: v0.1 to v0.3 have no system turn of its own. Use the one "
                "that comes with the model.",
                "Axolotl, mistral/mistral-small-3.1-24B-lora.yml: mistral_v7_tekken",
            ),
        ),
        recipes.MISTRAL,
    ),
    Family(
        "mixtral",
        "Mixtral",
        ("mixtral",),
        FOUR,
        (
            Member("mixtral-8x7b", "Mixtral 8x7B", 46_702_792_704),
            Member("mixtral-8x22b", "Mixtral 8x22B", 140_620_634_112),
        ),
        (
            notes.EXPERTS,
            notes.EXPERTS_4BIT,
            Note(
                "Its results differ much from seed to seed: run several seeds and keep the best.",
                "mistral-finetune, README.md, FAQ",
            ),
        ),
        recipes.MIXTRAL,
    ),
    Family(
        "gemma",
        "Gemma 1",
        ("gemma",),
        SEVEN,
        (
            Member("gemma-2b", "Gemma 1 2B", 2_506_172_416),
            Member("gemma-7b", "Gemma 1 7B", 8_537_680_896),
        ),
        (notes.GEMMA_FLOAT16, notes.GEMMA_ROLES),
    ),
    Family(
        "gemma-2",
        "Gemma 2",
        ("gemma2",),
        SEVEN,
        (
            Member("gemma-2-2b", "Gemma 2 2B", 2_614_341_888),
            Member("gemma-2-9b", "Gemma 2 9B", 9_241_705_984),
            Member("gemma-2-27b", "Gemma 2 27B", 27_227_128_320),
        ),
        (
            notes.GEMMA_FLOAT16,
            notes.GEMMA_ROLES,
            Note(
                "It caps attention scores softly, which neither torch's attention nor varlen does: "
                "rows are padded instead of packed, and scores of a row's length squared are held. "
                "Every other layer sees 4,096 tokens.",
                "transformers pull request 32865; Gemma 2: attn_logit_softcapping 50",
            ),
        ),
        recipes.GEMMA_2,
    ),
    Family(
        "gemma-3",
        "Gemma 3",
        ("gemma3_text", "gemma3"),
        SEVEN,
        (
            Member("gemma-3-270m", "Gemma 3 270M", 268_098_176),
            Member("gemma-3-1b", "Gemma 3 1B", 999_885_952),
            Member("gemma-3-4b", "Gemma 3 4B", 4_300_079_472),
            Member("gemma-3-12b", "Gemma 3 12B", 12_187_325_040),
            Member("gemma-3-27b", "Gemma 3 27B", 27_432_406_640),
        ),
        (
            notes.GEMMA_FLOAT16,
            notes.GEMMA_ROLES,
            Note(
                "From 4B on it has a tower for images, whose q_proj gets no adapter: only what "
                "text passes through does. Axolotl freezes the tower, too.",
                "Axolotl, gemma3/gemma-3-4b-qlora.yml: unfrozen_parameters",
            ),
            Note(
                "Of a base that is to learn a chat template, Google trains embeddings and head "
                "whole, at several GB: `lora.modules_to_save: [embed_tokens, lm_head]`.",
                "Google, Fine-tune Gemma with Transformers and QLoRA (ai.google.dev)",
            ),
        ),
        recipes.GEMMA_3,
    ),
    Family(
        "phi-3",
        "Phi 3, 3.5 and 4",
        ("phi3",),
        FUSED,
        (
            Member("phi-3-mini", "Phi 3 and 3.5 mini (3.8B)", 3_821_079_552),
            Member("phi-4-mini", "Phi 4 mini (3.8B)", 3_836_021_760),
            Member("phi-3-medium", "Phi 3 medium (14B)", 13_960_238_080),
            Member("phi-4", "Phi 4 (14B)", 14_659_507_200),
        ),
        (
            Note(
                "Queries, keys and values are one layer, qkv_proj, and gate and up one, "
                "gate_up_proj: a list with q_proj or gate_proj finds only o_proj and down_proj, "
                "without a word. The fused layer's three parts share one A.",
                "transformers, models/phi3; Oumi, phi3/sft/lora_train.yaml lists q_proj, …",
            ),
            Note(
                "Microsoft's own sample trains Phi 3 mini with LoRA at 5e-6, a rate for full "
                "fine-tuning: 40 times as slow as the rest.",
                "Phi-3-mini-4k-instruct: sample_finetune.py",
            ),
            Note(
                "Phi 4 was published with one token for begin, end and padding: the end marker is "
                "then masked with the padding. Turns end in <|im_end|>.",
                "unsloth.ai/blog/phi4",
            ),
        ),
        recipes.PHI_3,
    ),
    Family(
        "phi-2",
        "Phi 1.5 and 2",
        ("phi",),
        ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        (
            Member("phi-1.5", "Phi 1.5 (1.4B)", 1_418_270_720),
            Member("phi-2", "Phi 2 (2.8B)", 2_779_683_840),
        ),
        (Note("They have no chat template: bases of plain text.", "phi-2: tokenizer_config.json"),),
    ),
    Family(
        "smollm3",
        "SmolLM 3",
        ("smollm3",),
        SEVEN,
        (Member("smollm3-3b", "SmolLM3 3B", 3_075_098_624),),
        (
            Note(
                "Its template has a thinking mode, on unless the system turn says /no_think, and "
                "writes today's date into the system turn.",
                "alignment handbook, smollm3/sft/sft.yaml: chat_template",
            ),
            Note(
                "Its makers fine-tuned it whole at 2e-5; ten times that is LoRA's 2e-4.",
                "alignment handbook, smollm3/sft/sft.yaml; LoRA Without Regret, 2025",
            ),
        ),
    ),
    Family(
        "olmo-2",
        "OLMo 2",
        ("olmo2",),
        SEVEN,
        (
            Member("olmo-2-1b", "OLMo 2 1B", 1_484_916_736),
            Member("olmo-2-7b", "OLMo 2 7B", 7_298_617_344),
            Member("olmo-2-13b", "OLMo 2 13B", 13_716_198_400),
            Member("olmo-2-32b", "OLMo 2 32B", 32_234_279_936),
        ),
    ),
    Family(
        "olmo-3",
        "OLMo 3",
        ("olmo3",),
        SEVEN,
        (
            Member("olmo-3-7b", "OLMo 3 7B", 7_298_011_136),
            Member("olmo-3-32b", "OLMo 3 32B", 32_233_522_176),
        ),
        (),
        recipes.OLMO_3,
    ),
    Family(
        "granite-3",
        "Granite 3",
        ("granite",),
        SEVEN,
        (
            Member("granite-3-2b", "Granite 3.1 to 3.3 2B", 2_533_531_648),
            Member("granite-3-8b", "Granite 3.1 to 3.3 8B", 8_170_848_256),
        ),
        (
            Note(
                "Its embeddings, attention, residuals and logits are scaled by multipliers of its "
                "config.json; workbench's loss takes the logits' into account.",
                "transformers, models/granite",
            ),
        ),
    ),
)
"""The first that fits is it: what a family needs beside its model_type comes before one that
takes any."""
