"""transformers' TrainingArguments (5.23), which LLaMA-Factory and TRL add theirs to."""

from __future__ import annotations

from workbench.config.foreign import batches, cadence, learning, switches
from workbench.config.foreign import common_keys as common
from workbench.config.foreign.rules import By, Missing, Ours, Rule, Take, each
from workbench.config.foreign.taking import NO_RESULT, Taking

_MICRO = ("per_device_train_batch_size", "per_gpu_train_batch_size")
_OPTIMIZER = ("optim",)
_SCHEDULE = ("lr_scheduler_type",)

MEASURED = Missing("`workbench eval` answers the validation rows and measures them")

RULES: dict[str, Rule] = {
    **common.SHARED,
    **each(By("training.batch_size", 8), " ".join(_MICRO)),
    "gradient_accumulation_steps": By("training.accumulation, times the GPUs", 1),
    **each(By("evaluation.batch_size", 8), "per_device_eval_batch_size per_gpu_eval_batch_size"),
    "auto_find_batch_size": By("training.micro_batch: auto"),
    "num_train_epochs": By("training.epochs", 3.0),
    "max_steps": By("training.max_steps"),
    "learning_rate": By("training.learning_rate"),
    "lr_scheduler_type": By("training.schedule", "linear"),
    "warmup_steps": By("training.warmup_steps; below 1 warmup_ratio", 0),
    "warmup_ratio": By("training.warmup_ratio"),
    "optim": By("training.optimizer", "adamw_torch_fused"),
    "weight_decay": Take("training.weight_decay", default=0.0),
    "max_grad_norm": Take("training.max_gradient_norm", default=1.0),
    "neftune_noise_alpha": Take("training.neftune_alpha"),
    "seed": Take("training.seed", "int", 42),
    **each(By("evaluation.every", "no"), "eval_strategy evaluation_strategy"),
    "eval_steps": By("evaluation.every", "logging_steps"),
    "save_strategy": By("checkpoints.every", "steps"),
    "save_steps": By("checkpoints.every", 500),
    "save_total_limit": By("checkpoints.keep: all of them is 1000"),
    "load_best_model_at_end": By("checkpoints.result: best"),
    "torch_compile": By("training.compile"),
    "logging_steps": By("logging.every"),
    **each(By("model.dtype"), "bf16"),
    **each(By("float16 isn't computed in"), "fp16"),
    **each(By("job.sharding: fsdp, with --gpus"), "fsdp fsdp_config"),
    **each(By("job.processes"), "num_processes nproc_per_node num_gpus"),
    "data_seed": Missing("the order of the rows is by training.seed, too"),
    **each(Missing("the loss is not smoothed"), "label_smoothing_factor"),
    **each(
        Ours("every trained token of a step weighs the same, over all processes"),
        "average_tokens_across_devices",
    ),
    **each(common.OWN_KERNELS, "use_liger_kernel liger_kernel_config"),
    **each(
        common.REPORTING,
        "logging_strategy logging_first_step log_on_each_node logging_nan_inf_filter log_level "
        "log_level_replica disable_tqdm skip_memory_metrics debug",
    ),
    **each(
        common.NO_TRACKER,
        "report_to project trackio_space_id trackio_bucket_id trackio_static_space_id",
    ),
    "run_name": Ours("a run is called by the config's name, and its id adds a number"),
    **each(
        Ours("validation is measured at the start, every evaluation.every steps and at the end"),
        "do_train do_eval eval_on_start eval_do_concat_batches eval_use_gather_object "
        "eval_accumulation_steps batch_eval_metrics prediction_loss_only bf16_full_eval "
        "fp16_full_eval",
    ),
    **each(Missing("validation begins with the first step"), "eval_delay"),
    **each(MEASURED, "do_predict include_for_metrics"),
    **each(
        Ours("checkpoints are whole and saved by one process"),
        "save_on_each_node enable_jit_checkpoint",
    ),
    **each(
        Ours("a resumed run takes the very rows that it would have taken"),
        "ignore_data_skip restore_callback_states_from_checkpoint full_determinism",
    ),
    **each(
        Missing("a run takes a GPU where there is one: CUDA_VISIBLE_DEVICES='' hides it"),
        "use_cpu no_cuda use_mps_device",
    ),
    **each(common.PARALLEL, "parallelism_config"),
    **each(Ours("the cache of keys and values is off while it trains"), "use_cache"),
    **each(
        Missing("rows are trained on in random order, anew each epoch", ("random",)),
        "train_sampling_strategy",
    ),
    **each(
        By("training.gradient_checkpointing"), "activation_checkpointing gradient_checkpointing"
    ),
    **each(
        Ours("checkpointing of torch, without re-entrance"),
        "activation_checkpointing_kwargs gradient_checkpointing_use_reentrant use_reentrant_gc",
    ),
    # Of launchers, in a command line.
    **each(
        Missing(
            "workbench starts its own processes: job.processes, job.sharding and "
            "job.accelerate_config"
        ),
        "accelerate_config config_file mixed_precision num_machines machine_rank multi_gpu "
        "main_process_port main_process_ip nnodes node_rank master_addr master_port standalone "
        "rdzv_backend rdzv_endpoint use_deepspeed zero_stage module dynamo_backend gpu_ids",
    ),
}


