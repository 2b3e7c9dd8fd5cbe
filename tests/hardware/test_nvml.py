"""The real nvidia-ml-py, in a process of its own, against a stand-in for the driver's library."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.driver import GIB, H100, Driver, Looker, compiled
from workbench.hardware.gpu import GONE, LOST, RESET_REQUIRED, THROTTLES, Gpu, GpuProcess, devices
from workbench.hardware.nvml import Nvml
from workbench.hardware.sample import Sampler

NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, NEEDS_RESET, UNKNOWN = 3, 4, 15, 16, 999
"""nvmlReturn_t, of nvml.h."""
FAR = 5_000_000
"""A pid that no process has: the kernel's highest is 2**22."""
METRICS = {
    "nvmlDeviceGetName": {"name"},
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetMemoryInfo": {"memory_used", "memory_total", "memory_reserved"},
    "nvmlDeviceGetUtilizationRates": {"utilization"},
    "nvmlDeviceGetComputeRunningProcesses": {"memory_of_run", "memory_of_others", "processes"},
    "nvmlDeviceGetPowerUsage": {"power"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit"},
    "nvmlDeviceGetTemperature": {"temperature"},
    "nvmlDeviceGetTemperatureThreshold": {"slowdown_temperature"},
    "nvmlDeviceGetClockInfo": {"sm_clock", "memory_clock"},
    "nvmlDeviceGetMaxClockInfo": {"sm_clock_max"},
    "nvmlDeviceGetFanSpeed": {"fan"},
    "nvmlDeviceGetFieldValues": {
        "ecc_corrected",
        "ecc_uncorrected",
        "ecc_corrected_ever",
        "ecc_uncorrected_ever",
        "pcie_replays",
        "nvlinks",
        "nvlinks_max",
        "nvlink_errors",
    },
    "nvmlDeviceGetCurrPcieLinkGeneration": {"pcie_generation"},
    "nvmlDeviceGetMaxPcieLinkGeneration": {"pcie_generation_max"},
    "nvmlDeviceGetCurrPcieLinkWidth": {"pcie_width"},
    "nvmlDeviceGetMaxPcieLinkWidth": {"pcie_width_max"},
    "nvmlDeviceGetPcieThroughput": {"pcie_sent", "pcie_received"},
    "nvmlDeviceRegisterEvents": {"xids"},
}
"""What is N/A when a function is refused, on a card that tells all but what needs two looks."""
WHOLE = {
    **H100,
    "compute": f"7:{GIB} 8:{2 * GIB} 7:5",
    "fan": 30,
    "pcie_sent": 1000,
    "pcie_received": 3000,
    "fd.91": 2,
    "link.0": 1,
    "link.1": 0,
    **{f"fd.{field}": 1 for field in (38, 45, 52, 59)},
}
TWO_LOOKS = {"nvlink_sent", "nvlink_received", "mig"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def one(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Driver, Looker]]:
    """A driver, and one process for all that needs no process of its own."""
    driver = Driver(library, tmp_path_factory.mktemp("driver"))
    looker = Looker(driver)
    yield driver, looker
    looker.close()


@pytest.fixture
def look(driver: Driver) -> Iterator[Looker]:
    looker = Looker(driver)
    yield looker
    looker.close()


def test_a_gpu_tells_every_metric(one: tuple[Driver, Looker]) -> None:
    driver, look = one
    driver.gpus(WHOLE, {**WHOLE, "name": "Tesla T4", "reasons": 0x44})
    told = look([7], anew=True, wait=True)
    assert (told["reason"], told["driver"]) == (None, "570.1")
    first, second = (Gpu.of(body) for body in told["gpus"])
    assert first == Gpu(
        index=0,
        name="NVIDIA H100 80GB HBM3",
        uuid="GPU-0",
        memory_used=3 * GIB,
        memory_total=80 * GIB,
        memory_of_run=GIB + 5,
        utilization=97,
        power=345.6,
        power_limit=700.0,
        temperature=61,
        memory_reserved=GIB // 2,
        memory_of_others=2 * GIB,
        processes=first.processes,
        sm_clock=1755,
        sm_clock_max=1980,
        memory_clock=2619,
        throttled=(),
        slowdown_temperature=87,
        fan=30,
        ecc_corrected=2,
        ecc_uncorrected=0,
        ecc_corrected_ever=12,
        ecc_uncorrected_ever=1,
        xids=(),
        pcie_generation=5,
        pcie_generation_max=5,
        pcie_width=16,
        pcie_width_max=16,
        pcie_sent=1000 * 1024,
        pcie_received=3000 * 1024,
        pcie_replays=4,
        nvlinks=1,
        nvlinks_max=2,
        nvlink_errors=4,
    )
    assert first.memory_free == 76.5 * GIB
    assert [(p.pid, p.memory, p.of_run) for p in first.processes or ()] == [
        (7, GIB + 5, True),
        (8, 2 * GIB, False),
    ]
    assert (second.index, second.name) == (1, "Tesla T4")
    assert second.throttled == ("power_cap", "thermal_hardware")
    assert second.slowed() == "too hot (hardware), power limit" and second.slowed_gravely()


@pytest.mark.parametrize("error", [NOT_SUPPORTED, NO_PERMISSION, UNKNOWN])
@pytest.mark.parametrize("function", METRICS)
def test_a_metric_that_the_driver_refuses_is_none_and_the_others_stay(
    one: tuple[Driver, Looker], function: str, error: int
) -> None:
    driver, look = one
    driver.gpus(WHOLE | {f"error.{function}": error}, WHOLE)
    refused, whole = look.gpus([7], anew=True, wait=True)
    assert {f.name for f in fields(Gpu) if getattr(whole, f.name) is None} == TWO_LOOKS
    missing = {f.name for f in fields(Gpu) if getattr(refused, f.name) is None} - TWO_LOOKS
    assert missing == METRICS[function]
    # It still goes into a log, and back.
    assert Gpu.of(json.loads(json.dumps(refused.to_json()))) == refused


def test_a_card_that_tells_nothing_is_still_listed(one: tuple[Driver, Looker]) -> None:
    driver, look = one
    driver.gpus({}, {})
    first, second = look.gpus([7], anew=True, wait=True)
    # Of processes it says that there are none, and of faults too.
    assert second == Gpu(
        1, None, "GPU-1", None, None, 0, *(None,) * 4, memory_of_others=0, processes=(), xids=()
    )
    assert first.company() == first.slowed() == ""


@pytest.mark.parametrize(("bit", "name"), THROTTLES.items())
def test_why_clocks_are_low_is_told_by_its_name(
    one: tuple[Driver, Looker], bit: int, name: str
) -> None:
    driver, look = one
    driver.gpus(H100 | {"reasons": bit})
    (gpu,) = look.gpus(anew=True)
    assert gpu.throttled == (name,)
    # Idle, or clocks that somebody has set, are no reason to look twice.
    harmless = {"idle", "application_clocks", "display_clocks"}
    assert (gpu.slowed() == "") == (name in harmless)
    driver.gpus(H100 | {"reasons": bit | 0x8000})
    assert look.gpus(anew=True)[0].throttled == (name, "unknown_0x8000")


def test_a_driver_of_before_answers_by_its_older_functions(tmp_path: Path) -> None:
    driver = Driver(compiled(tmp_path, "-DOLD_DRIVER"), tmp_path)
    driver.gpus(WHOLE | {"reasons": 0x20})
    looker = Looker(driver)
    (gpu,) = looker.gpus([7])
    looker.close()
    assert gpu.throttled == ("thermal_software",)
    assert gpu.memory_of_run == GIB + 5 and len(gpu.processes) == 2
    # What the driver keeps for itself can't be told from what is used.
    assert (gpu.memory_used, gpu.memory_reserved) == (3.5 * GIB, None)


def test_processes_are_named_by_person_and_program(driver: Driver, look: Looker) -> None:
    own = os.getpid()
    driver.gpus(H100 | {"compute": f"{own}:{GIB} {FAR}:{2 * GIB} 1:-", "graphics": f"{own}:{GIB}"})
    driver.set({f"process.{FAR}": "/opt/bin/blender --secret"})
    mine, far, first = look.gpus()[0].processes
    program = Path(Path("/proc/self/cmdline").read_text().split("\0")[0]).name
    assert mine == GpuProcess(own, GIB, getpass.getuser(), program)
    assert (far.memory, far.user, far.command) == (2 * GIB, None, "blender")
    assert (first.pid, first.memory, first.user) == (1, None, "root")
    (gpu,) = look.gpus([own])
    assert gpu.memory_of_run == GIB
    assert gpu.memory_of_others is None, "one of the others doesn't tell"
    assert f"2.0 GiB by blender (pid {FAR})" in gpu.company()


def test_in_a_container_nobody_is_taken_for_somebody_else(driver: Driver, look: Looker) -> None:
    # By another pid it may be the run's own.
    driver.gpus(H100 | {"compute": f"{FAR}:{2 * GIB}"})
    (gpu,) = look.gpus([7], container=True)
    assert (gpu.memory_of_run, gpu.memory_of_others) == (None, None)
    # And where the driver lists none, somebody holds the memory all the same.
    driver.gpus(H100)
    (gpu,) = look.gpus([7])
    assert (gpu.memory_of_run, gpu.memory_of_others) == (None, None)
    assert gpu.company() == "", "it may be the run's own"
    assert look.gpus()[0].company() == "3.0 GiB by processes that can't be seen from here"
    driver.gpus(H100 | {"compute": f"7:{GIB} {FAR}:{2 * GIB}"})
    (gpu,) = look.gpus([7])
    assert (gpu.memory_of_run, gpu.memory_of_others) == (GIB, 2 * GIB)
    assert look.gpus([8], container=False)[0].memory_of_run == 0


def test_an_idle_gpu_shows_zeros_and_not_gaps(one: tuple[Driver, Looker]) -> None:
    driver, look = one
    driver.gpus(H100 | {"utilization": 0, "memory_used": 0, "power": 0, "reasons": 1})
    (gpu,) = look.gpus(anew=True)
    assert (gpu.utilization, gpu.memory_used, gpu.power) == (0, 0, 0.0)
    assert gpu.slowed() == ""


def test_a_name_that_is_no_text_is_not_told(one: tuple[Driver, Looker]) -> None:
    driver, look = one
    driver.gpus(H100)
    file = Path(driver.env["STAND_IN_NVML"])
    file.write_bytes(file.read_bytes().replace(b"NVIDIA", b"\xff"))
    (gpu,) = look.gpus(anew=True)
    assert gpu.name is None and gpu.temperature == 61


def test_a_gpu_that_is_lost_while_one_looks_is_said_to_be(driver: Driver, look: Looker) -> None:
    driver.gpus(H100, H100)
    assert look([7])["notes"] == []
    driver.set({"1.lost_after": 0})
    told = look([7])
    first, second = (Gpu.of(body) for body in told["gpus"])
    assert first.state == "" and first.temperature == 61
    lost = Gpu(1, H100["name"], "GPU-1", *(None,) * 7, xids=(), state=LOST)
    assert second == lost
    assert told["notes"] == [
        "GPU 1: LOST: it has fallen off the bus, or the driver can't reach it."
    ]
    calls = driver.calls.read_text().count("\n")
    assert look([7])["notes"] == [], "once"
    of_both = driver.calls.read_text().count("\n") - calls
    driver.set({"1.lost_after": None})
    told = look([7])
    assert told["notes"] == ["GPU 1: it answers again."]
    assert told["gpus"][1]["temperature"] == 61
    # A driver may take seconds over each question on a GPU that isn't there.
    assert of_both < (driver.calls.read_text().count("\n") - calls) / 2


def test_a_gpu_that_is_lost_in_the_middle_of_a_look(driver: Driver, look: Looker) -> None:
    driver.gpus(H100 | {"lost_after": 12})
    (gpu,) = look.gpus([7])
    assert gpu.state == LOST and gpu.name == H100["name"]
    assert None in (gpu.temperature, gpu.sm_clock, gpu.pcie_width)


def test_a_gpu_that_is_taken_out_stays_in_the_list(driver: Driver, look: Looker) -> None:
    driver.gpus(H100, H100)
    look()
    driver.set({"count": 1})
    told = look()
    assert Gpu.of(told["gpus"][1]) == Gpu(
        1, H100["name"], "GPU-1", *(None,) * 7, xids=(), state=GONE
    )
    assert told["notes"] == ["GPU 1: GONE: the driver doesn't list it any more."]
    driver.set({"error.nvmlDeviceGetCount": UNKNOWN})
    assert [gpu.state for gpu in look.gpus()] == [GONE, GONE]


def test_one_that_needs_a_reset_says_so(driver: Driver, look: Looker) -> None:
    driver.gpus(H100 | {"error.nvmlDeviceGetMemoryInfo": NEEDS_RESET})
    (gpu,) = look.gpus()
    assert gpu.state == RESET_REQUIRED and gpu.temperature == 61


def test_faults_and_memory_errors_are_told_once_and_in_words(driver: Driver, look: Looker) -> None:
    driver.gpus(H100, H100)
    look()
    driver.set({"1.xids": "79 48 7777", "1.fd.4": 2})
    told = look()
    assert [gpu.get("xids") for gpu in told["gpus"]] == [[], [79, 48, 7777]]
    assert told["notes"] == [
        "GPU 1: Xid 79: it has fallen off the bus.",
        "GPU 1: Xid 48: an uncorrectable memory error (double bit).",
        "GPU 1: Xid 7777.",
        "GPU 1: 2 uncorrectable memory errors (ECC).",
    ]
    assert look()["notes"] == []


def test_errors_of_before_are_no_news(driver: Driver, look: Looker) -> None:
    driver.gpus(H100 | {"fd.4": 3})
    told = look()
    assert told["notes"] == [] and told["gpus"][0]["ecc_uncorrected"] == 3


def test_traffic_is_the_difference_of_two_looks(driver: Driver, look: Looker) -> None:
    links = {"fd.91": 2, "link.0": 1, "link.1": 1}
    driver.gpus(H100 | links | {"fd.197": 10**6, "fd.198": 0, "fd.138.0": 0, "fd.138.1": 0})
    (gpu,) = look.gpus()
    assert (gpu.pcie_sent, gpu.nvlink_sent, gpu.nvlinks) == (None, None, 2)
    driver.set({"0.fd.197": 3 * 10**6, "0.fd.138.0": 1000, "0.fd.138.1": 500})
    (gpu,) = look.gpus()
    assert gpu.pcie_received == 0 and gpu.pcie_sent > 0
    assert gpu.nvlink_sent / gpu.pcie_sent == pytest.approx(1500 * 1024 / (2 * 10**6), rel=1e-3)
    assert gpu.nvlink_received is None
    driver.set({"0.fd.197": 5})
    assert look.gpus()[0].pcie_sent is None, "the counter began anew"


def test_instances_of_a_split_gpu_are_devices_of_their_own(driver: Driver, look: Looker) -> None:
    part = {"memory_total": 10 * GIB, "memory_used": GIB, "name": "NVIDIA H100 MIG 1g.10gb"}
    places = {
        f"0/{place}.{name}": value
        for place in (0, 2)  # the one between is empty
        for name, value in {**part, "uuid": f"MIG-{place}"}.items()
    }
    driver.gpus(H100 | {"mig": 1, "mig_places": 7, "error.nvmlDeviceGetUtilizationRates": 3}, H100)
    driver.set(places | {"0/2.compute": f"7:{GIB}"})
    whole, first, second, other = look.gpus([7])
    assert (whole.instances, whole.utilization, whole.power) == (2, None, 345.6)
    assert (first.label, second.label) == ("GPU 0 MIG 0", "GPU 0 MIG 2")
    assert (second.uuid, second.memory_total, second.memory_of_run) == ("MIG-2", 10 * GIB, GIB)
    assert (second.power, second.temperature, second.utilization, second.throttled) == (None,) * 4
    assert devices([whole, first, second, other]) == [first, second, other]


def test_a_container_that_may_not_ask_its_split_gpu(driver: Driver, look: Looker) -> None:
    driver.gpus(H100 | {"mig": 1, "mig_places": 7, "error.nvmlDeviceGetMemoryInfo": NO_PERMISSION})
    driver.set({"0/0.uuid": "MIG-0", "0/0.memory_total": GIB})
    whole, part = look.gpus()
    assert (whole.memory_total, part.memory_total) == (None, GIB)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "its kernel module isn't loaded"),
        (4, "may not open /dev/nvidiactl"),
        (18, "of different versions"),
        (999, "does not answer: Unknown Error"),
    ],
)
def test_a_driver_that_does_not_answer_is_told_in_words(
    one: tuple[Driver, Looker], code: int, words: str
) -> None:
    driver, look = one
    driver.gpus(H100)
    driver.set({"error.nvmlInitWithFlags": code})
    told = look([7], anew=True)
    assert told["reason"].startswith("The NVIDIA driver does not answer: ")
    assert words in told["reason"]
    assert (told["gpus"], told["occupancy"], told["driver"]) == ([], [], None)


