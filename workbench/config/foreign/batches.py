"""How many rows a step has, and how they are laid out: the same question in every trainer."""

from __future__ import annotations

from workbench.config.foreign.taking import NO_RESULT, Taking


def rows_a_step(
    taking: Taking,
    micro: tuple[str, ...],
    accumulation: tuple[str, ...],
    *,
    default: tuple[int, int],
    total: str = "",
) -> None:
    """The rows of a step: theirs are those of one GPU times the GPUs, ours are over all.

    `micro`, `accumulation` and `total` are their keys; `default` is theirs for the first two.
    """
    whole = taking.setting(total) if total else None
    at_once = _whole(taking, micro, default[0])
    batches = taking.setting(*accumulation)
    if whole is not None and batches is None:
        # Axolotl: gradient_accumulation_steps = batch_size // micro_batch_size, on each GPU.
        times = max(1, _whole(taking, (total,), at_once) // max(at_once, 1))
    else:
        times = _whole(taking, accumulation, default[1])
    rows = at_once * times * taking.gpus
    said = f"{at_once} x {times} x {taking.gpus} GPUs = {rows} rows a step, counted over all here"
    if taking.gpus == 1:
        said = (
            f"a step has {at_once} x {times} = {rows} rows. There they are counted on each GPU, "
            "here over all: give --gpus N if it ran on several"
        )
    first = {"training.batch_size": at_once}
    second = {"training.accumulation": times * taking.gpus}
    if taking.gpus > 1:
        second["job.processes"] = taking.gpus
    if setting := taking.setting(*micro):
        taking.take(setting, first, "rows that go through the model at once")
    else:
        taking.default(micro[0], default[0], first)
    if batches is not None:
        taking.take(batches, second, said)
        if whole is not None:
            taking.doubt(whole, f"{batches.key} stands beside it, and counts here.")
    elif whole is not None:
        taking.take(whole, second, said)
    else:
        taking.default(accumulation[0], default[1], second, said)


def packing(taking: Taking, keys: tuple[str, ...], note: str = "") -> None:
    """Whether rows are packed. With it, theirs count packs to a step, and ours rows.

    A pack of theirs is as long as a row may be, which data.max_length has already.
    """
    setting = taking.setting(*keys)
    if setting is None:
        sets = {"training.packing": False}
        text = "true would be faster here, with the same rows and update a step"
        taking.default(keys[0], False, sets, text)
        return
    wanted = taking.read(setting, "bool")
    if wanted is NO_RESULT:
        return
    if not wanted:
        text = "true would be faster here, with the same rows and update a step"
        taking.take(setting, {"training.packing": False}, text)
        return
    length = int(taking.values["data.max_length"])
    packs = taking.rows_a_step
    here = taking.dataset
    base = str(taking.values.get("model.base", ""))
    mean = taking.around.mean_tokens(here.reference, base) if here else None
    note = f" {note}" if note else ""
    if mean is None:
        text = (
            f"a step has {packs} packs of up to {length} tokens there, each with as many rows as "
            f"fit. Here it has {packs} rows, packed or not: too few. Measure the dataset and "
            "import this config once more, or set training.accumulation to "
            f"{taking.values['training.accumulation']} x {length} / (mean tokens of a row).{note}"
        )
        taking.again = taking.measure = True
        taking.doubt(setting, text, {"training.packing": True})
        return
    fit = max(1, int(length / mean))
    times = taking.values["training.accumulation"] * fit
    text = (
        f"a step has {packs} packs of up to {length} tokens there; a row has {mean:.0f} on "
        f"average, so that about {fit} fit: {packs * fit} rows a step, {fit} times as many.{note}"
    )
    sets = {"training.packing": True, "training.accumulation": min(times, 4096)}
    taking.ours(setting, text, sets)


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
