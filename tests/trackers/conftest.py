from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest


class Standin:
    """What a package of a tracker was told, by run; `fails_at` is a step that it refuses."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        self.opened: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.fails_at: int | None = None
        self.meanwhile: Callable[[], object] | None = None
        """What happens once, while a step is told."""

    def init(self, project: str, **how: Any) -> Any:
        self.opened.append({"project": project, **how})
        steps = self.runs.setdefault((project, how["name"]), {})

        class Run:
            @staticmethod
            def log(values: dict[str, float], step: int) -> None:
                if self.meanwhile is not None:
                    happens, self.meanwhile = self.meanwhile, None
                    happens()
                if step == self.fails_at:
                    raise ConnectionError("https://me:pw@host is away\nand much more")
                assert step not in steps or not set(steps[step]) & set(values), "told twice"
                steps.setdefault(step, {}).update(values)

        return Run

    @staticmethod
    def finish() -> None:
        print("whatever a package has to say")


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A stand-in for trackio's package under accelerate's own class for it."""
    from accelerate import PartialState

    standin = Standin()
    module = ModuleType("trackio")
    module.__spec__ = ModuleSpec("trackio", None)
    vars(module).update(init=standin.init, finish=standin.finish)

    class Config:
        @staticmethod
        def update(values: dict[str, Any], allow_val_change: bool) -> None:
            standin.config.update(values)

    vars(module)["config"] = Config
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setenv("TRACKIO_DIR", "/nowhere")
    yield standin
    PartialState._reset_state()
