from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """For a model this small a second thread only waits; on a busy machine, ten times as long."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def base(_tiny_model: Path) -> Path:
    """The tiny model, to be read only."""
    return _tiny_model
