"""What a step takes, and how it is laid out: the same question in every trainer."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.config.foreign.taking import NO_RESULT, Taking

_ALONE = "true would be faster here, with the same rows and update a step"


@dataclass(frozen=True, slots=True)
class Keys:
    """Theirs."""

    micro: tuple[str, ...]
    """Rows, or packs, that go through the model at once on each GPU."""
    accumulation: tuple[str, ...]
    packing: tuple[str, ...]
    default: tuple[int, int]
    """Theirs for the first two."""
    total: str = ""
    """Of one GPU's whole step, where there is such a key."""
    packed_note: str = ""
    """What else is different where it is packed."""


def step(taking: Taking, keys: Keys) -> None:
    """What a step takes: theirs is that of one GPU times the GPUs, ours is over all.

    Packed, theirs counts packs, each as long as a row may be (data.max_length is set already)
    and with as many rows as fit; here that is a budget of tokens.
    """
    packed = taking.flag(*keys.packing)
    whole = taking.setting(keys.total) if keys.total else None
    at_once = _whole(taking, keys.micro, keys.default[0])
    batches = taking.setting(*keys.accumulation)
    if whole is not None and batches is None:
        # Axolotl: gradient_accumulation_steps = batch_size // micro_batch_size, on each GPU.
        times = max(1, _whole(taking, (keys.total,), at_once) // max(at_once, 1))
    else:
        times = _whole(taking, keys.accumulation, keys.default[1])
    length = int(taking.values["data.max_length"])
    if packed:
        first = {"training.micro_batch_tokens": at_once * length}
        second = {"training.step_tokens": at_once * times * taking.gpus * length}
    else:
        first = {"training.batch_size": at_once}
        second = {"training.accumulation": times * taking.gpus}
    if taking.gpus > 1:
        second["job.processes"] = taking.gpus
    said = _in_words(at_once, times, taking.gpus, length if packed else 0)
    at = f"packs of {length} tokens" if packed else "rows"
    if setting := taking.setting(*keys.micro):
        taking.take(setting, first, f"{at} that go through the model at once")
    else:
        taking.default(keys.micro[0], keys.default[0], first)
    if batches is not None:
        taking.take(batches, second, said)
        if whole is not None:
            taking.doubt(whole, f"{batches.key} stands beside it, and counts here.")
    elif whole is not None:
        taking.take(whole, second, said)
    else:
        taking.default(keys.accumulation[0], keys.default[1], second, said)
    _packing(taking, keys)


def _packing(taking: Taking, keys: Keys) -> None:
    setting = taking.setting(*keys.packing)
    sets = {"training.packing": False}
    if setting is None:
        taking.default(keys.packing[0], False, sets, _ALONE)
        return
    wanted = taking.read(setting, "bool")
    if wanted is NO_RESULT:
        return
    if not wanted:
        taking.take(setting, sets, _ALONE)
        return
    text = "a step of theirs has so many packs, not rows: training.step_tokens is as large"
    note = f"{text}. {keys.packed_note}" if keys.packed_note else text
    taking.take(setting, {"training.packing": True}, note)


def _in_words(at_once: int, times: int, gpus: int, length: int) -> str:
    product = f"{at_once} x {times}" + (f" x {gpus} GPUs" if gpus > 1 else "")
    many = at_once * times * gpus
    if length:
        what = f"a step has {product} = {many} packs of up to {length} tokens"
    else:
        what = f"a step has {product} = {many} row{'' if many == 1 else 's'}"
    if gpus > 1:
        return f"{what}, counted over all GPUs here"
    return f"{what}. There that is on each GPU, here over all: give --gpus N if it ran on several"


def _whole(taking: Taking, keys: tuple[str, ...], default: int) -> int:
    found = taking.setting(*keys)
    if found is None:
        return default
    got = taking.read(found, "int")
    if got is NO_RESULT:
        return default
    if got < 1:
        taking.wrong(found, "it is at least 1.")
        return default
    return int(got)
