"""Configs of other trainers, taken over: Axolotl, LLaMA-Factory and TRL.

`sources` reads a file, `detect` says whose it is, each trainer's module is a table of its keys
with what becomes of them, and `importing` walks through it. No key is passed over in silence.
"""

NAMES = ("axolotl", "llama-factory", "trl")
"""Of the trainers, as `--from` has them."""