def rows(taking: Taking, packing: str, note: str = "") -> None:
    """What a step takes, and the rows that are evaluated at once.

    `packing` is their key for it, `note` what else is different with it.
    """
    keys = batches.Keys(
        _MICRO,
        ("gradient_accumulation_steps",),
        (packing,),
        default=(8, 1),
        packed_note=note,
    )
    batches.step(taking, keys)
    setting = taking.setting("per_device_eval_batch_size", "per_gpu_eval_batch_size")
    if setting is None:
        taking.default("per_device_eval_batch_size", 8, {"evaluation.batch_size": 8})
        return
    count = taking.read(setting, "int")
    if count is not NO_RESULT:
        taking.take(setting, {"evaluation.batch_size": count})


def processes(taking: Taking) -> None:
    """How many GPUs it ran on, where a command line says so."""
    for key in ("num_processes", "nproc_per_node", "num_gpus"):
        if (setting := taking.setting(key)) is None:
            continue
        count = taking.read(setting, "int")
        if count is NO_RESULT:
            continue
        if taking.gpus == 1:
            taking.gpus = max(1, count)
        taking.take(setting, {"job.processes": taking.gpus})


def learn(taking: Taking, rate: float) -> None:
    """Learning rate (`rate` by default), epochs, optimiser, schedule."""
    learning.capped(taking, "learning_rate", "training.learning_rate", rate)
    learning.capped(taking, "num_train_epochs", "training.epochs", 3.0)
    learning.most_steps(taking)
    learning.optimizer(taking, _OPTIMIZER, "adamw_torch_fused")
    learning.warm_up(taking, learning.schedule(taking, _SCHEDULE, "linear"))


def often(taking: Taking, logged: int, patience: str) -> None:
    """When there is logged, validated, saved and ended; `logged` is their default of the first."""
    every = logged
    if (setting := taking.setting("logging_steps")) is not None:
        steps = taking.read(setting, "float")
        if steps is not NO_RESULT and steps >= 1:
            every = int(steps)
            taking.take(setting, {"logging.every": every})
        elif steps is not NO_RESULT:
            taking.ours(setting, "a share of the run; here every step is logged")
    else:
        text = "every step is logged here: it costs nothing, and changes nothing"
        taking.default("logging_steps", logged, {}, text)
    evaluation = cadence.Keys(
        "eval_steps", ("eval_strategy", "evaluation_strategy"), "no", default_steps=every
    )
    cadence.every(taking, cadence.EVALUATION, evaluation)
    saves = cadence.Keys("save_steps", ("save_strategy",), "steps", default_steps=500)
    cadence.every(taking, cadence.CHECKPOINTS, saves)
    cadence.keep(taking, "save_total_limit", None)
    cadence.patience(taking, patience)
    cadence.best(taking)


def machine(taking: Taking, *, recomputed: bool) -> None:
    """What it costs the GPU; `recomputed` is their default for gradient checkpointing."""
    switches.checkpointing(taking, default=recomputed)
    switches.compiled(taking)
    switches.batch_size_by_trying(taking)
    for key in ("fsdp", "fsdp_config"):
        if (setting := taking.setting(key)) is None:
            continue
        if taking.gpus > 1:
            taking.take(setting, {"job.sharding": "fsdp"}, "FSDP2, by the decoder layer")
        else:
            text = "it needs several processes: give --gpus N, or set job.processes, job.sharding"
            taking.missing(setting, text)
