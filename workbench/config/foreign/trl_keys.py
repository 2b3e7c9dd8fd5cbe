"""The keys of TRL 1.16.0 for SFT, beside those of transformers' TrainingArguments."""

from __future__ import annotations

from workbench.config.foreign import arguments
from workbench.config.foreign import common_keys as common
from workbench.config.foreign.rules import By, Missing, Ours, Rule, each, words

_PART = Missing("an adapter has one rank and scale in all layers; name its modules instead")
_VARIANT = Missing("this variant of LoRA isn't had: there are DoRA, rsLoRA, LoRA+ and PiSSA")

VERBS = {
    "dpo": "preference training (DPO)",
    "kto": "preference training (KTO)",
    "orpo": "preference training (ORPO)",
    "cpo": "preference training (CPO)",
    "grpo": "reinforcement learning (GRPO)",
    "rloo": "reinforcement learning (RLOO)",
    "ppo": "reinforcement learning (PPO)",
    "reward": "the training of a reward model",
    "reward_modeling": "the training of a reward model",
    "gkd": "distillation",
}
OTHER_TRAINING = {
    "num_generations": "reinforcement learning (GRPO)",
    "max_completion_length": "reinforcement learning (GRPO) or preferences",
    "reward_funcs": "reinforcement learning (GRPO)",
    "reward_model_name_or_path": "reinforcement learning",
    "beta": "preference training (DPO and the like)",
    "precompute_ref_log_probs": "preference training (DPO)",
    "ref_model_mixup_alpha": "preference training (DPO)",
    "max_prompt_length": "preference training (DPO and the like)",
    "desirable_weight": "preference training (KTO)",
    "center_rewards_coefficient": "the training of a reward model",
}
SECTIONS = {
    **dict.fromkeys(
        words(
            "trainingargs trainingarguments args sftconfig training modelargs modelconfig "
            "scriptargs scriptarguments modelinit bnbconfig quantizationconfig "
            "bitsandbytesconfig"
        ),
        "arguments",
    ),
    **dict.fromkeys(words("peftconfig loraconfig lora peft"), "lora"),
}
"""Objects of a JSON file that hold what may stand outside as well, without underscores."""
LORA_CONFIG = frozenset(("r", "target_modules", "peft_type", "init_lora_weights"))
"""Keys of PEFT's LoraConfig that TRL's own arguments call otherwise, or don't have."""

