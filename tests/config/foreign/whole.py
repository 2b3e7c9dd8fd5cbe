"""Configs of other trainers, whole, in the style of their examples."""

AXOLOTL_QLORA = """\
base_model: someone/Llama-3.2-1B
model_type: AutoModelForCausalLM
load_in_8bit: false
load_in_4bit: true
strict: false
datasets:
  - path: someone/instructions
    type: alpaca
dataset_prepared_path: last_run_prepared
val_set_size: 0.05
output_dir: ./outputs/qlora-out
adapter: qlora
lora_model_dir:
sequence_len: 2048
sample_packing: true
eval_sample_packing: true
pad_to_sequence_len: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
peft_use_rslora: true
wandb_project:
wandb_entity: us
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: paged_adamw_8bit
lr_scheduler: cosine
learning_rate: 2e-4
bf16: auto
tf32: false
gradient_checkpointing: true
logging_steps: 1
flash_attention: true
evals_per_epoch: 4
saves_per_epoch: 1
early_stopping_patience: 3
weight_decay: 0.01
special_tokens:
  pad_token: "<|end|>"
  additional_special_tokens: ["<tool>"]
lr_schedular: cosine
"""

AXOLOTL_CHAT = """\
base_model: someone/Qwen-7B
plugins: [axolotl.integrations.liger.LigerPlugin]
liger_rms_norm: true
liger_fused_linear_cross_entropy: true
chat_template: chatml
datasets:
  - path: chats.jsonl
    ds_type: json
    type: chat_template
    field_messages: turns
    message_property_mappings: {role: who, content: said}
    roles: {assistant: [bot]}
    roles_to_train: [assistant]
    train_on_eos: turn
  - path: someone/pairs
    type: {field_instruction: ask, field_output: answer, format: "[INST] {instruction} [/INST]"}
  - path: someone/texts
    name: en
    split: train[:1%]
    type: completion
    field: body
val_set_size: 500
sequence_len: 8192
excess_length_strategy: truncate
micro_batch_size: 1
batch_size: 16
learning_rate: 0.00001
cosine_min_lr_ratio: 0.1
bf16: true
gradient_checkpointing: offload
warmup_ratio: 0.05
deepspeed: deepspeed_configs/zero3_bf16.json
tokens: ["<think>", "</think>"]
save_strategy: epoch
train_on_inputs: true
xformers_attention:
"""

LLAMA_FACTORY = """\
model_name_or_path: someone/Llama-3-8B
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: identity,alpaca_en_demo
template: llama3
max_samples: 1000
preprocessing_num_workers: 16
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none  # choices: [none, wandb]
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
"""

LLAMA_FACTORY_QLORA = """\
model_name_or_path: someone/Qwen-0.5B
quantization_bit: 4
quantization_method: bnb
lora_target: q_proj, v_proj
lora_rank: 16
loraplus_lr_ratio: 16.0
template: qwen
dataset: mine
dataset_dir: ./data
packing: true
early_stopping_steps: 4
load_best_model_at_end: true
eval_strategy: epoch
learning_rate: 5e-5
lr_scheduler_type: constant
warmup_steps: 20
optim: adafactor
neftune_noise_alpha: 5
upcast_layernorm: true
mask_history: true
"""

TRL_SCRIPT = """\
#!/bin/bash
set -e
# trl sft --lora_r 1 is only a remark
MODEL=someone/Qwen-0.5B
OUT=out/$MODEL
CUDA_VISIBLE_DEVICES=0,1 accelerate launch --num_processes 2 --mixed_precision bf16 \\
    trl/scripts/sft.py \\
    --model_name_or_path $MODEL \\
    --dataset_name someone/Chats \\
    --learning_rate 2.0e-4 --num_train_epochs 1 --packing \\
    --per-device-train-batch-size 2 --gradient_accumulation_steps=8 \\
    --eos_token '<|im_end|>' \\
    --eval_strategy steps --eval_steps 100 \\
    --use_peft --lora_r 32 --lora_alpha 16 \\
    --lora_target_modules q_proj k_proj v_proj o_proj \\
    --load_in_4bit --no_gradient_checkpointing \\
    --output_dir "${OUT}" --report_to none --push_to_hub "$@"  # to the hub
echo done
"""

TRL_FULL = """\
model_name_or_path: someone/opt-350m
dataset_name: someone/texts
lora_r: 16
lora_alpha: 32
max_steps: 1000
warmup_steps: 0.1
assistant_only_loss: true
torch_dtype: bfloat16
eval_strategy: no
lr_scheduler_type: warmup_stable_decay
"""

TRL_JSON = """\
{
  "training_args": {
    "output_dir": "out",
    "learning_rate": 0.0001,
    "optim": "OptimizerNames.PAGED_ADAMW_8BIT",
    "lr_scheduler_type": "SchedulerType.COSINE",
    "warmup_ratio": 0.03,
    "max_length": null,
    "fp16": true,
    "gradient_checkpointing_kwargs": {"use_reentrant": false},
    "save_strategy": "no",
    "report_to": ["wandb"]
  },
  "peft_config": {
    "r": 64,
    "lora_dropout": 0.1,
    "bias": "none",
    "task_type": "CAUSAL_LM",
    "target_modules": "all-linear",
    "init_lora_weights": "pissa"
  },
  "model_name_or_path": "someone/Mistral-7B",
  "dataset_name": "someone/guanaco"
}
"""

ADAPTER_CONFIG = """\
{"base_model_name_or_path": "someone/Qwen3-8B", "bias": "none", "eva_config": null,
 "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "lora_alpha": 32,
 "lora_dropout": 0.05, "megatron_core": "megatron.core", "modules_to_save": null,
 "peft_type": "LORA", "qalora_group_size": 16, "r": 16, "rank_pattern": {},
 "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "use_dora": true,
 "use_rslora": false}
"""

FILES = {
    "axolotl_qlora.yml": AXOLOTL_QLORA,
    "axolotl_chat.yml": AXOLOTL_CHAT,
    "llama_factory.yaml": LLAMA_FACTORY,
    "llama_factory_qlora.yaml": LLAMA_FACTORY_QLORA,
    "trl_script.sh": TRL_SCRIPT,
    "trl_full.yaml": TRL_FULL,
    "trl.json": TRL_JSON,
    "adapter_config.json": ADAPTER_CONFIG,
}
