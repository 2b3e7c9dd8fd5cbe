"""Keys that several trainers have, with what becomes of them."""

from __future__ import annotations

from workbench.config.foreign.rules import Missing, Ours, Rule, each

NO_TRACKER = Missing(
    "a run sends nothing: its figures, and a TensorBoard event file, stay in its folder; "
    "`workbench runs track` sends them to trackio, MLflow or W&B"
)
NO_HUB = Missing("nothing is pushed: `workbench export` writes the adapter or the merged model")
DEEPSPEED = Missing(
    "set job.accelerate_config to a file of accelerate with distributed_type: DEEPSPEED that names "
    "it as deepspeed_config_file (docs/ranks.md), and job.processes; or leave it out: job.sharding "
    "fsdp shares weights, gradients and optimiser state as ZeRO-3 does"
)
NO_REMOTE_CODE = Missing("code of a model or data set is never run; take a base without it")
ATTENTION = Ours(
    "attention is chosen here: torch's varlen attention for packed rows where the GPU has it, "
    "else SDPA; a row never sees another"
)
OWN_LOSS = Ours(
    "the loss is our own: only trained tokens meet the vocabulary, in chunks, so that the logits "
    "are never held whole"
)
OWN_KERNELS = Ours(
    "no kernels of others are patched in; adapters have a fast path of our own, with the same "
    "numbers"
)
LOADING = Ours("data is encoded before the run and read as it goes: there is nothing to set")
PARALLEL = Missing("a row isn't shared by GPUs: a shorter data.max_length, or job.sharding fsdp")
MULTIMODAL = Missing("workbench trains on text alone")
REPORTING = Ours("a run reports this by itself: see `workbench attach`")
OTHER_LOSS = Missing("the loss is the mean cross-entropy of the trained tokens of a step")
SOME_LAYERS = Missing(
    r"a pattern in lora.target_modules names the layers, such as .*layers\.[01]\..*_proj"
)
ADAM = "it is AdamW's usual one, which can't be set"

SHARED: dict[str, Rule] = {
    **each(DEEPSPEED, "deepspeed"),
    **each(NO_REMOTE_CODE, "trust_remote_code"),
    **each(Missing(ADAM, (0.9,)), "adam_beta1"),
    **each(Missing(ADAM, (0.999,)), "adam_beta2"),
    **each(Missing(ADAM, (1e-8,)), "adam_epsilon"),
    **each(Missing("optimisers have no options but learning rate and weight decay"), "optim_args"),
    **each(
        Missing("schedules have no options: cosine and linear fall to 0"), "lr_scheduler_kwargs"
    ),
    **each(Missing("the trained modules are named by lora.target_modules"), "optim_target_modules"),
    **each(
        Ours("the loss is what counts: the lowest validation loss is the best"),
        "greater_is_better",
    ),
    **each(
        Missing("the lowest validation loss is the best", ("loss", "eval_loss", "validation_loss")),
        "metric_for_best_model",
    ),
    **each(Ours("checkpointing of torch, without re-entrance"), "gradient_checkpointing_kwargs"),
    **each(
        Missing("a run goes on by `workbench train --resume RUN`; theirs can't be read"),
        "resume_from_checkpoint",
    ),
    **each(Ours("checkpoints are whole, so that a run can go on"), "save_only_model"),
    **each(Ours("weights are safetensors, always"), "save_safetensors"),
    **each(
        Ours("a run has a folder of its own: runs/ID in the workspace"),
        "output_dir overwrite_output_dir logging_dir",
    ),
    **each(
        NO_HUB,
        "hub_model_id hub_strategy hub_revision hub_token hub_private_repo "
        "hub_always_push push_to_hub",
    ),
    **each(
        LOADING,
        "dataloader_pin_memory dataloader_num_workers dataloader_prefetch_factor "
        "dataloader_persistent_workers dataloader_multiprocessing_context dataloader_in_order "
        "remove_unused_columns dataset_num_proc label_names length_column_name",
    ),
    **each(Missing("the last step of an epoch has the rows that are left"), "dataloader_drop_last"),
    **each(
        Ours("rows of like lengths go together within a step; which rows a step has is random"),
        "group_by_length",
    ),
    **each(Ours("accelerate is set up here"), "accelerator_config"),
    **each(
        Ours("DDP is set up here"),
        "ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers "
        "ddp_find_unused_parameters ddp_backend ddp_static_graph local_rank",
    ),
    **each(Ours("tf32 is torch's own choice; products are in bfloat16 on a GPU"), "tf32"),
    **each(
        Ours("torch.compile with torch's defaults, of the decoder layers"),
        "torch_compile_backend torch_compile_mode torch_compile_options",
    ),
    **each(Ours("memory is given back where it is needed"), "torch_empty_cache_steps"),
    **each(REPORTING, "include_tokens_per_second include_num_input_tokens_seen"),
    **each(
        Missing("LoRA+ has no rate of its own for embeddings", (1e-6,)), "loraplus_lr_embedding"
    ),
}
"""Of transformers' TrainingArguments, or named as they are there."""
