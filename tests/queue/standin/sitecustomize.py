"""Put on PYTHONPATH: `python -m workbench.training.job` is then a job without torch."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

JOB = Path(__file__).with_name("training_job.py")


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "workbench.training.job":
            return None
        return importlib.util.spec_from_file_location(name, JOB)


sys.meta_path.insert(0, Finder())
