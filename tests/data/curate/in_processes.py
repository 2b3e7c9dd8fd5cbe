"""A program run by processes whose sets have other orders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def said_by_any(program: str) -> str:
    """What a program prints, which must be the same under two hash seeds."""
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([".", *sys.path])},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    return said.pop()
