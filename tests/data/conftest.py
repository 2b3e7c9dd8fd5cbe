from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from tests.data.forgetful import TEMPLATE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder as far as a tokenizer needs one."""
    folder = tmp_path / "model"
    tiny.make_tokenizer(folder, TEMPLATE)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder
