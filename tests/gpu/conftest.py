from __future__ import annotations

from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs a GPU of NVIDIA"))


@pytest.fixture
def base(_tiny_model: Path) -> Path:
    """The tiny model, to be read only."""
    return _tiny_model