def test_without_a_driver_there_is_a_reason_in_words_and_no_gpu(tmp_path: Path) -> None:
    nvml = Nvml()
    if nvml.installed:
        pytest.skip("this machine has an NVIDIA driver")
    assert nvml.reason == "There is no NVIDIA driver on this machine."
    assert (nvml.sample([7]), nvml.occupancy(), nvml.driver()) == ([], [], None)
    sample = Sampler(tmp_path).sample()
    assert sample["gpus"] == [] and sample["gpu_reason"] == nvml.reason
    assert json.loads(json.dumps(sample)) == sample


def test_who_is_on_a_gpu_is_told_by_pid_and_memory(one: tuple[Driver, Looker]) -> None:
    driver, look = one
    driver.gpus(WHOLE, WHOLE | {"error.nvmlDeviceGetMemoryInfo": 3}, {"lost_after": 0})
    first, second, third = look(anew=True)["occupancy"]
    assert (first["uuid"], first["total"], first["free"]) == ("GPU-0", 80 * GIB, 76.5 * GIB)
    assert [(p["pid"], p["memory"]) for p in first["processes"]] == [(7, GIB + 5), (8, 2 * GIB)]
    assert first["capability"] == [9, 0]
    assert (second["total"], second["free"]) == (None, None)
    assert (third["uuid"], third["total"], third["processes"]) == (None, None, [])


