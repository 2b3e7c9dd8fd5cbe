"""`workbench gpus` and `workbench doctor`, as a person runs them, on a stand-in driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from tests.conftest import Cli
from tests.driver import GIB, H100, Driver
from workbench.hardware.gpu import Gpu

FAR = 5_000_000
BUSY = H100 | {
    "memory_used": 62 * GIB,
    "compute": f"{FAR}:{62 * GIB}",
    "reasons": 0x24,
    "sm_clock": 1230,
    "pcie_sent": 1024,
    "pcie_received": 2048,
}


def test_the_gpus_and_who_is_on_them_are_shown(cli: Cli, driver: Driver) -> None:
    driver.gpus(BUSY, H100 | {"lost_after": 0}, {})
    shown = cli("gpus", **driver.env)
    assert shown.returncode == 0 and not shown.stderr
    head, first, second, third, *_ = shown.stdout.splitlines()
    assert head.split() == ["gpu", "memory", "busy", "power", "heat", "clock", "name"]
    assert first.split() == [
        *("0", "62.0/80.0", "GiB", "97", "%", "346/700", "W", "61/87", "°C", "1230/1980", "MHz"),
        *("NVIDIA", "H100", "80GB", "HBM3"),
    ]
    assert second.split() == ["1", *["N/A"] * 6] and third.split() == ["2", *["N/A"] * 6]
    for line in (
        "GPU 0: slowed: too hot, power limit, 1230 of 1980 MHz",
        f"GPU 0: on it: 62.0 GiB by pid {FAR}",
        "GPU 0: PCIe 5.0 x16, 1.0 MiB/s out, 2.0 MiB/s in; NVLink N/A",
        "GPU 1: LOST: it has fallen off the bus, or the driver can't reach it",
    ):
        assert line in shown.stdout.splitlines()
    assert "memory errors 2 corrected and 0 not, ever 12 corrected and 1 not" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("host: ")
    assert "\x1b" not in shown.stdout, "no state by colour"


def test_json_is_what_a_log_has(cli: Cli, driver: Driver) -> None:
    driver.gpus(BUSY)
    told = json.loads(cli("gpus", "--json", **driver.env).stdout)
    gpu = Gpu.of(told["gpus"][0])
    assert gpu.throttled == ("power_cap", "thermal_software")
    assert gpu.memory_of_others == 62 * GIB and gpu.memory_of_run is None
    assert (told["driver"], told["reason"]) == ("570.1", None)
    assert told["host"]["disk_free"] > 0 and told["host"]["memory_total"] > 0


def test_a_machine_without_a_gpu_says_so_in_a_sentence(cli: Cli, driver: Driver) -> None:
    shown = cli("gpus", **driver.env)
    assert shown.stdout.startswith("The NVIDIA driver shows no GPU. Training runs on the processor")
    driver.set({"error.nvmlInitWithFlags": 18})
    shown = cli("gpus", **driver.env)
    assert shown.returncode == 0
    assert "its library and its kernel module are of different versions" in shown.stdout
    assert "Training runs on the processor." in shown.stdout


def test_watching_goes_on_until_ctrl_c_and_tells_what_happens(driver: Driver) -> None:
    driver.gpus(H100, H100)
    watching = subprocess.Popen(
        [sys.executable, "-m", "workbench", "gpus", "--watch", "--json", "--every", "0.25"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **driver.env},
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["news"] == []
    driver.set({"1.xids": "79", "1.lost_after": 0})
    # A look that was going on may find it lost before the next one is told of the fault.
    news: list[str] = []
    while "GPU 1: Xid 79: it has fallen off the bus." not in news:
        news += json.loads(watching.stdout.readline())["news"]
    assert all(text.startswith("GPU 1: ") for text in news)
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=120)
    assert watching.returncode == 130 and "Traceback" not in said


def test_doctor_says_who_is_on_a_gpu_and_what_ails_it(cli: Cli, driver: Driver) -> None:
    driver.gpus(BUSY, H100 | {"lost_after": 0}, H100 | {"mig": 1, "mig_places": 2})
    driver.set({"2/1.uuid": "MIG-1", "2/1.name": "A part", "2/1.memory_total": 10 * GIB})
    told = {
        found["name"]: found for found in json.loads(cli("doctor", "--json", **driver.env).stdout)
    }
    assert told["gpu 0"]["level"] == "note"
    assert "17.5 GiB of 80.0 GiB free, driver 570.1; slowed: too hot" in told["gpu 0"]["text"]
    assert f"on it: 62.0 GiB by pid {FAR}" in told["gpu 0"]["text"]
    assert told["gpu 1"]["level"] == "problem" and "LOST" in told["gpu 1"]["text"]
    assert "split into 1 (MIG)" in told["gpu 2"]["text"]
    assert told["gpu 2 mig 1"]["text"].startswith("A part, 10.0 GiB of 10.0 GiB free")
    assert "one to each of 2 GPUs" in told["processes"]["text"]
