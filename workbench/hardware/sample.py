"""One sample of the whole machine, as `host.jsonl` keeps it."""

from __future__ import annotations

import json
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


class SampleReader:
    """Follows a `host.jsonl`; reading again gives only what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self, limit: int = 1 << 20) -> list[dict[str, Any]]:
        """The samples of the whole lines that came, at most about `limit` bytes of them."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                chunk = stream.read(limit)
        except OSError:
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [sample for line in whole.splitlines() if (sample := _parse(line))]


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line's sample; None for one that something else wrote."""
    try:
        sample = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(sample, dict) and {"t", "host", "gpus", "gpu_reason"} <= sample.keys()
    return sample if whole else None
