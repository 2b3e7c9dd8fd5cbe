from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import cli
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace

SWEPT = """name: small
model: {{base: {base}, dtype: float32}}
data: {{dataset: numbers, max_length: 256}}
training: {{max_steps: {steps}, batch_size: 4, accumulation: 1, packing: false}}
evaluation: {{samples: 0}}
sweep:
{sweep}
"""


class Sweeps:
    """`workbench` in a workspace with a dataset, and configs that have a sweep."""

    def __init__(
        self, workspace: Workspace, base: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._workspace = workspace
        self._base = base
        self._capsys = capsys

    def write(self, path: Path, sweep: str, steps: int = 4) -> Path:
        lines = "\n".join(f"  {line}" for line in sweep.strip().splitlines())
        path.write_text(SWEPT.format(base=self._base, sweep=lines, steps=steps))
        return path

    def run(self, *words: object, code: int = 0) -> str:
        """What a command prints, or complains of where it ends with another code."""
        root = str(self._workspace.root)
        ended = cli.main([*map(str, words), "--workspace", root])
        said = self._capsys.readouterr()
        assert ended == code, said.err
        return said.err if code else said.out

    def json(self, *words: object) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def sweeps(
    workspace: Workspace,
    _tiny_model: Path,
    write_rows: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> Sweeps:
    rows = ({"prompt": f"{n}?", "completion": f"{n} it is"} for n in range(24))
    import_files(workspace, [write_rows(*rows)], "numbers", Options(validation_share=0.25))
    return Sweeps(workspace, _tiny_model, capsys)
