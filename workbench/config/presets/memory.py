"""Batch and checkpointing of a preset: what a machine has room for, else by the base's size."""

from __future__ import annotations

from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import Circumstances
from workbench.config.presets.figures import Figure, Note
from workbench.config.presets.general import LARGE, batch
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.text import size

_MOST_ON_GPU = 8
_MOST_ON_PROCESSOR = 4
_SPEEDS_LITTLE = 2
"""Rows at once from which more are hardly faster; a recomputed layer costs a third."""
_MID = 4_000_000_000
"""Parameters from which published recipes for one GPU checkpoint LoRA as well."""
_CHECKPOINTING = "training.gradient_checkpointing"
_RECIPES = "on (torchtune, Axolotl, alignment handbook)"


def fit(
    config: RunConfig,
    facts: BaseFacts,
    known: Circumstances | None,
    quantised: bool,
    notes: list[Note],
) -> dict[str, Figure]:
    """The batch and whether activations are recomputed, for `config` with the rest of a preset."""
    free = known.machine.free if known else None
    if known is not None and free is not None:
        try:
            return _measured(config, known, free, quantised, notes)
        except WorkbenchError as error:
            notes.append(Note(f"The memory can't be forecast: {error.message}"))
    return _by_size(facts.parameters, quantised)


def _measured(
    config: RunConfig, known: Circumstances, free: int, quantised: bool, notes: list[Note]
) -> dict[str, Figure]:
    most = _MOST_ON_GPU if known.machine.device.gpu else _MOST_ON_PROCESSOR
    room = f"{size(free)} free on {known.machine.name}"
    tried = [1 << n for n in range(most.bit_length() - 1, -1, -1)]
    needed = {
        (rows, again): _needs(config, known, rows, again)
        for again in (False, True)
        for rows in tried
    }
    for again in (False, True):
        for rows in tried:
            if needed[rows, again] > free or (rows < _SPEEDS_LITTLE and not again):
                continue
            why = f"forecast {size(needed[rows, again])}, {room}"
            return batch(rows, f"the most that fits, to {most}: {why}") | {
                _CHECKPOINTING: _recomputed(needed, again, room)
            }
    less = "a smaller base" if quantised else "QLoRA or a smaller base"
    notes.append(
        Note(
            f"It doesn't fit: one row at once with recomputed activations takes "
            f"{size(needed[1, True])}, and there is {room}. Try {less}, or a shorter cutoff "
            "(`workbench config forecast` tells what each switch saves)."
        )
    )
    return batch(1, f"not even one row fits in {room}") | {
        _CHECKPOINTING: Figure(True, "memory is short")
    }


def _recomputed(needed: dict[tuple[int, bool], int], again: bool, room: str) -> Figure:
    without = size(needed[_SPEEDS_LITTLE, False])
    if again:
        why = f"without it {_SPEEDS_LITTLE} rows at once take {without}, {room}"
        return Figure(True, why, _RECIPES)
    return Figure(False, f"there is room without it, and it is a third slower ({room})", _RECIPES)


def _needs(config: RunConfig, known: Circumstances, rows: int, again: bool) -> int:
    changed = {"batch_size": rows, "micro_batch": None, "gradient_checkpointing": again}
    training = config.training.model_copy(update=changed)
    found = known.forecast(config.model_copy(update={"training": training}))
    if found is None:
        raise WorkbenchError("the base isn't known.")
    return found.total


def _by_size(parameters: int, quantised: bool) -> dict[str, Figure]:
    if parameters > LARGE:
        found = batch(1, "a base above 13B: QLoRA, 2023 (the machine's memory isn't known)")
    elif parameters > _MID:
        found = batch(2, "torchtune, Axolotl (the machine's memory isn't known)")
    else:
        found = batch(4, "a small base (the machine's memory isn't known)")
    again = quantised or parameters > _MID
    why = "the machine's memory isn't known; about a third slower" if again else "a small base"
    return found | {_CHECKPOINTING: Figure(again, why, _RECIPES)}
