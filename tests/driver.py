"""A stand-in for NVIDIA's driver library: nvidia-ml-py loads it in processes that get `env`."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pynvml
import pytest

_SOURCE = Path(__file__).parent / "hardware" / "stand_in_nvml.c"
_LIBRARY = "libnvidia-ml.so.1"
GIB = 1 << 30
H100 = {
    "name": "NVIDIA H100 80GB HBM3",
    "capability": "9.0",
    "memory_total": 80 * GIB,
    "memory_used": 3 * GIB,
    "memory_reserved": GIB // 2,
    "utilization": 97,
    "power": 345_600,
    "power_limit": 700_000,
    "temperature": 61,
    "slowdown_temperature": 87,
    "sm_clock": 1755,
    "sm_clock_max": 1980,
    "memory_clock": 2619,
    "reasons": 0,
    "pcie_generation": 5,
    "pcie_generation_max": 5,
    "pcie_width": 16,
    "pcie_width_max": 16,
    "mig": 0,
    "fd.3": 2,  # ECC: corrected and uncorrected, since the driver was loaded and ever
    "fd.4": 0,
    "fd.5": 12,
    "fd.6": 1,
    "fd.94": 4,  # PCIe replays
}
"""A card that tells what such a card tells; no fan."""


def compiled(folder: Path, *options: str) -> Path:
    """The library in a folder of its own. Skips the test where nothing compiles C."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler (cc)")
    target = folder / _LIBRARY
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", target, _SOURCE],
        check=True,
    )
    return folder


class Driver:
    """What the library answers, in a file that may change at any time."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.calls = folder / "driver-calls"
        self._file = folder / "driver"
        self._figures: dict[str, Any] = {"driver": "570.1"}
        self.env = {
            "LD_LIBRARY_PATH": str(library),
            "STAND_IN_NVML": str(self._file),
            "STAND_IN_NVML_CALLS": str(self.calls),
        }
        self._write()

    def gpus(self, *gpus: dict[str, Any]) -> None:
        """So many GPUs, with these figures and no others."""
        self._figures = {"driver": "570.1", "count": len(gpus)}
        for index, gpu in enumerate(gpus):
            figures = {"uuid": f"GPU-{index}", **gpu}
            self._figures |= {f"{index}.{name}": value for name, value in figures.items()}
        self._write()

    def set(self, figures: dict[str, Any]) -> None:
        """Change some lines of the file; None takes one out."""
        self._figures |= figures
        self._figures = {k: v for k, v in self._figures.items() if v is not None}
        self._write()

    def load_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have this process, too, ask this library, and those that it starts."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        # A process that runs already looks for its libraries where it did when it began.
        library = ctypes.CDLL(f"{self.env['LD_LIBRARY_PATH']}/{_LIBRARY}")
        monkeypatch.setattr(pynvml, "nvmlLib", library)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def _write(self) -> None:
        text = "".join(f"{name} {value}\n" for name, value in self._figures.items())
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.replace(self._file)


class Looker:
    """A process that looks at the GPUs when told to, as a supervisor does."""

    def __init__(self, driver: Driver) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **driver.env},
        )

    def __call__(self, run: Collection[int] | None = None, **asked: Any) -> dict[str, Any]:
        """One look: `reason`, `driver`, `gpus`, `occupancy` and `notes` on what has changed; with
        `anew` by somebody who has opened the driver just now."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"run": run and list(run), **asked}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def gpus(self, run: Collection[int] | None = None, **asked: Any) -> list[Any]:
        """The GPUs of one look, as they come back from a log."""
        from workbench.hardware.gpu import Gpu

        return [Gpu.of(body) for body in self(run, **asked)["gpus"]]

    def close(self) -> None:
        self._process.communicate()


def _main() -> None:
    from dataclasses import asdict

    from workbench.hardware import nvml_device
    from workbench.hardware.gpu_news import news
    from workbench.hardware.nvml import Nvml

    nvml = before = None
    for line in sys.stdin:
        asked = json.loads(line)
        if nvml is None or asked.get("anew"):
            nvml, before = Nvml(), None
            nvml.watch()
        if "container" in asked:
            # Whether pids are of a namespace of their own is the machine's, not the driver's.
            nvml_device.pids_are_the_kernels = lambda inside=asked["container"]: not inside
        gpus = nvml.sample(asked["run"], wait=asked.get("wait", False))
        answer = {
            "reason": nvml.reason,
            "driver": nvml.driver(),
            "gpus": [gpu.to_json() for gpu in gpus],
            "occupancy": [asdict(gpu) for gpu in nvml.occupancy()],
            "notes": news(before, gpus),
        }
        before = gpus
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main()
