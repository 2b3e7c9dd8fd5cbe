"""The Monitor's charts of what a driver doesn't tell: a gap and N/A, never zero."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.widgets.line_chart import LineChart
from tests.driver import GIB, H100, Driver, Looker, compiled
from tests.history.logs import lines
from tests.screens.conftest import until
from workbench.jobs.events import Sampled
from workbench.jobs.state import HOST_LOG
from workbench.workspace import Workspace

NOT_SUPPORTED, NO_PERMISSION = 3, 4
INSTANCE = {"memory_total": 10 * GIB, "name": "NVIDIA H100 MIG 1g.10gb"}
HOST = {
    "memory_used": 3 * GIB,
    "memory_total": 16 * GIB,
    "memory_limit": None,
    "load1": 1.5,
    "cpus": 2,
    "cpu_percent": 5.0,
    "disk_free": 12 * GIB,
    "rss": GIB,
}


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """Of one GPU, split into two instances."""
    driver = Driver(compiled(tmp_path), tmp_path)
    driver.gpus(H100 | {"mig": 1, "mig_places": 7, "error.nvmlDeviceGetUtilizationRates": 3})
    for place, used in ((0, 2), (2, 6)):
        part = INSTANCE | {"memory_used": used * GIB, "uuid": f"MIG-{place}"}
        driver.set({f"0/{place}.{name}": value for name, value in part.items()})
    return driver


@pytest.fixture
def look(driver: Driver) -> Iterator[Looker]:
    looker = Looker(driver)
    yield looker
    looker.close()


def sampled_by(look: Looker) -> Sampled:
    return Sampled(HOST, look([7])["gpus"], None)


def put_into(run: Path, samples: list[Sampled]) -> None:
    """Have these, evenly over the run's steps, in its supervisor's log."""
    told = map(json.loads, (run / "train.jsonl").read_text().splitlines())
    times = [event["t"] for event in told if event["type"] == "step"]
    every = (times[-1] - times[0]) / (len(samples) - 1)
    (run / HOST_LOG).write_bytes(lines(samples, begun=times[0], every=every))


async def chart_of(pilot: Pilot[None], name: str) -> str:
    """What the large chart shows of a panel."""
    large = pilot.app.screen.query_one("#large", LineChart)
    for _ in range(12):
        if large.text.startswith(name):
            return large.text
        await pilot.press("tab")
    pytest.fail(f"no chart of {name}")


async def test_a_split_gpu_has_a_line_for_each_instance_and_the_rest_is_not_zero(
    past: Workspace, driver: Driver, look: Looker
) -> None:
    run = past.runs / "small-0001"
    before = [sampled_by(look) for _ in range(20)]
    driver.set({f"0.error.nvmlDeviceGet{what}": NO_PERMISSION for what in ("PowerUsage",)})
    put_into(run, before + [sampled_by(look) for _ in range(20)])
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("#large", LineChart).drawn)
        await pilot.press("z")  # alone
        head, *plot = (await chart_of(pilot, "memory")).splitlines()
        assert "a GPU 0 MIG 0 2 GiB" in head and "b GPU 0 MIG 2 6 GiB" in head
        assert not any(row.lstrip().startswith("0") for row in plot)
        # Power was told in the first half alone.
        head, *plot = (await chart_of(pilot, "power")).splitlines()
        assert "GPU 0 N/A" in head
        drawn = [max((n for n, c in enumerate(row) if c > "⠀"), default=0) for row in plot]
        assert 30 < max(drawn) < 50 and not any(row.lstrip().startswith("0 W") for row in plot)
        assert "GPU 0 61 °C" in (await chart_of(pilot, "temperature")).splitlines()[0]
        # Nobody tells how busy a split GPU is.
        head, *plot = (await chart_of(pilot, "utilisation")).splitlines()
        assert "GPU 0 N/A" in head and "processors 5 %" in head


async def test_a_gpu_that_tells_nothing_is_not_at_zero(
    past: Workspace, driver: Driver, look: Looker
) -> None:
    refused = ("MemoryInfo", "PowerUsage", "Temperature", "UtilizationRates")
    refused += ("ComputeRunningProcesses", "ComputeRunningProcesses_v2")
    driver.gpus(H100 | {f"error.nvmlDeviceGet{what}": NOT_SUPPORTED for what in refused})
    put_into(past.runs / "small-0001", [sampled_by(look) for _ in range(20)])
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("#large", LineChart).drawn)
        await pilot.press("z")
        for name in ("power", "temperature"):
            head, *rest = (await chart_of(pilot, name)).splitlines()
            assert "GPU 0 N/A" in head and "".join(rest).split() == ["N/A"]
        for name, instead in (("memory", "host 3 GiB"), ("utilisation", "processors 5 %")):
            head, *_ = (await chart_of(pilot, name)).splitlines()
            assert "N/A" in head and instead in head
