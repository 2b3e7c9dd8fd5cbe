"""The one kind of error that is a person's to mend."""

from __future__ import annotations


class WorkbenchError(Exception):
    """Something that the person can put right: bad input, a full disk, no network.

    The message says what is wrong and where; `hint` says what to do. The command
    line prints both and exits with 2, the screens show both; neither ever shows a
    traceback for it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message
