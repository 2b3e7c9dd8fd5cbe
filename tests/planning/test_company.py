"""Who is on the GPUs that a run would take, by the real bindings on a stand-in driver."""

from __future__ import annotations

import getpass
import os

import pytest

from tests.driver import GIB, H100, Driver
from workbench.config.schema import RunConfig
from workbench.planning import company

FAR = 5_000_000
OTHERS = {"memory_used": 62 * GIB, "compute": f"{FAR}:{60 * GIB}"}


@pytest.fixture(autouse=True)
def machine(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.load_here(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


def config(**job: int) -> RunConfig:
    return RunConfig.model_validate({"name": "a", "job": job})


def test_another_person_s_process_is_named_with_what_it_leaves(driver: Driver) -> None:
    driver.gpus(H100 | OTHERS, H100 | {"memory_used": 0})
    (said,) = company.warnings(config())
    assert said == (
        f"GPU 0, which this run would use: it isn't free: 60.0 GiB by pid {FAR}, 2.0 GiB by "
        "processes that can't be seen from here; 17.5 GiB are left."
    )
    driver.gpus(H100 | {"memory_used": GIB, "compute": f"{os.getpid()}:{GIB}"})
    (said,) = company.warnings(config())
    assert f"of {getpass.getuser()} (pid {os.getpid()})" in said


def test_only_the_gpus_that_the_run_would_take_are_told_of(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = H100 | {"memory_used": 0}
    driver.gpus(free, H100 | OTHERS, free)
    assert company.warnings(config()) == []
    assert len(company.warnings(config(processes=2))) == 1
    assert company.warnings(config(gpus=0)) == []
    for visible, count in (("1,0", 1), ("0", 0), ("GPU-1", 1), ("", 0), ("2,1", 0)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert len(company.warnings(config())) == count, visible


def test_of_different_cards_any_may_be_the_first(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.gpus(H100 | {"memory_used": 0}, H100 | OTHERS | {"name": "Tesla T4"})
    assert len(company.warnings(config())) == 1
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert company.warnings(config()) == []


def test_a_desktop_is_in_nobody_s_way_and_a_sick_card_is_told_of(driver: Driver) -> None:
    driver.gpus(H100 | {"memory_used": GIB // 16, "graphics": f"{FAR}:{GIB // 16}", "reasons": 4})
    assert company.warnings(config()) == []
    driver.gpus(H100 | {"memory_used": 0, "reasons": 0x40, "sm_clock": 345})
    (said,) = company.warnings(config())
    assert "slowed: too hot (hardware), 345 of 1980 MHz" in said
    driver.gpus({"lost_after": 0})
    (said,) = company.warnings(config())
    assert "LOST" in said


def test_of_a_split_gpu_it_is_the_first_part_or_the_one_that_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.gpus(H100 | {"mig": 1, "mig_places": 7, "memory_used": 0})
    driver.set({"0/0.uuid": "MIG-a", "0/1.uuid": "MIG-b", "0/1.compute": f"{FAR}:{GIB}"})
    assert company.warnings(config()) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-b")
    (said,) = company.warnings(config())
    assert said.startswith("GPU 0 MIG 1, which this run would use: it isn't free: 1.0 GiB")


def test_without_a_driver_there_is_nothing_to_warn_of(driver: Driver) -> None:
    driver.set({"error.nvmlInitWithFlags": 9})
    assert company.warnings(config()) == []
