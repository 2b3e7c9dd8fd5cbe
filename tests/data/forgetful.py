"""A model whose template forgets, a token a byte, and rows for it."""

from __future__ import annotations

from tests import tiny
from workbench.data.example import Example, Message

FRAME = len("user\n") + len("\n") + len("assistant\n") + len("\n") + 4
"""Tokens of a row besides prompt and response: bytes of the template, and its four markers."""
TEMPLATE = "{% if messages[-1]['content'] == 'lost' %}x{% endif %}" + tiny.TEMPLATE
"""Loses what stands before a response that is `lost`."""


def row(prompt: str, answer: str, task: str = "", split: str = "train") -> Example:
    turns = (Message("user", prompt), Message("assistant", answer))
    return Example(turns, task, split, f"{prompt[:5]}:1")
