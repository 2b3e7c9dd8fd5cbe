from __future__ import annotations

import importlib.metadata

import pytest

from workbench import doctor
from workbench.hardware.gpu import Gpu
from workbench.workspace import Workspace


def _sample(gpus: OneGpu) -> list[Gpu]:
    return [Gpu(0, "A card", "GPU-1", 1 << 30, 8 << 30, None, 0, 1.0, 2.0, 30)]


class OneGpu:
    reason: str | None = None

    sample = _sample

    def driver(self) -> str:
        return "570.1"


@pytest.mark.parametrize(("version", "problems"), [("2.9.0+cpu", 1), ("2.9.0+cu128", 0)])
def test_a_gpu_that_torch_can_t_use_is_a_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, version: str, problems: int
) -> None:
    monkeypatch.setattr(doctor, "Nvml", OneGpu)
    known = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: version if name == "torch" else known(name)
    )
    found = [f for f in doctor.examine(workspace) if f.name == "torch and gpu"]
    assert len(found) == problems
    assert all(f.level == "problem" and f.hint for f in found)


def test_without_a_gpu_a_torch_for_processors_is_no_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OneGpu, "reason", "There is no NVIDIA driver on this machine.")
    monkeypatch.setattr(OneGpu, "sample", lambda self: [])
    monkeypatch.setattr(doctor, "Nvml", OneGpu)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.0+cpu")
    assert not [f for f in doctor.examine(workspace) if f.name == "torch and gpu"]


def test_it_says_how_many_processes_there_is_a_gpu_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OneGpu, "sample", lambda self: [*_sample(self), *_sample(self)])
    monkeypatch.setattr(doctor, "Nvml", OneGpu)
    (found,) = [f for f in doctor.examine(workspace) if f.name == "processes"]
    assert "each of 2 GPUs" in found.text