RULES: dict[str, Rule] = {
    **arguments.RULES,
    **each(By("model.base"), "model_name_or_path base_model_name_or_path model"),
    "use_peft": By("training.method: lora; without it full", False),
    **each(By("lora.rank", "16; LoraConfig 8"), "lora_r r"),
    "lora_alpha": By("lora.alpha", "32; LoraConfig 8"),
    "lora_dropout": By("lora.dropout", "0.05; LoraConfig 0"),
    **each(
        By("lora.target_modules", "PEFT's for the family"), "lora_target_modules target_modules"
    ),
    **each(By("lora.modules_to_save"), "lora_modules_to_save modules_to_save"),
    "use_rslora": By("lora.rslora", False),
    "use_dora": By("lora.dora", False),
    "init_lora_weights": By("lora.initialisation"),
    **each(
        By("model.quantization: nf4 or fp4; refused without use_peft", False),
        "load_in_4bit use_4bit",
    ),
    "load_in_8bit": By("model.quantization: int8", False),
    "bnb_4bit_quant_type": By("model.quantization: nf4 or fp4", "nf4"),
    **each(
        By("model.double_quantization", False),
        "use_bnb_nested_quant bnb_4bit_use_double_quant use_nested_quant",
    ),
    "bnb_4bit_compute_dtype": By("model.compute_dtype"),
    **each(By("model.dtype", "float32, with products in bfloat16"), "dtype torch_dtype"),
    "bf16": By("model.dtype", True),
    "learning_rate": By("training.learning_rate", "2e-05"),
    "gradient_checkpointing": By("training.gradient_checkpointing", True),
    **each(By("data.max_length", 1024), "max_length max_seq_length"),
    "truncation_mode": By("data.too_long: truncate", "keep_start"),
    "packing": By("training.packing; their packs are training.step_tokens", False),
    "packing_strategy": By("best-fit decreasing, always", "bfd"),
    # Of transformers' EarlyStoppingCallback, which scripts give an argument to.
    "early_stopping_patience": By("evaluation.patience"),
    "assistant_only_loss": By("answers alone are trained, always", False),
    "completion_only_loss": By("answers alone are trained, always"),
    "loss_type": By("chunked_nll, always", "nll"),
    **each(
        By("data.dataset; the command that imports it"),
        "dataset_name datasets dataset_config dataset_train_split",
    ),
    "dataset_test_split": By("--validation-file of the import, where it evaluates", "test"),
    "test_split_size": By("--validation of the import"),
    "dataset_text_field": By("--map text=FIELD of the import", "text"),
    **each(common.ATTENTION, "attn_implementation use_flash_attention_2 padding_free"),
    **each(Ours("validation is packed as training is"), "eval_packing"),
    **each(Ours("padding goes up to the longest row of a batch"), "pad_to_multiple_of"),
    **each(Missing("rows are shuffled anew each epoch, by the seed", (True,)), "shuffle_dataset"),
    **each(Ours("what is padded is never trained on"), "pad_token"),
    **each(
        Missing(
            "an answer ends as the base's own template ends it, and the end is trained; "
            "`workbench data xray` shows the tokens"
        ),
        "eos_token",
    ),
    **each(
        Missing("the base's own chat template is used, since it is what the base knows"),
        "chat_template_path",
    ),
    **each(
        Missing(
            "activations are recomputed, not moved to the host: training.gradient_checkpointing"
        ),
        "activation_offloading",
    ),
    **each(Missing("the router of experts has no loss of its own"), "router_aux_loss_coef"),
    **each(
        Missing("a hub base is taken at the commit that is fetched", ("main",)),
        "model_revision revision",
    ),
    **each(Missing("data is imported whole before the run"), "dataset_streaming streaming"),
    **each(Ours("encoding is done before the run"), "dataset_kwargs dataset_batch_size"),
    **each(Ours("DDP is set up here"), "ignore_bias_buffers"),
    **each(Ours("quantised numbers are stored in bytes"), "bnb_4bit_quant_storage"),
    **each(
        Ours("a base is loaded as it needs to be"),
        "model_init_kwargs device_map use_cache "
        "low_cpu_mem_usage llm_int8_threshold llm_int8_skip_modules "
        "llm_int8_enable_fp32_cpu_offload llm_int8_has_fp16_weight quant_method "
        "_load_in_4bit _load_in_8bit",
    ),
    **each(Missing("the environment of a run is that of `workbench train`"), "env"),
    # PEFT's LoraConfig, as in adapter_config.json.
    "peft_type": By("LoRA alone"),
    **each(
        Missing("an adapter is of a causal language model", ("CAUSAL_LM", "TaskType.CAUSAL_LM")),
        "task_type lora_task_type",
    ),
    **each(
        Ours("PEFT writes it of itself"),
        "auto_mapping peft_version inference_mode "
        "megatron_core megatron_config runtime_config fan_in_fan_out",
    ),
    **each(Missing("biases aren't trained", ("none",)), "bias lora_bias"),
    **each(common.SOME_LAYERS, "layers_to_transform layers_pattern"),
    **each(
        _PART,
        "rank_pattern alpha_pattern "
        "layer_replication exclude_modules target_parameters lora_target_parameters",
    ),
    **each(
        Missing("new rows of embeddings are trained by model.new_tokens"),
        "trainable_token_indices ensure_weight_tying",
    ),
    **each(
        Missing(_VARIANT.advice),
        "loftq_config eva_config corda_config lora_ga_config "
        "velora_config alora_invocation_tokens use_qalora monteclora_config use_bdlora "
        "arrow_config kasa_config",
    ),
    # Its default of 16 says nothing without use_qalora.
    "qalora_group_size": Missing(_VARIANT.advice, (16,)),
    **each(Missing("it is of another kind of training"), " ".join(OTHER_TRAINING)),
}
