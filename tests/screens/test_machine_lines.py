"""The Monitor's lines on GPUs and host: what matters, in few characters and in words."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from screens import run_text
from workbench.jobs.events import Sampled
from workbench.planning.room import Room

HOST = {
    "memory_used": 3 << 30,
    "memory_total": 16 << 30,
    "memory_limit": None,
    "memory_limit_used": None,
    "load1": 1.5,
    "cpus": 2,
    "cpu_percent": 5.0,
    "disk_free": 12 << 30,
    "rss": 1 << 30,
}
GPU: dict[str, Any] = {
    "index": 0,
    "name": "NVIDIA H100",
    "uuid": "GPU-1",
    "memory_used": 62 << 30,
    "memory_total": 80 << 30,
    "memory_of_run": 20 << 30,
    "utilization": 93,
    "power": 345.6,
    "power_limit": 700.0,
    "temperature": 87,
    "memory_of_others": 40 << 30,
    "throttled": ["power_cap", "thermal_software"],
    "sm_clock": 1230,
    "sm_clock_max": 1980,
    "processes": [
        {"pid": 7, "memory": 20 << 30, "of_run": True},
        {"pid": 4242, "memory": 40 << 30, "user": "al\x1bice", "command": "python"},
    ],
}


@pytest.mark.parametrize("ascii", [True, False])
def test_what_is_remarkable_of_a_gpu_is_said_in_words_within_80_columns(ascii: bool) -> None:
    tell = partial(run_text.machine, ascii=ascii)
    gpu, remark, host = tell(Sampled(HOST, [GPU], None)).plain.splitlines()
    assert "62.0 of 80.0 GiB (run 20.0 GiB)  93 %  346/700 W  87 °C" in gpu[:80]
    assert remark.startswith("! GPU 0 slowed: too hot, power limit, 1230 of 1980 MHz; others: 40")
    assert "40.0 GiB by python of al\\x1bice (pid 4242)" in remark
    assert host.endswith("disk 12.0 GiB free") and len(host) <= 80
    line = run_text.machine_line(Sampled(HOST, [GPU], None), ascii=ascii).plain
    assert "62.0 of 80.0 GiB  93 %  ! too hot" in line[:80]
    lost = {**dict.fromkeys(GPU), "index": 1, "state": "lost", "processes": None}
    shown = tell(Sampled(HOST, [{**GPU, "throttled": []}, lost], None)).plain
    assert "! GPU 1 LOST" in shown and "N/A of N/A (run N/A)  N/A  N/A  N/A  N/A" in shown
    line = run_text.machine_line(Sampled(HOST, [GPU, lost], None), ascii=ascii).plain
    assert "2 GPUs" in line and "N/A of N/A  N/A  ! GPU 0 too hot, GPU 1 LOST" in line[:80]


def test_many_gpus_leave_the_chart_its_lines() -> None:
    gpus = [{**GPU, "index": index, "throttled": ["idle"]} for index in range(8)]
    gpus[3]["throttled"] = ["power_brake"]
    for gpu in gpus:
        gpu["processes"] = []
    shown = run_text.machine(Sampled(HOST, gpus, None), ascii=False).plain.splitlines()
    assert len(shown) == 10 and "GPU 3 power brake" in shown[8]


def test_a_gpu_in_parts_is_not_counted_twice() -> None:
    nothing = dict.fromkeys(GPU)
    whole = {**nothing, "index": 0, "instances": 2, "memory_used": 7 << 30}
    parts = [
        {**nothing, "index": 0, "mig": n, "memory_used": n << 30, "memory_total": 9 << 30}
        for n in (1, 2)
    ]
    sample = Sampled(HOST, [whole, *parts], None)
    assert "2 GPUs" in run_text.machine_line(sample, ascii=True).plain
    assert "3.0 of 18.0 GiB" in run_text.machine_line(sample, ascii=True).plain
    assert "GPU 0 MIG 2" in run_text.machine(sample, ascii=True).plain
    assert run_text.memory_used(sample) == 1 << 30


def test_disk_is_held_against_the_checkpoints_to_come() -> None:
    sample = Sampled(HOST, [], "no driver")
    told = run_text.machine(sample, ascii=True, room=Room(1 << 30, 4 << 30)).plain
    assert told.endswith("disk 12.0 GiB free, next checkpoint 1.0 GiB, 4.0 GiB to come")
    told = run_text.machine(sample, ascii=True, room=Room(8 << 30, 14 << 30)).plain
    assert told.endswith("\n! too little disk: next checkpoint 8.0 GiB, 14.0 GiB to come")
    line = run_text.machine_line(sample, ascii=True, room=Room(8 << 30, 14 << 30)).plain
    assert line.startswith("! disk 12.0 GiB free")
