from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import pytest

from workbench.data.curate import alike, prefixes, shingled
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace


def write_rows(path: Path, count: int) -> Path:
    """Rows of 12 words; one in ten is the one before with another word at its end."""
    draw = random.Random(count)
    words: list[str] = []
    with path.open("w") as stream:
        for number in range(count):
            if number % 10 != 9:
                words = [f"w{draw.randrange(20_000)}" for _ in range(12)]
            prompt = " ".join([*words[:-1], f"w{number}"])
            stream.write(json.dumps({"prompt": prompt, "completion": "Yes."}) + "\n")
    return path


def peak(workspace: Workspace, path: Path, options: Options) -> int:
    """Bytes at most while a file is imported."""
    tracemalloc.start()
    try:
        import_files(workspace, [path], "made", options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_row_that_is_imported_takes_few_bytes(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million rows have 300 MB of memory, of which some 130 don't grow with them, and are made
    small here: they would hide what does. Measured: 70 bytes a row; with the shingles of all rows
    in memory, of which each has 11 here, 455.
    """
    monkeypatch.setattr(prefixes, "_COUNTED", 16)
    for module, name in (
        (shingled, "BLOCK"),
        (alike, "BLOCK"),
        (alike, "_MET"),
        (prefixes, "_PART"),
    ):
        monkeypatch.setattr(module, name, 1 << 12)
    options = Options(stratify="task")
    few, many = write_rows(tmp_path / "few.jsonl", 1000), write_rows(tmp_path / "many.jsonl", 4000)
    import_files(workspace, [write_rows(tmp_path / "warm.jsonl", 100)], "warm", options)
    a_row = (peak(workspace, many, options) - peak(workspace, few, options)) / 3000
    assert a_row < 150
