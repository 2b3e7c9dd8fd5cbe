from __future__ import annotations

import random
from dataclasses import replace

import pytest

from workbench.queue.choice import GIB, Gpu, Machine, Turn, choose, wanted_gpus
from workbench.queue.entries import Entry


def gpu(index: int, total: int | None = 80, used: float = 0, run: str = "", by: str = "") -> Gpu:
    """A GPU of `total` GiB, of which `used` are in use."""
    if total is None:
        return Gpu(index, f"GPU-{index}", None, None, by, run)
    free = int((total - used) * GIB)
    return Gpu(index, f"GPU-{index}", total * GIB, free, by, run)


def entry(name: str, gpus: int | None = None, memory: float | None = None) -> Entry:
    return Entry(name, gpus=gpus, gpu_memory=memory)


def decided(machine: Machine, *waiting: Entry) -> dict[str, list[int] | str]:
    """By run: the GPUs that it starts on, or why it waits."""
    turns = choose(machine, waiting)
    return {
        turn.entry.run: [g.index for g in turn.gpus] if turn.start else turn.text for turn in turns
    }


def test_without_gpus_one_run_at_a_time_has_the_processor() -> None:
    assert decided(Machine(), entry("a"), entry("b"), entry("c", gpus=0)) == {
        "a": [],
        "b": "waits for the processor: a has it",
        "c": "waits for the processor: a has it",
    }
    assert decided(Machine(run_on_cpu="x"), entry("a")) == {
        "a": "waits for the processor: x has it"
    }


def test_two_runs_start_side_by_side_on_two_gpus_and_a_third_waits() -> None:
    machine = Machine((gpu(0), gpu(1)))
    assert decided(machine, entry("a"), entry("b"), entry("c")) == {
        "a": [0],
        "b": [1],
        "c": "waits for 1 GPU that nobody uses: GPU 0 is given to a, ahead of it; "
        "GPU 1 is given to b, ahead of it",
    }


def test_a_run_in_several_processes_waits_for_a_gpu_for_each() -> None:
    both = Entry("a", processes=2)
    assert decided(Machine((gpu(0), gpu(1))), both, entry("b")) == {
        "a": [0, 1],
        "b": "waits for 1 GPU that nobody uses: GPU 0 is given to a, ahead of it; "
        "GPU 1 is given to a, ahead of it",
    }
    assert decided(Machine(), both) == {"a": []}


def test_a_gpu_that_a_run_holds_is_not_free_however_little_memory_it_uses() -> None:
    machine = Machine((gpu(0, run="x"), gpu(1)))
    assert decided(machine, entry("a", memory=10), entry("b", memory=10)) == {
        "a": [1],
        "b": "waits for 1 GPU with 10 GiB free: GPU 0 runs x; GPU 1 is given to a, ahead of it",
    }


def test_the_reason_names_who_holds_the_memory() -> None:
    machine = Machine((gpu(0, used=68, by="pid 4242 of alice holds 60 GiB"),))
    assert decided(machine, entry("a", memory=40))["a"] == (
        "waits for 1 GPU with 40 GiB free: GPU 0 has 12 GiB free (pid 4242 of alice holds 60 GiB)"
    )
    assert decided(machine, entry("a"))["a"] == (
        "waits for 1 GPU that nobody uses: GPU 0 has 68 GiB in use (pid 4242 of alice holds 60 GiB)"
    )


@pytest.mark.parametrize(("used", "starts"), [(0, True), (0.9, True), (1, True), (1.1, False)])
def test_what_the_driver_keeps_of_an_idle_gpu_is_nobodys(used: float, starts: bool) -> None:
    (turn,) = choose(Machine((gpu(0, used=used),)), [entry("a")])
    assert turn.start is starts


def test_a_shared_gpu_is_free_for_whom_there_is_room_enough() -> None:
    machine = Machine((gpu(0, used=30),))
    assert decided(machine, entry("a", memory=50)) == {"a": [0]}
    assert "50 GiB free" in decided(machine, entry("a", memory=50.1))["a"]


def test_several_gpus_are_had_together_or_not_at_all() -> None:
    machine = Machine((gpu(0), gpu(1, run="x"), gpu(2)))
    assert decided(machine, entry("a", gpus=2)) == {"a": [0, 2]}
    assert decided(machine, entry("a", gpus=3)) == {
        "a": "waits for 3 GPUs that nobody uses: GPU 0 is free; GPU 1 runs x; GPU 2 is free"
    }


def test_who_waits_for_two_gpus_is_not_overtaken_on_one_of_them() -> None:
    machine = Machine((gpu(0), gpu(1, run="x")))
    assert decided(machine, entry("wide", gpus=2), entry("narrow", gpus=1))["narrow"] == (
        "waits for 1 GPU that nobody uses: GPU 0 is kept for wide, ahead of it; GPU 1 runs x"
    )


def test_who_waits_is_passed_on_a_gpu_that_is_too_small_for_it() -> None:
    machine = Machine((gpu(0, total=80, run="x"), gpu(1, total=24)))
    assert decided(machine, entry("large", memory=40), entry("small", memory=20))["small"] == [1]


def test_who_waits_for_a_gpu_is_passed_by_who_wants_the_processor_and_the_other_way_round() -> None:
    machine = Machine((gpu(0, run="x"),), run_on_cpu="y")
    said = decided(machine, entry("gpu"), entry("cpu", gpus=0))
    assert said["gpu"] == "waits for 1 GPU that nobody uses: GPU 0 runs x"
    assert said["cpu"] == "waits for the processor: y has it"
    assert decided(replace(machine, run_on_cpu=""), entry("gpu"), entry("cpu", gpus=0))["cpu"] == []
    assert decided(Machine((gpu(0),), run_on_cpu="y"), entry("cpu", gpus=0), entry("gpu"))[
        "gpu"
    ] == [0]


