"""Against this very machine: what a test can know of it from elsewhere."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.polling import eventually
from workbench.hardware.host import HostSampler


def test_memory_processors_and_disk_are_those_of_this_machine(tmp_path: Path) -> None:
    host = HostSampler(tmp_path).sample()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert host.memory_total is not None and abs(host.memory_total - pages) < 0.05 * pages
    assert host.memory_used is not None and 0 < host.memory_used < host.memory_total
    assert host.memory_limit is None or 0 < host.memory_limit < host.memory_total
    assert host.cpus == len(os.sched_getaffinity(0))
    assert host.load1 is not None and host.load1 >= 0
    free = shutil.disk_usage(tmp_path).free
    assert host.disk_free is not None and abs(host.disk_free - free) < 1 << 30
    assert set(host.to_json()) >= {"memory_used", "cpu_percent", "rss"}


def test_the_memory_of_a_process_is_told_and_none_once_it_is_gone(tmp_path: Path) -> None:
    sampler = HostSampler(tmp_path)
    rss = sampler.sample(os.getpid()).rss
    assert rss is not None and 1 << 20 < rss < 1 << 40
    # pid_max is at most 2^22.
    assert sampler.sample(1 << 23).rss is None
    assert sampler.sample().rss is None


def test_the_use_of_the_processors_is_since_the_sample_before(tmp_path: Path) -> None:
    sampler = HostSampler(tmp_path)

    def busy() -> float | None:
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
        return sampler.sample().cpu_percent

    percent = eventually(busy)
    assert percent is not None and 0 < percent <= 100


def test_a_folder_that_is_gone_has_no_free_space_and_no_exception(tmp_path: Path) -> None:
    assert HostSampler(tmp_path / "gone").sample().disk_free is None
