"""Switches that several keys, or several kinds of value, turn."""

from __future__ import annotations

from workbench.config.foreign.taking import NO_RESULT, Taking

_RECOMPUTED = "training.gradient_checkpointing"


def checkpointing(taking: Taking, *, default: bool) -> None:
    """Whether activations are recomputed; Axolotl's `offload` moves them, too."""
    setting = taking.setting("gradient_checkpointing", "activation_checkpointing")
    if setting is None:
        if _RECOMPUTED not in taking.values:
            taking.default("gradient_checkpointing", default, {_RECOMPUTED: default})
        return
    if str(setting.value).lower() in ("offload", "offload_disk", "unsloth", "legacy"):
        text = "activations are recomputed, and not moved to the host"
        taking.ours(setting, text, {_RECOMPUTED: True})
        return
    wanted = taking.read(setting, "bool")
    if wanted is not NO_RESULT:
        taking.take(setting, {_RECOMPUTED: wanted})


def compiled(taking: Taking) -> None:
    """torch.compile; Axolotl has `auto`, too."""
    if (setting := taking.setting("torch_compile")) is None:
        return
    if str(setting.value).lower() == "auto":
        taking.take(setting, {"training.compile": True}, "auto is true where torch can")
        return
    wanted = taking.read(setting, "bool")
    if wanted is not NO_RESULT:
        taking.take(setting, {"training.compile": wanted})


def batch_size_by_trying(taking: Taking) -> None:
    """`auto_find_batch_size`."""
    if (setting := taking.setting("auto_find_batch_size")) is None:
        return
    wanted = taking.read(setting, "bool")
    if wanted is not NO_RESULT and wanted and "training.micro_batch_tokens" in taking.values:
        taking.ours(setting, "training.micro_batch_tokens bounds what goes at once")
    elif wanted is not NO_RESULT and wanted:
        text = "as many as fit go at once; the rows of a step stay as they are"
        taking.take(setting, {"training.micro_batch": "auto"}, text)
    elif wanted is not NO_RESULT:
        taking.idle(setting)
