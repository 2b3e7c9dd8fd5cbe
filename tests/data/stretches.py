"""What is trained of a row, as text."""

from __future__ import annotations

from workbench.data.template import ChatTemplate, Encoded


def trained_stretches(template: ChatTemplate, encoded: Encoded) -> list[str]:
    """The text of each unbroken stretch of trained tokens."""
    stretches: list[list[int]] = [[]]
    for id, trained in zip(encoded.ids, encoded.trained, strict=True):
        if trained:
            stretches[-1].append(id)
        elif stretches[-1]:
            stretches.append([])
    return [template.decode(ids, skip_special=False) for ids in stretches if ids]