def test_who_can_never_start_here_keeps_nothing_from_the_others() -> None:
    machine = Machine((gpu(0), gpu(1, total=24)))
    said = decided(
        machine, entry("wide", gpus=3), entry("large", memory=100), entry("a"), entry("b")
    )
    assert said["wide"] == (
        "can't start here: it wants 3 GPUs that nobody uses, and there are 2 GPUs"
    )
    assert said["large"] == (
        "can't start here: it wants 1 GPU with 100 GiB free, and there are 2 GPUs of at most 80 GiB"
    )
    assert (said["a"], said["b"]) == ([1], [0])
    assert "there is no GPU" in decided(Machine(), entry("a", gpus=1))["a"]


def test_the_smallest_gpu_that_will_do_is_taken_and_of_equals_the_emptiest() -> None:
    machine = Machine((gpu(0, total=80), gpu(1, total=24), gpu(2, total=80, used=0.5)))
    assert decided(machine, entry("a", memory=20)) == {"a": [1]}
    assert decided(machine, entry("a", memory=40)) == {"a": [0]}
    assert decided(machine, entry("a", gpus=2, memory=40)) == {"a": [0, 2]}


def test_gpus_that_cannot_be_seen_are_waited_for_and_never_swapped_for_the_processor() -> None:
    machine = Machine(unseen="the NVIDIA driver shows no GPU")
    said = decided(machine, entry("any"), entry("one", gpus=1), entry("none", gpus=0))
    assert said["any"] == "waits for 1 GPU that nobody uses: the NVIDIA driver shows no GPU"
    assert "shows no GPU" in said["one"]
    assert said["none"] == []


def test_a_gpu_that_answers_no_more_is_not_given_to_anybody() -> None:
    lost = Gpu(1, "", None, None)
    assert decided(Machine((gpu(0), lost)), entry("a"), entry("b"))["b"].startswith("waits")
    assert decided(Machine((gpu(0), lost)), entry("a", gpus=2))["a"].endswith(
        "there are 2 GPUs, of which GPU 1 answers no more"
    )


def test_a_gpu_that_tells_no_memory_is_free_when_nobody_is_on_it() -> None:
    assert decided(Machine((gpu(0, total=None),)), entry("a")) == {"a": [0]}
    busy = Machine((gpu(0, total=None, by="pid 7 of bob holds some"),))
    assert decided(busy, entry("a"))["a"].endswith("GPU 0 is used (pid 7 of bob holds some)")
    assert decided(Machine((gpu(0, total=None),)), entry("a", memory=4))["a"].endswith(
        "there is 1 GPU, which tells no memory"
    )


def _some_machine(dice: random.Random) -> Machine:
    sizes = [dice.choice((24, 80)) for _ in range(dice.randint(0, 4))]
    return Machine(
        tuple(
            gpu(i, size, dice.choice((0, 0, 0.5, size // 2)), dice.choice(("", "", "", "x")))
            for i, size in enumerate(sizes)
        ),
        run_on_cpu=dice.choice(("", "y")),
    )


def _some_queue(dice: random.Random) -> list[Entry]:
    return [
        entry(f"run-{i}", dice.choice((None, 0, 1, 2, 5)), dice.choice((None, 10, 40, 100)))
        for i in range(dice.randint(1, 6))
    ]


def _check_gpus(machine: Machine, turns: list[Turn]) -> None:
    given = [g for turn in turns for g in turn.gpus]
    assert len({g.uuid for g in given}) == len(given)
    assert not any(g.run for g in given)
    for turn in turns:
        if turn.start:
            assert len(turn.gpus) == wanted_gpus(machine, turn.entry)
            if turn.entry.gpu_memory:
                assert all((g.free or 0) >= turn.entry.gpu_memory * GIB for g in turn.gpus)
        else:
            assert turn.text and not turn.gpus
    on_cpu = [t for t in turns if t.start and not t.gpus]
    assert len(on_cpu) <= (0 if machine.run_on_cpu else 1)


def _check_fairness(machine: Machine, turns: list[Turn]) -> None:
    """Nobody gets a GPU that one who waits ahead of it could use one day."""
    for place, waits in enumerate(turns):
        if waits.start or waits.text.startswith("can't start here"):
            continue
        least = (waits.entry.gpu_memory or 0) * GIB
        for behind in turns[place + 1 :]:
            if wanted_gpus(machine, waits.entry):
                assert all((g.total or 0) < least for g in behind.gpus)
            else:
                assert not (behind.start and not behind.gpus)


def test_whatever_the_machine_and_the_queue_the_choice_is_sound_fair_and_leaves_nothing_idle() -> (
    None
):
    for seed in range(3000):
        dice = random.Random(seed)
        machine, queue = _some_machine(dice), _some_queue(dice)
        turns = choose(machine, queue)
        assert [t.entry for t in turns] == queue
        _check_gpus(machine, turns)
        _check_fairness(machine, turns)
        # What comes later changes nothing for those ahead of it.
        for length in range(1, len(queue)):
            assert choose(machine, queue[:length]) == turns[:length]
        # The first waits for nothing that it has.
        wanted = wanted_gpus(machine, queue[0])
        fit = [g for g in machine.gpus if not g.run and _has_room(g, queue[0])]
        assert turns[0].start is (len(fit) >= wanted if wanted else not machine.run_on_cpu)


def _has_room(gpu: Gpu, entry: Entry) -> bool:
    assert gpu.total is not None and gpu.free is not None
    if entry.gpu_memory is None:
        return gpu.total - gpu.free <= GIB
    return gpu.free >= entry.gpu_memory * GIB
