"""Kernels for a GPU where there is none: by Triton's interpreter, and compiled but not run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from workbench.training import four_bits

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="Triton is for Linux")


def play(tmp_path: Path, *given: str, **environment: str) -> str:
    """What `tests.training.kernels` has against the kernels; the interpreter is chosen before
    Triton is imported, so in a process of its own."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), **environment}
    command = [sys.executable, "-m", "tests.training.kernels", *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def test_kernels_compute_what_their_formulas_compute_and_a_model_with_them_what_it_does_without(
    tmp_path: Path, base: Path
) -> None:
    assert play(tmp_path, str(base), TRITON_INTERPRET="1") == ""


def test_each_kernel_compiles_for_the_oldest_gpu_and_for_a_present_one(tmp_path: Path) -> None:
    assert play(tmp_path, "75", "90") == ""


def test_a_kernel_that_unpacks_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(four_bits, "unpacked", lambda weight, state: torch.zeros(state.shape))
    found = four_bits.problem.__wrapped__(torch.device("cpu"))
    assert found == "nf4 is unpacked to something else than bitsandbytes' numbers"