def test_a_look_asks_the_driver_few_questions(driver: Driver, look: Looker) -> None:
    """Each may be a system call that a training on that card waits for."""
    driver.gpus(*[H100 | {"fd.197": 1, "fd.198": 1}] * 8)
    look([7])
    before = driver.calls.read_text().split()
    look([7])
    asked = driver.calls.read_text().split()[len(before) :]
    # 17 of a sample; 7 or 8 are the looker's own, of `occupancy`.
    assert len(asked) / 8 < 26
    # It takes the driver 20 ms to count what goes by in them.
    assert "nvmlDeviceGetPcieThroughput" not in asked


def test_what_takes_the_driver_long_is_asked_of_one_gpu_a_look(
    driver: Driver, look: Looker
) -> None:
    driver.gpus(*[H100 | {"pcie_sent": 5, "pcie_received": 6}] * 3)
    assert [gpu.pcie_sent for gpu in look.gpus()] == [None] * 3
    look()
    before = driver.calls.read_text().split()
    gpus = look.gpus()
    asked = driver.calls.read_text().split()[len(before) :]
    assert asked.count("nvmlDeviceGetPcieThroughput") == 2
    assert [gpu.pcie_sent for gpu in gpus] == [None, 5120, 5120]


def test_a_supervisor_samples_a_run_with_all_its_processes(driver: Driver, tmp_path: Path) -> None:
    driver.gpus(H100 | {"compute": f"7:{GIB} 8:{GIB} 9:{GIB}"})
    script = (
        "import json, pathlib; from workbench.hardware.sample import Sampler; "
        "print(json.dumps(Sampler(pathlib.Path('.'), pid=7).sample({8})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **driver.env},
        capture_output=True,
        text=True,
        check=True,
    )
    sample: dict[str, Any] = json.loads(done.stdout)
    (gpu,) = sample["gpus"]
    assert (gpu["memory_of_run"], gpu["memory_of_others"]) == (2 * GIB, GIB)
    assert sample["gpu_reason"] is None


def test_a_sample_of_an_earlier_or_a_later_release_is_read() -> None:
    old = dict.fromkeys([f.name for f in fields(Gpu)][:10]) | {"index": 1, "power": 5.0}
    assert Gpu.of(old) == Gpu(1, *(None,) * 6, 5.0, None, None)
    assert Gpu.of(old | {"warp": 9, "processes": [{"pid": 3, "warp": 9}]}).processes == (
        GpuProcess(3, None),
    )
