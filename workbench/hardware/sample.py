"""One sample of the whole machine: the fields of `jobs.events.Sampled`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from workbench.hardware.gpu import Gpu
from workbench.hardware.gpu_news import news
from workbench.hardware.host import HostSampler
from workbench.hardware.nvml import Nvml


class Sampler:
    """Host and GPUs, as often as asked."""

    def __init__(self, folder: Path, pid: int | None = None) -> None:
        """`folder` is where the run writes, `pid` its first process."""
        self._host = HostSampler(folder)
        self._nvml = Nvml()
        self._nvml.watch()
        self._pid = pid
        self._gpus: list[Gpu] | None = None
        self.news: list[str] = []
        """What the last sample has shown of the GPUs that a person should be told of."""

    def sample(self, pids: Collection[int] = ()) -> dict[str, Any]:
        """`host`, `gpus`, and `gpu_reason`: why there are none, in words. `pids` are the run's
        other processes."""
        run = None if self._pid is None else {self._pid, *pids}
        gpus = self._nvml.sample(run)
        self.news = news(self._gpus, gpus)
        self._gpus = gpus
        return {
            "host": self._host.sample(self._pid).to_json(),
            "gpus": [gpu.to_json() for gpu in gpus],
            "gpu_reason": self._nvml.reason,
        }
