from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench.review import making
from workbench.review.items import Item
from workbench.review.session import Session
from workbench.workspace import Workspace

Make = Callable[..., Session]


@pytest.fixture
def make(workspace: Workspace) -> Make:
    """Makes a session of `count` items, and `identical` more whose outputs are the same."""

    def make(
        count: int = 6, identical: int = 0, name: str = "first", seed: int = 1, **more: Any
    ) -> Session:
        items = [
            Item(f"row-{i}", f"Question {i}?", f"Wanted {i}", {"base": f"B{i}", "adapter": f"A{i}"})
            for i in range(count)
        ] + [
            Item(f"same-{i}", f"Same {i}?", "", {"base": "Yes.", "adapter": " Yes.\n"})
            for i in range(identical)
        ]
        return making.create(
            workspace, name, items, seed=seed, source={"evaluation": "eval-7"}, **more
        )

    return make
