from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def base(_tiny_model: Path) -> Path:
    """The tiny model, to be read only."""
    return _tiny_model
