"""One sample of the whole machine: the fields of `jobs.events.Sampled`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.hardware.host import HostSampler
from workbench.hardware.nvml import Nvml


class Sampler:
    """Host and GPUs, as often as asked."""

    def __init__(self, folder: Path, pid: int | None = None) -> None:
        """`folder` is where the run writes, `pid` its process."""
        self._host = HostSampler(folder)
        self._nvml = Nvml()
        self._pid = pid

    def sample(self) -> dict[str, Any]:
        """`host`, `gpus`, and `gpu_reason`: why there are none, in words."""
        return {
            "host": self._host.sample(self._pid).to_json(),
            "gpus": [gpu.to_json() for gpu in self._nvml.sample(self._pid)],
            "gpu_reason": self._nvml.reason,
        }
