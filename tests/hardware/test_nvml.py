"""The driver is the one thing that is faked: by its own Python bindings' functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from workbench.hardware.nvml import Gpu, GpuProcess, Nvml, Occupancy
from workbench.hardware.sample import Sampler

HANDLE = object()
ANSWERS: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlDeviceGetCount": 2,
    "nvmlDeviceGetHandleByIndex": HANDLE,
    "nvmlSystemGetDriverVersion": "570.1",
    "nvmlDeviceGetName": "NVIDIA H100",
    "nvmlDeviceGetUUID": "GPU-1",
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 << 30, total=80 << 30),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97),
    "nvmlDeviceGetComputeRunningProcesses": [
        SimpleNamespace(pid=7, usedGpuMemory=1 << 30),
        SimpleNamespace(pid=8, usedGpuMemory=2 << 30),
        SimpleNamespace(pid=7, usedGpuMemory=5),
    ],
    "nvmlDeviceGetPowerUsage": 345_600,
    "nvmlDeviceGetEnforcedPowerLimit": 700_000,
    "nvmlDeviceGetTemperature": 61,
}
METRICS = {
    "nvmlDeviceGetName": {"name"},
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetMemoryInfo": {"memory_used", "memory_total"},
    "nvmlDeviceGetUtilizationRates": {"utilization"},
    "nvmlDeviceGetComputeRunningProcesses": {"memory_of_run"},
    "nvmlDeviceGetPowerUsage": {"power"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit"},
    "nvmlDeviceGetTemperature": {"temperature"},
}
ERRORS = [
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_GpuIsLost,
    pynvml.NVMLError_NoPermission,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_Unknown,
]

Answer = Callable[[str, Any], None]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Sets what a function of the driver answers; at first it answers as a whole GPU."""

    def set_answer(name: str, value: Any) -> None:
        def call(*arguments: Any) -> Any:
            if isinstance(value, type) and issubclass(value, BaseException):
                raise value()
            return value

        monkeypatch.setattr(pynvml, name, call)

    for name, value in ANSWERS.items():
        set_answer(name, value)
    return set_answer


def test_a_gpu_tells_every_metric(answer: Answer) -> None:
    nvml = Nvml()
    assert nvml.reason is None
    assert nvml.driver() == "570.1"
    first, second = nvml.sample(pid=7)
    assert first == Gpu(
        index=0,
        name="NVIDIA H100",
        uuid="GPU-1",
        memory_used=3 << 30,
        memory_total=80 << 30,
        memory_of_run=(1 << 30) + 5,
        utilization=97,
        power=345.6,
        power_limit=700.0,
        temperature=61,
    )
    assert second.index == 1


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("function", METRICS)
def test_a_metric_that_the_driver_refuses_is_none_and_the_others_stay(
    answer: Answer, function: str, error: type[pynvml.NVMLError]
) -> None:
    answer(function, error)
    gpu, _ = Nvml().sample(pid=7)
    missing = {f.name for f in fields(gpu) if getattr(gpu, f.name) is None}
    assert missing == METRICS[function]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_gpu_that_refuses_everything_is_still_listed(
    answer: Answer, error: type[pynvml.NVMLError]
) -> None:
    for function in METRICS:
        answer(function, error)
    assert Nvml().sample(pid=7)[1] == Gpu(1, *(None,) * 9)


def test_a_gpu_that_fell_off_the_bus_is_listed_without_figures(answer: Answer) -> None:
    nvml = Nvml()
    answer("nvmlDeviceGetHandleByIndex", pynvml.NVMLError_GpuIsLost)
    assert nvml.sample() == [Gpu(0, *(None,) * 9), Gpu(1, *(None,) * 9)]
    answer("nvmlDeviceGetCount", pynvml.NVMLError_Unknown)
    assert nvml.sample() == []


def test_memory_of_the_run_is_none_where_the_driver_hides_it(answer: Answer) -> None:
    answer("nvmlDeviceGetComputeRunningProcesses", [SimpleNamespace(pid=7, usedGpuMemory=None)])
    assert Nvml().sample(pid=7)[0].memory_of_run is None
    assert Nvml().sample(pid=8)[0].memory_of_run == 0
    assert Nvml().sample()[0].memory_of_run is None


def test_an_idle_gpu_shows_zeros_and_not_gaps(answer: Answer) -> None:
    answer("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=0))
    answer("nvmlDeviceGetMemoryInfo", SimpleNamespace(used=0, total=1))
    answer("nvmlDeviceGetPowerUsage", 0)
    gpu, _ = Nvml().sample()
    assert (gpu.utilization, gpu.memory_used, gpu.power) == (0, 0, 0.0)


def test_names_that_old_bindings_give_as_bytes_are_text(answer: Answer) -> None:
    answer("nvmlDeviceGetName", b"Tesla \xff")
    assert Nvml().sample()[0].name == "Tesla \ufffd"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pynvml.NVMLError_LibraryNotFound, "no NVIDIA driver"),
        (pynvml.NVMLError_DriverNotLoaded, "does not answer"),
        (pynvml.NVMLError_NoPermission, "does not answer"),
    ],
)
def test_without_a_driver_there_is_a_reason_in_words_and_no_gpu(
    answer: Answer, error: type[pynvml.NVMLError], words: str, tmp_path: Path
) -> None:
    answer("nvmlInit", error)
    nvml = Nvml()
    assert nvml.reason and words in nvml.reason
    assert nvml.sample(pid=7) == [] and nvml.driver() is None
    sample = Sampler(tmp_path).sample()
    assert sample["gpus"] == [] and words in sample["gpu_reason"]


def test_a_sample_is_plain_json(answer: Answer, tmp_path: Path) -> None:
    sample = Sampler(tmp_path, pid=7).sample()
    assert json.loads(json.dumps(sample)) == sample
    assert sample["gpus"][0]["utilization"] == 97 and sample["gpu_reason"] is None


def test_who_is_on_a_gpu_is_told_by_pid_and_memory(answer: Answer) -> None:
    processes = (GpuProcess(7, 1 << 30), GpuProcess(8, 2 << 30), GpuProcess(7, 5))
    first, second = Nvml().occupancy()
    assert first == Occupancy(0, "GPU-1", 80 << 30, 77 << 30, processes)
    assert second.index == 1
    answer("nvmlDeviceGetMemoryInfo", pynvml.NVMLError_NotSupported)
    answer("nvmlDeviceGetComputeRunningProcesses", pynvml.NVMLError_NoPermission)
    assert Nvml().occupancy()[0] == Occupancy(0, "GPU-1", None, None, ())
    answer("nvmlDeviceGetHandleByIndex", pynvml.NVMLError_GpuIsLost)
    assert Nvml().occupancy()[0] == Occupancy(0, None, None, None, ())


def test_a_library_that_does_not_answer_is_told_from_one_that_is_not_there(answer: Answer) -> None:
    answer("nvmlInit", pynvml.NVMLError_LibraryNotFound)
    assert (Nvml().installed, Nvml().occupancy()) == (False, [])
    answer("nvmlInit", pynvml.NVMLError_DriverNotLoaded)
    assert (Nvml().installed, Nvml().occupancy()) == (True, [])
