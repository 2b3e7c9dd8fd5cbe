"""Number formats, the machine, and numbers of the loop."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Topic
from workbench.config.memory import base_dtype

TOPIC = Topic("Number formats, machine, regularisation")

_NEFTUNE = (5, 15)
_DECAY = 0.01
_SHORT = 200
"""Steps of a run that torch.compile's first minutes don't pay for."""


@TOPIC.rule(
    "compute-dtype-full-precision",
    "warning",
    "model.compute_dtype",
    when="a base in 4 bits on a GPU that computes in bfloat16, unpacked to float32: by "
    "compute_dtype, or by dtype with compute_dtype auto",
    why="Products in float32 run at a fraction of the speed and take twice the memory, and weights "
    "of 4 bits have nothing that bfloat16 would lose.",
    source="QLoRA, 2023: NF4 with bfloat16 compute; bitsandbytes' documentation of "
    "bnb_4bit_compute_dtype",
    mend="auto",
)
def _compute(case: Case) -> Iterator[Found]:
    model, device = case.config.model, case.machine.device
    if not case.four_bits or not device.gpu or not device.bfloat16:
        return
    if "float32" in (model.compute_dtype, model.dtype):
        text = f"dtype is {model.dtype}, compute_dtype {model.compute_dtype}, on "
        text += f"{case.machine.name}."
        yield Found(text, ("model.compute_dtype=auto", "model.dtype=auto"))


@TOPIC.rule(
    "bfloat16-compute-on-processor",
    "warning",
    "model.compute_dtype",
    when="a base in 4 bits on a processor, unpacked to bfloat16",
    why="bitsandbytes unpacks far slower to bfloat16 than to float32 on a processor.",
    source="measured with bitsandbytes 0.50 on two cores, training/model.py",
    mend="auto",
)
def _compute_on_processor(case: Case) -> Iterator[Found]:
    model = case.config.model
    unpacked = model.dtype if model.compute_dtype == "auto" else model.compute_dtype
    if case.four_bits and not case.machine.device.gpu and unpacked == "bfloat16":
        text = f"dtype is {model.dtype}, compute_dtype {model.compute_dtype}, on "
        text += f"{case.machine.name}."
        yield Found(text, ("model.compute_dtype=auto", "model.dtype=auto"))


@TOPIC.rule(
    "bfloat16-not-in-hardware",
    "warning",
    "model.dtype",
    when="model.dtype or compute_dtype of bfloat16 where the GPU or the processor doesn't compute "
    "in it (GPUs before Ampere; processors without avx512_bf16 or amx_bf16)",
    why="It is emulated there, slower than float32.",
    source="torch.cuda.is_bf16_supported; training/model.py",
    mend="auto",
)
def _no_bfloat16(case: Case) -> Iterator[Found]:
    model, device = case.config.model, case.machine.device
    told = any(True for _ in _compute_on_processor(case))
    if "bfloat16" in (model.dtype, model.compute_dtype) and not device.bfloat16 and not told:
        fix = [f"model.{n}=auto" for n in ("dtype", "compute_dtype") if _is_bf16(case, n)]
        yield Found(f"bfloat16 is asked for on {case.machine.name}.", tuple(fix))


def _is_bf16(case: Case, name: str) -> bool:
    return str(getattr(case.config.model, name)) == "bfloat16"


@TOPIC.rule(
    "float32-on-bfloat16-hardware",
    "hint",
    "model.dtype",
    when="LoRA on an unquantised base in float32, where the machine computes in bfloat16",
    why="The frozen base takes twice the memory and its products more time, and the adapter stays "
    "in float32 either way.",
    source="training/model.py: a step in bfloat16 takes 0.64 of the time on a processor with "
    "avx512_bf16; on GPUs less still",
    mend="auto",
)
def _float32(case: Case) -> Iterator[Found]:
    plain = case.is_lora and not case.quantised and case.config.model.dtype == "float32"
    if plain and case.machine.device.bfloat16:
        yield Found(f"model.dtype is float32 on {case.machine.name}.", ("model.dtype=auto",))


@TOPIC.rule(
    "full-fine-tuning-in-bfloat16",
    "hint",
    "model.dtype",
    when="full fine-tuning with model.dtype of bfloat16",
    why="An update under 1/256 of a weight is often none at all in bfloat16, and the updates of "
    "full fine-tuning are that small.",
    source="training/model.py; torchtune trains so all the same, for half the memory",
    mend="auto (float32), where memory has room",
)
def _full_bfloat16(case: Case) -> Iterator[Found]:
    if case.is_lora or base_dtype(case.config, case.machine.device) != "bfloat16":
        return
    share = case.share(case.foretold(model={"dtype": "auto"}))
    if share is None or share <= 1:
        yield Found("The trained weights are in bfloat16.", ("model.dtype=auto",))


@TOPIC.rule(
    "fp4-instead-of-nf4",
    "hint",
    "model.quantization",
    when="model.quantization is fp4",
    why="NF4 keeps more of a base's quality at the same size: its levels follow the normal "
    "distribution that weights have.",
    source="QLoRA, 2023, section 4: NF4 over FP4 by about a point on MMLU",
    mend="nf4",
)
def _fp4(case: Case) -> Iterator[Found]:
    if case.config.model.quantization == "fp4":
        yield Found("The base is held in FP4.", ("model.quantization=nf4",))


@TOPIC.rule(
    "upcast-for-nothing",
    "hint",
    "model.upcast",
    when="model.upcast",
    why="Norms, embeddings and head in float32 take twice their memory, and attention its slower "
    "kernel, with equal results.",
    source="TRL pull request 4457",
    mend="off",
)
def _upcast(case: Case) -> Iterator[Found]:
    if case.config.model.upcast:
        text = "model.upcast is on."
        now, without = case.forecast, case.foretold(model={"upcast": False})
        if now and without and now.total > without.total:
            text += f" It takes {(now.total - without.total) / 2**20:,.0f} MiB by the forecast."
        yield Found(text, ("model.upcast=false",))


@TOPIC.rule(
    "quantised-on-processor",
    "hint",
    "model.quantization",
    when="a quantised base on a machine without a GPU",
    why="bitsandbytes' kernels for processors are slow; they are for trying out.",
    source="bitsandbytes 0.50 on a processor: docs/benchmarks.md",
)
def _on_processor(case: Case) -> Iterator[Found]:
    if case.quantised and not case.machine.device.gpu:
        kind = case.config.model.quantization
        yield Found(
            f"{kind} on {case.machine.name}.",
            do="Use a GPU; or model.quantization=none, where memory has room.",
        )


@TOPIC.rule(
    "paged-without-gpu",
    "hint",
    "training.optimizer",
    when="a paged optimiser on a machine without a GPU",
    why="There is nothing to page to: its state stays in plain memory.",
    source="bitsandbytes; training/optimizers.py",
    mend="AdamW; of Lion the one that isn't paged",
)
def _paged(case: Case) -> Iterator[Found]:
    kind = case.config.training.optimizer
    if kind.startswith("paged") and not case.machine.device.gpu:
        plain = "lion_8bit" if "lion" in kind else "adamw"
        yield Found(f"training.optimizer is {kind}.", (f"training.optimizer={plain}",))


@TOPIC.rule(
    "compile-does-not-pay",
    ("warning", "hint"),
    "training.compile",
    when="training.compile on a machine without a GPU; a hint on a GPU in a run of fewer than 200 "
    "steps",
    why="Compiling whole layers takes a minute or more to begin with, and is for GPUs, where norms "
    "and activations are compiled anyway.",
    source="torchtune's README: 7,075 to 8,998 tokens a second, 27 % more; the bound is ours",
    mend="off",
)
def _compile(case: Case) -> Iterator[Found]:
    fix = ("training.compile=false",)
    if not case.config.training.compile:
        return
    if not case.machine.device.gpu:
        yield Found(f"training.compile on {case.machine.name}.", fix)
    elif case.steps and case.steps < _SHORT:
        yield Found(f"training.compile for {case.steps:,} steps.", fix, severity="hint")


@TOPIC.rule(
    "processes-without-gpus",
    "warning",
    "job.processes",
    when="more processes than GPUs on this machine",
    why="On a processor they share its cores and each holds the whole model; on GPUs there is one "
    "to a process.",
    source="docs/ranks.md",
    mend="as many as there are GPUs",
)
def _processes(case: Case) -> Iterator[Found]:
    job, gpus = case.config.job, case.machine.gpus
    if job.processes > max(1, gpus):
        settings = [f"job.processes={max(1, gpus)}"]
        if gpus <= 1 and job.sharding != "none":
            settings.append("job.sharding=none")
        text = f"job.processes is {job.processes}, and this machine shows "
        yield Found(f"{text}{gpus or 'no'} GPU{'' if gpus == 1 else 's'}.", tuple(settings))


@TOPIC.rule(
    "neftune-outside-range",
    "hint",
    "training.neftune_alpha",
    when="training.neftune_alpha over 0 and under 5, or over 15",
    why="The paper's gains are at 5 to 15: less is hardly noise, more drowns the words.",
    source="NEFTune, 2023 (Jain et al.): alpha of 5, 10, 15",
    mend="5",
)
def _neftune(case: Case) -> Iterator[Found]:
    alpha = case.config.training.neftune_alpha
    if alpha and not _NEFTUNE[0] <= alpha <= _NEFTUNE[1]:
        yield Found(f"training.neftune_alpha is {alpha:g}.", ("training.neftune_alpha=5",))


@TOPIC.rule(
    "weight-decay-on-lora",
    "hint",
    "training.weight_decay",
    when="LoRA with training.weight_decay over 0.01",
    why="It draws A and B to zero, and so the model back to its base; most take 0 or 0.01.",
    source="QLoRA, 2023: 0; Unsloth: 0.001 to 0.01; torchtune: 0.01",
    mend="0.01",
)
def _decay(case: Case) -> Iterator[Found]:
    decay = case.config.training.weight_decay
    if case.is_lora and decay > _DECAY:
        yield Found(f"training.weight_decay is {decay:g}.", ("training.weight_decay=0.01",))


@TOPIC.rule(
    "gradients-not-clipped",
    "warning",
    "training.max_gradient_norm",
    when="training.max_gradient_norm of 0",
    why="One bad row can then take a step that undoes hundreds.",
    source="transformers: 1.0; QLoRA, 2023: 0.3",
    mend="1.0",
)
def _clip(case: Case) -> Iterator[Found]:
    if not case.config.training.max_gradient_norm:
        yield Found("Gradients are not clipped.", ("training.max_gradient_norm=1.0",))


@TOPIC.rule(
    "seed-not-named",
    "hint",
    "training.seed",
    when="the config doesn't name training.seed",
    why="It is 0 then, so the run can be repeated; but all configs that leave it out share one "
    "order of rows and one start, and one run can't tell a change from luck.",
    source="Dodge et al., Fine-Tuning Pretrained Language Models, 2020: seeds alone move results "
    "by points",
)
def _seed(case: Case) -> Iterator[Found]:
    if "seed" not in case.config.training.model_fields_set:
        yield Found("No seed is named.", do="Write `seed: 0`, or another, under `training:`.")
