"""A review session of what an evaluation wrote."""

from __future__ import annotations

import secrets
from pathlib import Path

from workbench.files import sha256_file
from workbench.review import items, sessions, studies
from workbench.review.sessions import Session
from workbench.workspace import Workspace


def create_session(
    workspace: Workspace, name: str, evaluation: Path, seed: int | None = None
) -> Session:
    """Make a session of an evaluation folder's outputs.

    `seed` decides order and sides; drawn when it is None, since anyone who knows it can
    compute which system stands where. Raises WorkbenchError for a folder that is no
    evaluation, and as `sessions.create` does.
    """
    studies.check_free(workspace, name)
    found = items.read_evaluation(evaluation)
    return sessions.create(
        workspace,
        name,
        found,
        systems=_systems(found),
        seed=secrets.randbits(64) if seed is None else seed,
        source={
            "evaluation": str(evaluation),
            "sha256": sha256_file(evaluation / items.OUTPUTS),
        },
    )


def _systems(found: list[items.Item]) -> tuple[str, str]:
    """Base and the other one, by the names that the evaluation gives them."""
    others = [name for item in found for name in item.outputs if name != "base"]
    return ("base", others[0] if others else "adapter")
