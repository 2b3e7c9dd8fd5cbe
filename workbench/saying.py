"""What is said, in sentences, of work that takes a while, and where it can be seen to go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_EVERY = 10.0
"""Seconds between two sentences while something is fetched."""

Say = Callable[[str], None]
"""Takes a sentence about what is being done."""
Watch = Callable[[str, Path, int], None]
"""Takes what is begun, the folder that grows by it, and by how many bytes; 0 where nobody knows."""


def unwatched(phase: str, folder: Path, size: int) -> None:
    """For who looks at no folder."""


@contextmanager
def saying(say: Say, text: str) -> Iterator[None]:
    """Say `text` at once, and now and then how long it has been going on."""
    done = threading.Event()
    begun = time.monotonic()

    def go_on() -> None:
        # Who listens may be gone before the work is done.
        while not done.wait(_EVERY):
            with suppress(Exception):
                say(f"{text}, {time.monotonic() - begun:.0f} s so far")

    say(text)
    threading.Thread(target=go_on, daemon=True).start()
    try:
        yield
    finally:
        done.set()
