"""The keys of Axolotl 0.19.0, with those of its plugins and those that are deprecated."""

from __future__ import annotations

from workbench.config.foreign import common_keys as common
from workbench.config.foreign.rules import By, Missing, Ours, Rule, Take, each

_NO_RL = Missing("it is of reinforcement learning or preferences, which workbench doesn't have")
_NO_PRETRAINING = Missing("it is of pre-training on a stream; import the texts instead")
_INTERNAL = Ours("Axolotl works it out, and workbench does so itself")
_SCHEDULE = Missing("schedules have no options: cosine and linear fall to 0")
_OPTIMIZER = Missing("it is of an optimiser that isn't here; `workbench config fields` lists them")
_RATES = Missing("one learning rate for all; lora.plus_ratio alone gives matrix B another")
_NO_QUANTISER = Missing("a base is quantised by bitsandbytes alone: nf4, fp4 or int8")
_PART = Missing("an adapter has one rank and scale in all layers; name its modules instead")
_GENERATION = Ours("evaluation.samples rows are answered at each validation, greedily")
_PREPARED = Ours("tokens are kept in cache/tokens of the workspace")
_FAMILY = Ours("the family is read off the base's config.json")

PREFERENCES = {
    **dict.fromkeys(("dpo", "ipo", "simpo", "orpo", "kto", "cpo"), "training on preferences"),
    **dict.fromkeys(("grpo", "gdpo", "ppo"), "reinforcement learning"),
}
OTHER_TRAINING = {
    "rl": "another kind of training (preferences or reinforcement learning)",
    "reward_model": "the training of a reward model",
    "process_reward_model": "the training of a reward model",
    "kd_trainer": "distillation",
    "diffusion": "training by diffusion",
    "ebft": "energy-based training",
}

RULES: dict[str, Rule] = {
    **common.SHARED,
    "base_model": By("model.base"),
    "adapter": By("training.method: lora, qlora; empty: full", None),
    **each(By("model.quantization: nf4; refused without an adapter", False), "load_in_4bit"),
    **each(By("model.quantization: int8", False), "load_in_8bit"),
    "bnb_config_kwargs": By("model.quantization, double_quantization, compute_dtype"),
    "lora_r": By("lora.rank"),
    "lora_alpha": By("lora.alpha"),
    "lora_dropout": Take("lora.dropout", default=0.0),
    "lora_target_linear": By("lora.target_modules: all-linear"),
    "lora_target_modules": By("lora.target_modules"),
    "lora_modules_to_save": Take("lora.modules_to_save", "names"),
    "peft_use_dora": Take("lora.dora", "bool", False),
    "peft_use_rslora": Take("lora.rslora", "bool", False),
    "peft_init_lora_weights": By("lora.initialisation"),
    "peft_autocast_adapter_dtype": By("lora.dtype"),
    "loraplus_lr_ratio": Take("lora.plus_ratio"),
    "sequence_len": By("data.max_length", 512),
    "excess_length_strategy": By("data.too_long", "drop"),
    "datasets": By("data.dataset; the command that imports each"),
    "test_datasets": By("--validation-file of the import"),
    "pretraining_dataset": By("the import of plain texts"),
    "val_set_size": By("--validation of the import", 0.0),
    "micro_batch_size": By("training.batch_size", 1),
    "gradient_accumulation_steps": By("training.accumulation, times the GPUs", 1),
    "batch_size": By("training.accumulation = batch_size // micro_batch_size, times the GPUs"),
    "eval_batch_size": By("evaluation.batch_size", "micro_batch_size"),
    "sample_packing": By("training.packing; their packs are training.step_tokens", False),
    "num_epochs": By("training.epochs", 1.0),
    "max_steps": By("training.max_steps"),
    "learning_rate": By("training.learning_rate"),
    "optimizer": By("training.optimizer", "adamw_torch_fused"),
    "lr_scheduler": By("training.schedule", "cosine"),
    **each(By("training.warmup_steps", "min(3 %, 100 steps)"), "warmup_steps"),
    **each(By("training.warmup_ratio"), "warmup_ratio"),
    "weight_decay": Take("training.weight_decay", default=0.0),
    "max_grad_norm": Take("training.max_gradient_norm", default=1.0),
    "neftune_noise_alpha": Take("training.neftune_alpha"),
    "noisy_embedding_alpha": Take("training.neftune_alpha"),
    "gradient_checkpointing": By("training.gradient_checkpointing", False),
    "torch_compile": By("training.compile"),
    "auto_find_batch_size": By("training.micro_batch: auto"),
    "seed": Take("training.seed", "int", 42),
    "logging_steps": Take("logging.every", "int"),
    **each(By("evaluation.every"), "eval_steps evals_per_epoch eval_strategy evaluation_strategy"),
    **each(By("checkpoints.every"), "save_steps saves_per_epoch"),
    "save_strategy": By("checkpoints.every", "epoch"),
    "save_total_limit": By("checkpoints.keep", 4),
    "early_stopping_patience": By("evaluation.patience"),
    "load_best_model_at_end": By("checkpoints.result: best"),
    **each(By("model.dtype", "auto"), "bf16"),
    **each(By("model.dtype"), "bfloat16 float32"),
    **each(By("float16 isn't computed in"), "fp16 float16"),
    **each(By("job.sharding: fsdp, with --gpus"), "fsdp fsdp_config fsdp_version"),
    "special_tokens": By("model.new_tokens for additional_special_tokens"),
    "tokens": By("model.new_tokens"),
    # Theirs is had in another way.
    **each(
        common.ATTENTION,
        "flash_attention sdp_attention xformers_attention flex_attention eager_attention "
        "sage_attention attn_implementation flash_attn_cross_entropy flash_attn_rms_norm "
        "flash_attn_fuse_qkv flash_attn_fuse_mlp flash_optimum flex_attn_compile_kwargs "
        "gemma4_hybrid_attn_impl large_head_attention flash_attn_d512 sdpa_varlen "
        "fused_attn_kernel batch_flattening pretrain_multipack_attn",
    ),
    **each(
        common.OWN_LOSS,
        "liger_fused_linear_cross_entropy liger_cross_entropy cut_cross_entropy "
        "chunked_cross_entropy chunked_cross_entropy_num_chunks unsloth_cross_entropy_loss",
    ),
    **each(
        common.OWN_KERNELS,
        "liger_rope liger_rms_norm liger_rms_norm_gated liger_layer_norm liger_layernorm "
        "liger_swiglu liger_glu_activation liger_use_token_scaling liger_kernel_impl "
        "lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel unsloth_lora_mlp "
        "unsloth_lora_qkv unsloth_lora_o unsloth_rms_norm unsloth_rope use_kernels tiled_mlp "
        "tiled_mlp_num_shards tiled_mlp_use_original_mlp experts_implementation "
        "use_scattermoe use_sonicmoe use_dsv4_kernels use_glm_dsa_kernels "
        "dsv4_fp8_nonexpert_mode dsv4_fp8_lora_kernel dsv4_shared_mlp_lora_kernel dsv4_bf16_all "
        "dsv4_fp4_grouped_mode gemma4_fp8_nonexpert gemma4_nf4_nonexpert nvfp4_merge_aware "
        "nvfp4_merge_aware_start_step",
    ),
    **each(
        Ours("packed rows have no padding, padded ones only up to the longest of a batch"),
        "pad_to_sequence_len pad_to_multiple_of",
    ),
    **each(Ours("validation is packed as training is"), "eval_sample_packing"),
    **each(
        Ours("rows are laid out by best-fit decreasing within a step"),
        "sample_packing_group_size sample_packing_bin_size sample_packing_sequentially "
        "sample_packing_mp_start_method multipack_real_batches sample_packing_eff_est",
    ),
    **each(
        _PREPARED,
        "dataset_prepared_path skip_prepare_dataset dataset_processes dataset_keep_in_memory "
        "num_dataset_shards_to_save",
    ),
    **each(
        Ours("the data's own checks find duplicates: `workbench data near-duplicates`"),
        "dataset_exact_deduplication",
    ),
    **each(
        Ours("rows are shuffled anew each epoch, by the seed"),
        "shuffle_merged_datasets shuffle_before_merging_datasets",
    ),
    **each(
        Ours("model and tokenizer classes are transformers' own for the base"),
        "model_type type_of_model tokenizer_type tokenizer_use_fast tokenizer_legacy "
        "tokenizer_use_mistral_common tokenizer_save_jinja_files processor_type "
        "cls_model_config",
    ),
    **each(
        _FAMILY,
        "is_falcon_derived_model is_llama_derived_model is_mistral_derived_model "
        "is_qwen_derived_model",
    ),
    **each(Ours("an unknown key is always an error"), "strict"),
    **each(
        _GENERATION,
        "eval_table_size generate_samples num_generation_samples "
        "generation_max_new_tokens generation_temperature generation_top_p generation_top_k "
        "generation_prompt_ratio generation_do_sample eval_max_new_tokens do_causal_lm_eval "
        "eval_causal_lm_metrics",
    ),
    **each(
        Ours("a step whose loss or gradient is no number is skipped: training.skip_limit"),
        "loss_watchdog_threshold loss_watchdog_patience",
    ),
    **each(
        _INTERNAL,
        "world_size ddp device device_map is_preprocess preprocess_iterable total_num_tokens "
        "total_supervised_tokens axolotl_config_path capabilities env_capabilities gc_steps "
        "gc_collect_steps low_cpu_mem_usage lora_on_cpu qlora_sharded_model_loading max_memory "
        "gpu_memory_limit experimental_skip_move_to_device include_tkps save_first_step "
        "merge_lora merge_method lora_fan_in_fan_out embeddings_skip_upcast fp32_norms "
        "fp32_norm_classes",
    ),
    **each(
        Missing("rows are trained on their answers alone; import plain texts to train on all"),
        "train_on_inputs",
    ),
    **each(
        Missing(
            "the base's own chat template is used, since it is what the base knows; "
            "`workbench data xray` shows what a row becomes",
            ("tokenizer_default",),
        ),
        "chat_template",
    ),
    **each(
        Missing("the base's own chat template is used"),
        "chat_template_jinja chat_template_kwargs eot_tokens",
    ),
    **each(
        Missing("put the system turn into the rows: the template adds none of its own"),
        "default_system_message",
    ),
    # What nobody has here.
    **each(
        common.NO_TRACKER,
        "use_wandb wandb_project wandb_entity wandb_watch wandb_name "
        "wandb_run_id wandb_mode wandb_log_model use_mlflow mlflow_tracking_uri "
        "mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts use_comet "
        "comet_api_key comet_workspace comet_project_name comet_experiment_key comet_mode "
        "comet_online comet_experiment_config use_tensorboard use_trackio "
        "trackio_project_name trackio_run_name trackio_space_id use_otel_metrics "
        "otel_metrics_host otel_metrics_port use_swanlab swanlab_project "
        "swanlab_experiment_name swanlab_description swanlab_mode swanlab_workspace "
        "swanlab_api_key swanlab_log_model swanlab_web_host swanlab_api_host "
        "swanlab_lark_webhook_url swanlab_lark_secret swanlab_log_completions "
        "swanlab_completion_log_interval swanlab_completion_max_buffer",
    ),
    **each(common.NO_HUB, "push_dataset_to_hub hf_use_auth_token"),
    **each(
        Missing("an adapter always begins anew; one that is there can't be trained on"),
        "lora_model_dir",
    ),
    **each(
        Missing("`workbench train --resume` goes on with a run"), "auto_resume_from_checkpoints"
    ),
    **each(
        Missing(
            "a hub base is taken at the commit that is fetched; fetch the one you want with "
            "`hf download ID --revision REV --local-dir DIR` and name the folder"
        ),
        "revision_of_model model_revision",
    ),
    **each(
        Missing("a base's own config stays as it is", ()),
        "base_model_config overrides_of_model_config model_config overrides_of_model_kwargs "
        "model_kwargs rope_scaling",
    ),
    **each(Missing("the base's own tokenizer is used"), "tokenizer_config"),
    **each(
        Missing("embeddings grow by the rows that model.new_tokens need, and are trained alone"),
        "resize_token_embeddings_to_32x mean_resizing_embeddings shrink_embeddings "
        "added_tokens_overrides fix_untrained_tokens peft_trainable_token_indices "
        "peft_ensure_weight_tying",
    ),
    **each(common.SOME_LAYERS, "peft_layers_to_transform peft_layers_pattern"),
    **each(
        _PART,
        "peft_layer_replication "
        "lora_rank_pattern lora_alpha_pattern lora_target_parameters lora_exclude_modules",
    ),
    **each(
        Missing("the whole base or an adapter is trained, not a part of its weights"),
        "unfrozen_parameters reinit_weights lisa_n_layers lisa_step_interval "
        "lisa_layers_attribute spectrum_top_fraction spectrum_model_name freeze_mm_modules",
    ),
    **each(
        Missing("relora and the like aren't had"),
        "relora relora_prune_ratio "
        "relora_prune_method relora_cpu_offload relora_steps relora_warmup_steps "
        "relora_anneal_steps jagged_restart_steps jagged_restart_warmup_steps "
        "jagged_restart_anneal_steps mora use_mora mora_type",
    ),
    **each(
        Missing(
            "quantised weights as initialisation (LoftQ) aren't had; pissa is, on a whole base"
        ),
        "peft",
    ),
    **each(
        _NO_QUANTISER,
        "gptq model_quantization_config model_quantization_config_kwargs qat "
        "quantization quantize_moe_experts use_onebitllms llmcompressor fp8 fp8_config "
        "fp8_enable_fsdp_float8_all_gather nonexpert_quantization",
    ),
    **each(
        _SCHEDULE, "cosine_min_lr_ratio cosine_constant_lr_ratio lr_div_factor lr_quadratic_warmup"
    ),
    **each(_RATES, "embedding_lr embedding_lr_scale lr_groups"),
    **each(
        _OPTIMIZER,
        "adam_epsilon2 adam_beta3 torchdistx_path dion_lr dion_momentum "
        "dion_rank_fraction dion_rank_multiple_of qgalore_rank qgalore_update_proj_gap "
        "qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits "
        "qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size "
        "grokfast_alpha grokfast_lamb",
    ),
    **each(
        Missing(
            "activations are recomputed, not moved to the host: training.gradient_checkpointing"
        ),
        "activation_offloading layer_offloading selective_checkpointing ple_cpu_offload",
    ),
    **each(
        common.PARALLEL,
        "sequence_parallel_degree context_parallel_size heads_k_stride "
        "ring_attn_func tensor_parallel_size dp_shard_size dp_replicate_size "
        "expert_parallel_size expert_parallel_backend expert_parallel_num_nvl_bytes "
        "expert_parallel_num_rdma_bytes expert_parallel_token_capacity "
        "expert_parallel_fallback_on_unsupported",
    ),
    **each(
        Missing("FSDP saves its checkpoints as the run needs them"), "fsdp_final_state_dict_type"
    ),
    **each(Missing("DeepSpeed compiles nothing here: training.compile decides"), "deepcompile"),
    **each(
        Missing("processes are on this machine: job.processes"),
        "use_ray ray_run_name ray_num_workers resources_per_worker",
    ),
    **each(Missing("rows are trained on in random order"), "curriculum_sampling"),
    **each(
        Missing("import a part of the rows, or set data.train_rows"),
        "dataset_shard_num dataset_shard_idx min_sample_len max_prompt_len eval_sequence_len",
    ),
    **each(
        _NO_PRETRAINING,
        "pretraining_sample_concatenation pretrain_multipack_buffer_size "
        "streaming streaming_multipack_buffer_size",
    ),
    **each(
        Missing("the context stays as long as the base's"),
        "use_pose "
        "pose_split_on_token_ids pose_max_context_len pose_num_chunks s2_attention "
        "scaling_softmax scaling_softmax_factor scaling_softmax_bias",
    ),
    **each(
        common.OTHER_LOSS,
        "use_eaft eaft_alpha eaft_k kd_ce_alpha kd_alpha kd_temperature "
        "kd_beta kd_normalize_topk kd_online_server_base_url kd_online_topk "
        "kd_online_server kd_online_timeout kd_temperature_min",
    ),
    **each(
        Missing("plug-ins of Axolotl aren't read; what they set is listed by its own key"),
        "plugins trainer_cls",
    ),
    **each(
        Missing("`workbench eval` measures base and adapter on the validation split"),
        "do_bench_eval bench_dataset bench_split lm_eval_tasks lm_eval_batch_size "
        "lm_eval_post_train lm_eval_model",
    ),
    **each(Missing("the profiler of torch isn't started"), "profiler_steps profiler_steps_start"),
    **each(Missing("checkpoints come at steps, or by `workbench save`"), "dynamic_checkpoint"),
    **each(
        Missing("experts are trained as they are"),
        "llama4_linearized_experts dense_mixer "
        "expert_backend moe_grouped_backend moe_dequant_chunk_size moe_bnb_fast",
    ),
    **each(
        common.MULTIMODAL,
        "image_size image_resize_algorithm role_boundaries processor_kwargs is_multimodal",
    ),
    **each(
        Missing("`workbench review` compares answers; there is no web page"),
        "gradio_title gradio_share gradio_server_name gradio_server_port "
        "gradio_max_new_tokens gradio_temperature",
    ),
    **each(
        Missing("rows that are too long are handled as data.too_long says"),
        "max_packed_sequence_len",
    ),
    **each(
        _NO_RL,
        "nemo_gym_enabled hatchery trl vllm num_labels center_rewards_coefficient "
        "dpo_use_weighting "
        "dpo_label_smoothing precompute_ref_log_probs dpo_use_liger_kernel dpo_padding_free "
        "dpo_loss_type dpo_loss_weights dpo_beta dpo_use_logits_to_keep "
        "dpo_generate_during_eval dpo_norm_loss rpo_alpha orpo_alpha simpo_gamma cpo_alpha "
        "kto_desirable_weight kto_undesirable_weight rl_beta rl reward_model "
        "process_reward_model kd_trainer diffusion ebft",
    ),
}
